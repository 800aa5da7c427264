// The policy language as its writer meets it: for each mistake the line and the words that are
// shown (CONFIG_TEST_SHOW=1 prints them all), and that no file, however broken, is read otherwise
// than whole or not at all. Run from the root of the repository.
#include <fcntl.h>

#include "config/document.h"
#include "data/config/place.h"

#include "data/config/mistakes.h"

#define PRICE_COLUMNS "model,usd_per_1m_input,usd_per_1m_cached_input,usd_per_1m_output\n"

// One line of a message: it begins with the place, and holds every word in turn.
static void assert_message(const char *message, const char *path, int line, const char *words)
{
	char begin[160];

	if (line)
		snprintf(begin, sizeof(begin), "%s:%d: ", path, line);
	else
		snprintf(begin, sizeof(begin), "%s: ", path);
	if (strncmp(message, begin, strlen(begin)) != 0)
		fail_msg("not at %s\n  %s", begin, message);

	char *list = strdup(words), *rest = list;
	const char *at = message;
	for (char *word; (word = strsep(&rest, "|"));) {
		at = strstr(at, word);
		if (!at)
			fail_msg("no \"%s\" in\n  %s", word, message);
	}
	free(list);
	if (!strstr(message, "; expected "))
		fail_msg("does not say what was expected:\n  %s", message);
	if (strchr(message, '\n'))
		fail_msg("more than one problem:\n%s", message);
}

static void every_mistake_names_its_line(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(MISTAKES) / sizeof(MISTAKES[0]); i++) {
		write_text(place->file, MISTAKES[i].text);
		char *error = load_bad(place->file);
		if (getenv("CONFIG_TEST_SHOW"))
			fprintf(stderr, "%s\n", error);
		assert_message(error, place->file, MISTAKES[i].line, MISTAKES[i].words);
		free(error);
	}
}

static void mistakes_in_added_files_name_that_file(void **state)
{
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(ADDED_MISTAKES) / sizeof(ADDED_MISTAKES[0]); i++) {
		const struct added_mistake *m = &ADDED_MISTAKES[i];
		write_text(place->file, m->main);
		write_text(place->added, m->added);
		char *error = load_bad(place->file);
		if (getenv("CONFIG_TEST_SHOW"))
			fprintf(stderr, "%s\n", error);
		assert_message(error, m->in_main ? place->file : place->added, m->line, m->words);
		free(error);
	}
}

static void a_yml_file_is_not_overlooked(void **state)
{
	struct place *place = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/policies.d/x.yml", place->directory);
	write_text(place->file, "");
	write_text(path, "limits: [{name: a, rpm: 1}]\n");
	char *error = load_bad(place->file);
	unlink(path);
	assert_message(error, path, 0, "would not be read|.yaml");
	free(error);
}

static void unreadable_files_are_named(void **state)
{
	struct place *place = *state;

	char *error = load_bad(place->file);
	assert_message(error, place->file, 0, "cannot be opened|No such file");
	free(error);

	error = load_bad(place->directory);
	assert_message(error, place->directory, 0, "is a directory");
	free(error);

	write_text(place->file, "");
	chmod(place->file, 0);
	if (access(place->file, R_OK) < 0) { // root reads anything
		error = load_bad(place->file);
		assert_message(error, place->file, 0, "cannot be opened|Permission denied");
		free(error);
	}
}

// Writes `count` times `piece` between `head` and `tail`.
static void write_repeated(const char *path, const char *head, const char *piece, size_t count,
			   const char *tail)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(head, out);
	for (size_t i = 0; i < count; i++)
		fputs(piece, out);
	fputs(tail, out);
	assert_int_equal(fclose(out), 0);
}

static void labels_are_bounded(void **state)
{
	struct place *place = *state;
	FILE *out = fopen(place->file, "w");

	assert_non_null(out);
	fputs("labels:\n", out);
	for (int i = 0; i < 2000; i++)
		fprintf(out, "- label-%d\n", i);
	fclose(out);
	char *error = load_bad(place->file);
	assert_non_null(strstr(error, "too many labels; expected at most 1000"));
	free(error);
}

static void prices_of_ones_own_are_checked(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *words;
	} cases[] = {
		{"", 0, "is empty|column names"},
		{"model,usd_per_1m_input\na,1\n", 1, "no column usd_per_1m_cached_input"},
		{PRICE_COLUMNS "a,1,2\n", 2, "3 fields|4, as in the header"},
		{PRICE_COLUMNS "# x\na,1,2,3\nb,1,two,3\n", 4,
		 "usd_per_1m_cached_input \"two\" is not a number"},
		{PRICE_COLUMNS "a,-1,2,3\n", 2, "usd_per_1m_input \"-1\" is negative"},
		{PRICE_COLUMNS ",1,2,3\n", 2, "a row without a model"},
		{PRICE_COLUMNS "\"a\",1,2,3\n", 2, "a quoted field"},
	};
	struct place *place = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/prices.csv", place->directory);
	write_text(place->file, "mode: observe\nprices: prices.csv\n");
	char *error = load_bad(place->file);
	assert_message(error, place->file, 2, "cannot be read|No such file|a CSV file");
	free(error);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_text(path, cases[i].text);
		error = load_bad(place->file);
		assert_message(error, path, cases[i].line, cases[i].words);
		free(error);
	}
	unlink(path);
}

