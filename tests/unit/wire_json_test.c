// If this fails, a request's fields are misread: its model, its limits, or how much text it holds.
#include <errno.h>
#include "wire/json.h"
#include "wire_replay.h"

static const char *const keys[] = {"model", "messages", "content", "n", NULL};
static int result; // of the document read last

struct reader {
	struct json_scanner json;
	struct note *note;
};

// The path in front, one letter a level: the key's first letter, '#' for an element, '?' for
// others.
static void on_event(void *owner, const struct json_scanner *json, enum json_event event)
{
	static const char *const names[] = {"", "", "true", "false", "null", "{", "}", "[", "]"};
	struct reader *reader = owner;

	note_add(reader->note, " ");
	for (unsigned int i = 0; i < json->depth; i++)
		note_add(reader->note, "%c",
			 json->path[i] == JSON_ELEMENT     ? '#'
			 : json->path[i] == JSON_OTHER_KEY ? '?'
							   : keys[json->path[i] - 1][0]);
	if (event == JSON_STRING)
		note_add(reader->note, "\"%s\"%s(%llu)", json->text, json->text_is_cut ? "…" : "",
			 (unsigned long long)json->code_points);
	else if (event == JSON_NUMBER)
		note_add(reader->note, "=%s", json->text);
	else
		note_add(reader->note, "%s", names[event]);
}

static void *json_open(struct note *note)
{
	struct reader *reader = malloc(sizeof(*reader));

	assert_non_null(reader);
	json_scanner_init(&reader->json, keys, on_event, reader);
	reader->note = note;
	return reader;
}

static void json_feed(void *owner, uint64_t at, const void *data, size_t len)
{
	struct reader *reader = owner;

	(void)at;
	json_scanner_feed(&reader->json, data, len);
}

static void json_close(void *owner)
{
	struct reader *reader = owner;

	result = json_scanner_end(&reader->json);
	free(reader);
}

static const struct replay replay = {json_open, json_feed, json_close};

// A scanner takes each byte once, so the overlapping replays are not for it.
static int scan(const char *bytes, size_t len, struct note *ret_note)
{
	static struct note other;
	void *reader;
	int whole;

	replay_twice(&replay, bytes, len, len, 0, ret_note);
	whole = result;
	for (size_t cut = 0; cut < len; cut++) {
		replay_twice(&replay, bytes, len, cut, 0, &other);
		assert_string_equal(other.text, ret_note->text);
		assert_int_equal(result, whole);
	}
	reader = replay.open(&other);
	other.used = 0;
	other.text[0] = '\0';
	for (size_t i = 0; i < len; i++)
		replay_piece(&replay, reader, bytes, i, i + 1);
	replay.close(reader);
	assert_string_equal(other.text, ret_note->text);
	assert_int_equal(result, whole);
	return whole;
}

static const struct {
	const char *json;
	const char *said;
} documents[] = {
	{"{}", " { }"},
	{" [ ] ", " [ ]"},
	{"1", " =1"},
	{"-0.5e+10", " =-0.5e+10"},
	{"\"\"", " \"\"(0)"},
	{"true", " true"},
	{"{\"model\":\"a\",\"x\":[1,{\"model\":null}]}",
	 " { m\"a\"(1) ?[ ?#=1 ?#{ ?#mnull ?#} ?] }"},
	{"[true,false,null,0,-1,2.5,1E3]", " [ #true #false #null #=0 #=-1 #=2.5 #=1E3 ]"},
	{"{\"mod\\u0065l\":1}", " { m=1 }"},                 // an escaped key is the same key
	{"{\"model\\u0000\":1,\"mode\":2}", " { ?=1 ?=2 }"}, // not a prefix, not beyond a NUL
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", " \"\"\\/\b\f\n\r\t\"(8)"},
	{"\"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!\"",
	 " \"h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!\"(5)"},
	{"\"\\u00e9\\u20AC\"", " \"\xc3\xa9\xe2\x82\xac\"(2)"},
	{"\"\\ud83d\\ude00\"", " \"\xf0\x9f\x98\x80\"(1)"}, // a pair is one
	{"\"\\ud83d\"", " \"\xef\xbf\xbd\"(1)"},            // a lone half is one
	{"\"\\ud83dx\\ude00\"", " \"\xef\xbf\xbdx\xef\xbf\xbd\"(3)"},
	{"\"\\ud83d\\n\"", " \"\xef\xbf\xbd\n\"(2)"},
	{"\"\\ud83d\\ud83d\\ude00\"", " \"\xef\xbf\xbd\xf0\x9f\x98\x80\"(2)"},
	{"\"\\ude00\\ud83d\"", " \"\xef\xbf\xbd\xef\xbf\xbd\"(2)"},
};

