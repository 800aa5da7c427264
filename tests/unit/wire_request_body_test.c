// If this fails, requests are charged wrongly: the model, the caps, or the amount of text and
// images that a JSON body holds.
#include "wire_replay.h"

#define POST "POST / HTTP/1.1\r\nContent-Type: application/json\r\n"

static void note_facts(struct note *note, const struct request *r)
{
	note_text(note, "model", r->model);
	note_text(note, "user", r->user);
	note_text(note, "safety", r->safety_identifier);
	note_number(note, "tools", r->tools_bytes, 0);
	note_add(note, "%s", r->stream ? " stream" : "");
	note_number(note, "text", r->text_chars, 0);
	note_number(note, "messages", r->messages, 0);
	note_number(note, "images", r->images_in, 0);
	note_number(note, "tokens", r->input_tokens, 0);
	note_number(note, "max", r->max_tokens, REQUEST_ABSENT);
	note_number(note, "max_completion", r->max_completion_tokens, REQUEST_ABSENT);
	note_number(note, "max_output", r->max_output_tokens, REQUEST_ABSENT);
	note_number(note, "n", r->n, REQUEST_ABSENT);
	note_number(note, "best_of", r->best_of, REQUEST_ABSENT);
	note_add(note, "%s", r->body_json_whole ? " whole" : "");
}

static void on_event(void *owner, enum conversation_event event, const struct request *r)
{
	struct note *note = owner;

	if (event != REQUEST_COMPLETE)
		return;
	note_facts(note, r);
	note_add(note, ";");
}

static void *request_open(struct note *note)
{
	void *reader = request_reader_new(on_event, note);

	assert_non_null(reader);
	return reader;
}

static void request_feed(void *reader, uint64_t at, const void *data, size_t len)
{
	request_reader_feed(reader, at, data, len);
}

static void request_close(void *reader)
{
	request_reader_free(reader);
}

static const struct replay replay = {request_open, request_feed, request_close};

// What a POST with this JSON body turns out to be.
static const char *facts_of(const char *json, struct note *note)
{
	char bytes[4096];
	int n = snprintf(bytes, sizeof(bytes), POST "Content-Length: %zu\r\n\r\n%s", strlen(json),
			 json);

	assert_in_range(n, 1, sizeof(bytes) - 1);
	replay_all_ways(&replay, bytes, (size_t)n, note);
	return note->text;
}