static void hostile_sizes_are_refused(void **state)
{
	static const struct {
		const char *head, *piece;
		size_t count;
		const char *tail;
		int line;
		const char *words;
	} cases[] = {
		{"# ", "x", DOCUMENT_BYTES_MAX, "\n", 0, "too large|1 MB"},
		{"teams:\n  ", "[", 500000, "\n", 2, "nested too deep|16"},
		{"teams:\n  ", "{a: ", 200000, "\n", 2, "nested too deep"},
		{"limits:\n", "- &a x\n", 2000, "", 1002, "too many anchors"},
		{"teams:\n  - &t {name: a, user: b}\n", "  - *t\n", 100000, "", 2,
		 "too large|alias"},
		{"teams: &x [*x]\n", "", 0, "", 1, "wrong type for a team|a list"},
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_repeated(place->file, cases[i].head, cases[i].piece, cases[i].count,
			       cases[i].tail);
		char *error = load_bad(place->file);
		assert_message(error, place->file, cases[i].line, cases[i].words);
		free(error);
	}
}

static void several_mistakes_are_shown_at_once(void **state)
{
	struct place *place = *state;

	write_text(place->file,
		   "mode: on\nmax_wait: 600\nteams:\n  - {name: \"\"}\n  - {nme: x}\n");
	write_text(place->added, "mode: observe\n");
	char *error = load_bad(place->file), *rest = error;
	static const char *const words[] = {"is no mode",  "has no unit",
					    "is empty",    "unknown key",
					    "has no name", "belongs in the main file"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_non_null(strstr(strsep(&rest, "\n"), words[i]));
	assert_null(rest);
	free(error);

	// The 20 that fit, and how many did not.
	write_repeated(place->file, "teams:\n", "  - {user: a, rpm: -1}\n", 50, "");
	unlink(place->added);
	error = rest = load_bad(place->file);
	for (int i = 0; i < 20; i++)
		assert_non_null(strstr(strsep(&rest, "\n"), "; expected "));
	assert_string_equal(rest, "80 more problems are not shown");
	free(error);
}

static void keys_are_never_shown(void **state)
{
	static const char *const texts[] = {
		"limits: [{name: a, rpm: 1, match: {api_key: SECRET}}]\n",
		"limits: [{name: a, rpm: 1, match: {api_key: 0123456789abcdef0SECRET}}]\n",
		"limits: [{name: a, rpm: 1, match: {api_key: [SECRET]}}]\n",
		"limits: [{name: a, rpm: 1, match: {team: sk-proj-SECRET}}]\n",
		"limits: [{name: a, rpm: 1, match: {match_labels: {api_key: SECRET}}}]\n",
		"limits: [{name: a, rpm: 1, match: {sk-SECRET: a}}]\n",
		"rules: [{set: priority, value: sk-SECRET}]\n",
		"limits: [{name: a, rpm: 1, key: sk-SECRET}]\n",
		"limits: [{name: a, rpm: Bearer sk-SECRET}]\n",
		"sk-SECRET: 1\n",
		"blueprint: sk-SECRET\n",
	};
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_text(place->file, texts[i]);
		char *error = load_bad(place->file);
		if (strstr(error, "SECRET"))
			fail_msg("%s", error);
		free(error);
	}
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13; // xorshift32 (Marsaglia 2003)
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

// Up to four edits: a byte changed, a stretch dropped, a stretch copied elsewhere.
static size_t mutate(char *bytes, size_t size, size_t room, uint32_t *random)
{
	static const char special[] = "{}[]:,-&*!|>'\"%@`#?~\t\n \\<0.k/\xff\xc3";

	for (uint32_t edits = 1 + next_random(random) % 4; edits; edits--) {
		size_t at = next_random(random) % size, to = next_random(random) % size;
		size_t n = 1 + next_random(random) % 24;
		uint32_t kind = next_random(random) % 4;

		n = n > size - at ? size - at : n;
		if (kind == 0) {
			bytes[at] = (char)next_random(random);
		} else if (kind == 1) {
			bytes[at] = special[next_random(random) % (sizeof(special) - 1)];
		} else if (kind == 2 && n < size) {
			memmove(bytes + at, bytes + at + n, size - at - n);
			size -= n;
		} else if (kind == 3 && size + n <= room) {
			char piece[24];
			memcpy(piece, bytes + at, n);
			memmove(bytes + to + n, bytes + to, size - to);
			memcpy(bytes + to, piece, n);
			size += n;
		}
	}
	return size;
}

static void mutations_load_or_are_refused(void **state)
{
	struct place *place = *state;
	char good[8192], bytes[8192];
	uint32_t random = 20261107;
	size_t loaded = 0;
	int fd = open(DATA "design.yaml", O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, good, sizeof(good) / 2);

	close(fd);
	assert_true(size > 1000);
	for (int i = 0; i < 20000; i++) {
		memcpy(bytes, good, (size_t)size);
		write_bytes(place->file, bytes,
			    mutate(bytes, (size_t)size, sizeof(bytes), &random));
		char *error;
		struct policy *policy = policy_load(place->file, &error);
		if (!policy == !error)
			fail_msg("mutation %d: both or neither of policy and error", i);
		if (error && (strncmp(error, place->file, strlen(place->file)) != 0 ||
			      !strstr(error, "; expected ")))
			fail_msg("mutation %d: %s", i, error);
		loaded += policy != NULL;
		policy_free(policy);
		free(error);
	}
	assert_in_range(loaded, 100, 19900); // the mutations are neither all fatal nor all idle
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_mistake_names_its_line), TEST(mistakes_in_added_files_name_that_file),
		TEST(a_yml_file_is_not_overlooked), TEST(unreadable_files_are_named),
		TEST(hostile_sizes_are_refused),    TEST(several_mistakes_are_shown_at_once),
		TEST(keys_are_never_shown),         TEST(mutations_load_or_are_refused),
		TEST(labels_are_bounded),           TEST(prices_of_ones_own_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