static void documents_are_read(void **state)
{
	static struct note note;

	(void)state;
	for (size_t i = 0; i < LENGTH(documents); i++) {
		int r = scan(documents[i].json, strlen(documents[i].json), &note);

		assert_string_equal(note.text, documents[i].said);
		assert_int_equal(r, 0);
	}
}

static const char *const malformed[] = {
	"",
	" ",
	"{",
	"[",
	"}",
	"]",
	"[1,]",
	"[,1]",
	"{,}",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\":1,}",
	"{a:1}",
	"{1:2}",
	"[1 2]",
	"1 2",
	"{}{}",
	"[}",
	"{]",
	"[1}",
	"{\"a\":1]",
	"01",
	"-",
	"-a",
	"1.",
	".5",
	"1.e3",
	"1e",
	"1e+",
	"+1",
	"0x10",
	"1-",
	"NaN",
	"tru",
	"trux",
	"nul",
	"True",
	"\"",
	"\"a",
	"\"\\x\"",
	"\"\\u",
	"\"\\u12",
	"\"\\u12g4\"",
	"\"\n\"",
	"\"\x01\"",
	"\"\t\"",
	"'a'",
	"[1]]",
	"[\"a\":1]",
	"{\"a\",1}",
	"\xef\xbb\xbf{}",
	"// x\n1",
	"\"\\ud83d\\u12\"",
};

static void malformed_documents_are_refused(void **state)
{
	static struct note note;

	(void)state;
	for (size_t i = 0; i < LENGTH(malformed); i++)
		if (scan(malformed[i], strlen(malformed[i]), &note) != -EBADMSG)
			fail_msg("taken for JSON: %s", malformed[i]);
	assert_int_equal(scan("[\0]", 3, &note), -EBADMSG);
	assert_int_equal(scan("\"\\\0\"", 4, &note), -EBADMSG);
}

static void a_failed_scanner_stays_failed(void **state)
{
	static struct note note;
	struct reader reader = {.note = &note};

	(void)state;
	note.used = 0;
	json_scanner_init(&reader.json, keys, on_event, &reader);
	assert_int_equal(json_scanner_feed(&reader.json, "]", 1), -EBADMSG);
	assert_int_equal(json_scanner_feed(&reader.json, "{}", 2), -EBADMSG);
	assert_int_equal(json_scanner_end(&reader.json), -EBADMSG);
	assert_int_equal(note.used, 0);
	json_scanner_reset(&reader.json);
	assert_int_equal(json_scanner_feed(&reader.json, "{}", 2), 0);
	assert_int_equal(json_scanner_end(&reader.json), 0);
}

static int scan_nested(size_t depth, char open, char close)
{
	static struct note note;
	struct reader reader = {.note = &note};
	char *text = malloc(2 * depth);
	int r;

	assert_non_null(text);
	memset(text, open, depth);
	memset(text + depth, close, depth);
	note.used = 0;
	json_scanner_init(&reader.json, keys, on_event, &reader);
	r = json_scanner_feed(&reader.json, text, 2 * depth);
	free(text);
	return r ? r : json_scanner_end(&reader.json);
}

static void nesting_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(scan_nested(JSON_MAX_DEPTH, '[', ']'), 0);
	assert_int_equal(scan_nested(JSON_MAX_DEPTH + 1, '[', ']'), -E2BIG);
	assert_int_equal(scan_nested(1000, '[', ']'), -E2BIG);
	assert_int_equal(scan_nested(100000, '[', ']'), -E2BIG);
}