static const struct {
	const char *json;
	const char *facts;
} bodies[] = {
	{"{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}",
	 " model=gpt-4o text=5 messages=1 whole;"},
	// The Python client sends the model last; names in between are decoys.
	{"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\",\"model\":\"a\",\"n\":9},{"
	 "\"content\":\"é€😀\"}],"
	 "\"metadata\":{\"model\":\"b\",\"stream\":true,\"messages\":[{\"content\":\"x\"}]},"
	 "\"tools\":[{\"function\":{\"name\":\"model\",\"parameters\":{\"max_tokens\":5}}}],"
	 "\"model\":\"gpt-4o\"}",
	 " model=gpt-4o tools=61 text=5 messages=2 whole;"},
	{"[{\"model\":\"gpt-4o\",\"n\":1}]", " whole;"}, // not an object
	{"{\"a\":{\"model\":\"m\"},\"b\":[\"model\",\"m\"],\"c\":\"model\"}", " whole;"},
	{"{\"model\":\"m\",\"stream\":true,\"user\":\"u-1\",\"max_tokens\":16,"
	 "\"max_completion_tokens\":17,\"max_output_tokens\":18,\"n\":2,\"best_of\":3}",
	 " model=m user=u-1 stream max=16 max_completion=17 max_output=18 n=2 best_of=3 whole;"},
	{"{\"max_tokens\":null,\"n\":\"2\",\"best_of\":-1,\"stream\":\"true\",\"model\":5,\"user\":"
	 "null}",
	 " whole;"},
	{"{\"max_tokens\":1e3,\"n\":2.0,\"best_of\":1.5,\"max_output_tokens\":1e400}",
	 " max=1000 n=2 whole;"},
	{"{\"model\":\"a\",\"n\":1,\"stream\":true,\"model\":\"b\",\"n\":null,\"stream\":false}",
	 " model=b whole;"}, // the last wins
	{"{\"messages\":[{\"content\":\"hello\"}],\"messages\":[{\"content\":\"a\"},{\"content\":"
	 "\"b\"}]}",
	 " text=2 messages=2 whole;"},
	{"{\"input\":\"hello\",\"prompt\":\"ab\",\"instructions\":\"c\",\"input\":\"hi\"}",
	 " text=5 whole;"},
	{"{\"model\":\"a\\u001b[2J\\u0000\\\"\\u00e9\\ud800\"}",
	 " model=a?[2J?\"\xc3\xa9\xef\xbf\xbd whole;"},
	{"{\"prompt\":\"\\u00e9\\ud83d\\ude00\\n\"}", " text=3 whole;"},
	{"{\"user\":\"u\",\"safety_identifier\":\"s\",\"metadata\":{\"user\":\"x\",\"safety_"
	 "identifier\":"
	 "\"y\"}}",
	 " user=u safety=s whole;"},
	// Tools are counted in bytes, as they stand there; null and other kinds are none.
	{"{\"tools\": [ {\"a\": \"\u00e9]\"} ] ,\"n\":1}", " tools=16 n=1 whole;"},
	{"{\"functions\":[]}", " tools=2 whole;"},
	{"{\"tools\":[1],\"tools\":null}", " whole;"},
	{"{\"a\":{\"tools\":[1]},\"tools\":{\"b\":[1]}}", " tools=9 whole;"},
	{"{\"tools\":[1,2", " tools=4;"},
	// Parts, whatever the order of their fields; an image's URL is no text.
	{"{\"messages\":[{\"content\":[{\"type\":\"text\",\"text\":\"what\"},"
	 "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
	 "png;base64,AAAA\",\"text\":\"x\"}},"
	 "{\"image_url\":\"https://a/text\",\"type\":\"input_image\"},"
	 "{\"text\":\"is\",\"type\":\"text\"},{\"type\":\"image\",\"source\":{\"data\":\"AAAA\"}}]}"
	 "]}",
	 " text=6 messages=1 images=3 whole;"},
	{"{\"messages\":[{\"role\":\"assistant\",\"content\":null},{\"content\":[]},\"x\",7]}",
	 " messages=4 whole;"},
	{"{\"messages\":{\"content\":\"no array\"}}", " whole;"},
	{"{\"messages\":[[{\"content\":\"too deep\"}]]}", " messages=1 whole;"},
	// prompt and input
	{"{\"prompt\":[\"ab\",\"c\"]}", " text=3 whole;"},
	{"{\"prompt\":[1,2,3]}", " tokens=3 whole;"},
	{"{\"prompt\":[[1,2],[3]]}", " tokens=3 whole;"},
	{"{\"prompt\":{\"id\":\"pmpt_1\",\"variables\":{\"text\":\"abc\"}}}", " whole;"},
	{"{\"input\":[\"ab\",\"c\"]}", " text=3 whole;"},
	{"{\"input\":[1,2,3]}", " tokens=3 whole;"},
	{"{\"input\":[[1,2],[3],[]]}", " tokens=3 whole;"},
	{"{\"input\":[{\"role\":\"user\",\"content\":\"hello\"},{\"type\":\"message\",\"content\":["
	 "{\"type\":\"input_text\",\"text\":\"abc\"},{\"type\":\"input_image\",\"image_url\":"
	 "\"data:AAAA\"}]}],"
	 "\"instructions\":\"be\"}",
	 " text=10 images=1 whole;"},
	{"{\"input\":[{\"type\":\"text\",\"text\":\"abc\"},{\"type\":\"image_url\",\"image_url\":{"
	 "\"url\":\"u\"}}]}",
	 " text=3 images=1 whole;"}, // moderations
	// Anthropic: `system`, and what tools were called with and have answered, which in an
	// agent's conversation is most of it.
	{"{\"system\":\"be\",\"max_tokens\":9,\"messages\":[{\"content\":\"hi\"}]}",
	 " text=4 messages=1 max=9 whole;"},
	{"{\"system\":[{\"type\":\"text\",\"text\":\"be\",\"cache_control\":{\"type\":"
	 "\"ephemeral\"}},{\"text\":\"kind\",\"type\":\"text\"}]}",
	 " text=6 whole;"},
	{"{\"messages\":[{\"content\":[{\"type\":\"tool_use\",\"id\":\"xxxx\",\"name\":\"yyyy\","
	 "\"input\":{\"path\":\"abc\",\"edits\":[{\"new\":\"de\"}],\"n\":5}}]}]}",
	 " text=5 messages=1 whole;"},
	{"{\"messages\":[{\"content\":[{\"type\":\"tool_result\",\"content\":\"abc\"},"
	 "{\"content\":[{\"type\":\"text\",\"text\":\"de\"},{\"type\":\"image\",\"source\":{"
	 "\"type\":\"base64\",\"data\":\"AAAA\"}}],\"type\":\"tool_result\"}]}]}",
	 " text=5 messages=1 images=1 whole;"},
	// Broken JSON: what was read before stands, but it is not whole.
	{"{\"model\":\"m\",\"n\":2", " model=m;"},
	{"{\"model\":\"m\",\"n\":2}x", " model=m n=2;"},
	{"{\"model\":\"m\"\"n\":2}", " model=m;"},
	{"model=m", ";"},
};

static void facts_of_bodies(void **state)
{
	static struct note note;

	(void)state;
	for (size_t i = 0; i < LENGTH(bodies); i++)
		assert_string_equal(facts_of(bodies[i].json, &note), bodies[i].facts);
}

// A request is decided when 64 KB of it are in: what is open by then must count already.
static void half_a_string_counts(void **state)
{
	static const char body[] = "{\"messages\":[{\"content\":[{\"text\":\"hello wor";
	static struct note note;
	struct request_reader *reader = request_reader_new(on_event, &note);

	(void)state;
	assert_non_null(reader);
	request_reader_feed(reader, 0, POST "Content-Length: 100\r\n\r\n", 72);
	request_reader_feed(reader, 72, body, sizeof(body) - 1);
	assert_int_equal(request_reader_current(reader)->text_chars, 9);
	assert_int_equal(request_reader_current(reader)->messages, 1);
	request_reader_feed(reader, 72 + sizeof(body) - 1, "ld\",\"image_url\":\"ab", 19);
	assert_int_equal(request_reader_current(reader)->text_chars, 11);
	request_reader_free(reader);
}

static void half_an_answer_of_a_tool_counts(void **state)
{
	static const char body[] =
		"{\"messages\":[{\"content\":[{\"content\":[{\"text\":\"hello wor";
	static struct note note;
	struct request_reader *reader = request_reader_new(on_event, &note);

	(void)state;
	assert_non_null(reader);
	request_reader_feed(reader, 0, POST "Content-Length: 100\r\n\r\n", 72);
	request_reader_feed(reader, 72, body, sizeof(body) - 1);
	assert_int_equal(request_reader_current(reader)->text_chars, 9);
	request_reader_feed(reader, 72 + sizeof(body) - 1, "ld\"", 3);
	assert_int_equal(request_reader_current(reader)->text_chars, 11);
	request_reader_free(reader);
}

static void megabytes_of_text(void **state)
{
	static struct note note;
	size_t length = 1 << 20, used;
	char *bytes = malloc(3 * length);
	struct request_reader *reader;

	(void)state;
	assert_non_null(bytes);
	used = (size_t)sprintf(bytes,
			       POST "Content-Length: %zu\r\n\r\n"
				    "{\"messages\":[{\"content\":\"",
			       2 * length + 25 + 16);
	for (size_t i = 0; i < length; i++)
		memcpy(bytes + used + 2 * i, "\xc3\xa9", 2);
	used += 2 * length;
	used += (size_t)sprintf(bytes + used, "\"}],\"model\":\"m\"}");
	for (size_t piece = 1; piece < 2 * used; piece = piece * 7 + 3) {
		reader = request_reader_new(on_event, &note);
		note.used = 0;
		for (size_t at = 0; at < used; at += piece)
			request_reader_feed(reader, at, bytes + at,
					    used - at < piece ? used - at : piece);
		request_reader_free(reader);
		assert_non_null(strstr(note.text, " model=m text=1048576 messages=1 whole;"));
	}
	free(bytes);
}

static void deep_nesting_ends_the_json_not_the_request(void **state)
{
	static struct note note;
	char json[2200] = "{\"model\":\"m\",\"x\":";

	(void)state;
	memset(json + 17, '[', 1000);
	memset(json + 1017, ']', 1000);
	strcpy(json + 2017, ",\"n\":1}");
	assert_string_equal(facts_of(json, &note), " model=m;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_of_bodies),
		cmocka_unit_test(half_a_string_counts),
		cmocka_unit_test(half_an_answer_of_a_tool_counts),
		cmocka_unit_test(megabytes_of_text),
		cmocka_unit_test(deep_nesting_ends_the_json_not_the_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