static void long_text_is_cut_but_counted(void **state)
{
	static struct note note;
	char json[400], said[400], text[JSON_TEXT_SIZE + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[JSON_TEXT_SIZE - 1] = '\0';
	snprintf(json, sizeof(json), "\"%s\"", text); // just fits
	snprintf(said, sizeof(said), " \"%s\"(127)", text);
	assert_int_equal(scan(json, strlen(json), &note), 0);
	assert_string_equal(note.text, said);

	snprintf(json, sizeof(json), "\"%s\\u20ac\"", text);
	snprintf(said, sizeof(said), " \"%s\"…(128)", text);
	assert_int_equal(scan(json, strlen(json), &note), 0);
	assert_string_equal(note.text, said);
}

static void a_key_of_64_bytes_can_match_a_longer_one_cannot(void **state)
{
	static const char key64[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const long_keys[] = {
		key64, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefg", NULL};
	static struct note note;
	struct reader reader = {.note = &note};
	char json[400];

	(void)state;
	snprintf(json, sizeof(json), "{\"%s\":1", key64);
	json_scanner_init(&reader.json, long_keys, on_event, &reader);
	assert_int_equal(json_scanner_feed(&reader.json, json, strlen(json)), 0);
	assert_int_equal(reader.json.path[0], 1);
	snprintf(json, sizeof(json), ",\"%sg\":1", key64);
	assert_int_equal(json_scanner_feed(&reader.json, json, strlen(json)), 0);
	assert_int_equal(reader.json.path[0], JSON_OTHER_KEY);
}

// The eight-bytes-at-a-time path against the definition, at every alignment and length.
static void code_points_of_every_mixture(void **state)
{
	static const char *const pieces[] = {"a",   "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
					     "\\n", "\\u20ac",  "\x7f"};
	static struct note note;
	uint64_t seed = 42;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct reader reader = {.note = &note};
		char json[600] = "\"";
		unsigned int count = (unsigned int)(seed >> 33) % 80;

		for (unsigned int i = 0; i < count; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			strcat(json, pieces[(seed >> 40) % (seed >> 63 ? LENGTH(pieces) : 1)]);
		}
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		note.used = 0;
		json_scanner_init(&reader.json, keys, on_event, &reader);
		assert_int_equal(json_scanner_feed(&reader.json, json, strlen(json)), 0);
		assert_true(json_scanner_in_string(&reader.json));
		assert_int_equal(reader.json.code_points, count);
		assert_int_equal(json_scanner_feed(&reader.json, "\"", 1), 0);
		assert_int_equal(json_scanner_end(&reader.json), 0);
		assert_int_equal(reader.json.code_points, count);
	}
}

struct extras {
	struct json_scanner json;
	struct note *note;
};

static void on_extra_event(void *owner, const struct json_scanner *json, enum json_event event)
{
	struct extras *extras = owner;

	if (event == JSON_KEY)
		note_add(extras->note, "key(%u)%s%s;", json->depth, json->text,
			 json->text_is_cut ? "…" : "");
	else if (event >= JSON_OBJECT_BEGIN)
		note_add(extras->note, "@%llu;", (unsigned long long)json->offset);
	else if (event == JSON_STRING)
		note_add(extras->note, "|");
}

static void on_extra_piece(void *owner, const struct json_scanner *json, const char *bytes,
			   size_t len)
{
	struct extras *extras = owner;

	assert_true(json->depth > 0);
	note_add(extras->note, "%.*s", (int)len, bytes);
}

// Keys, strings of any length, and offsets: what labels, refusals and the size of tools are read
// from.
static void keys_pieces_and_offsets_are_told_to_who_asks(void **state)
{
	static const char start[] = "{\"k\\u00e9y\":\"a\\n\\ud83d\\ude00",
			  end[] = "\",\"b\": [ 1, {} ]}";
	static struct note note;
	char text[400];
	size_t used = sizeof(start) - 1;

	(void)state;
	memcpy(text, start, used);
	memset(text + used, 'x', 200);
	strcpy(text + used + 200, end);
	used = strlen(text);
	for (size_t cut = 0; cut <= used; cut++) {
		struct extras extras = {.note = &note};
		char expected[400];

		note.used = 0;
		json_scanner_init(&extras.json, keys, on_extra_event, &extras);
		extras.json.tells_keys = true;
		extras.json.piece = on_extra_piece;
		json_scanner_feed(&extras.json, text, cut);
		json_scanner_feed(&extras.json, text + cut, used - cut);
		assert_int_equal(json_scanner_end(&extras.json), 0);
		snprintf(expected, sizeof(expected),
			 "@0;key(1)k\xc3\xa9y;a\n\xf0\x9f\x98\x80%.*s|key(1)b;@%zu;@%zu;@%zu;@%zu;@"
			 "%zu;",
			 200, text + sizeof(start) - 1, used - 10, used - 5, used - 4, used - 2,
			 used - 1);
		assert_string_equal(note.text, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_pieces_and_offsets_are_told_to_who_asks),
		cmocka_unit_test(documents_are_read),
		cmocka_unit_test(malformed_documents_are_refused),
		cmocka_unit_test(a_failed_scanner_stays_failed),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(long_text_is_cut_but_counted),
		cmocka_unit_test(a_key_of_64_bytes_can_match_a_longer_one_cannot),
		cmocka_unit_test(code_points_of_every_mixture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
