// What Sluice takes a request to be charged, against what OpenAI did charge: recorded exchanges,
// one a line (SLUICE_CHARGES_CSV, else ../shared/data/openai_charges.csv). If this fails, limits
// are kept by numbers that are not OpenAI's: programs wait for nothing, or earn 429s.
//
// A line is right if it is within 5 tokens or 10 % of the charge. Not all can be: the headers of a
// reasoning model's /responses come when the charge has been refilled (govern/cost.c), so they are
// also shown apart. Images are not text, and the recordings hold few; they are shown only.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "govern/cost.h"

#define DEFAULT_CSV "../shared/data/openai_charges.csv"
#define MAX_LINES 5000

struct line {
	struct request request;
	char endpoint[40];
	char month[8]; // "2026-03"
	bool has_image;
	double charged, error;
	bool is_right;
};

static struct line lines[MAX_LINES];
static size_t n_lines;

enum column {
	ENDPOINT,
	MODEL,
	MONTH,
	STATUS,
	CHARS,
	MESSAGES,
	MAX_TOKENS,
	MAX_COMPLETION_TOKENS,
	MAX_OUTPUT_TOKENS,
	N,
	TOOLS,
	IMAGE,
	LIMIT_OF_TOKENS,
	CHARGED,
	N_NEEDED
};

#define HEADING                                                                                    \
	"endpoint,model,month,status,chars,messages,max_tokens,max_completion_tokens,"             \
	"max_output_tokens,n,tools,image,limit_tokens,charged_tokens"

static uint64_t number(const char *text, uint64_t absent)
{
	return *text ? strtoull(text, NULL, 10) : absent;
}

static void read_line(char *text, struct line *line)
{
	const char *columns[N_NEEDED];
	struct request *r = &line->request;

	for (size_t i = 0; i < N_NEEDED; i++) {
		columns[i] = strsep(&text, ",\n");
		if (!columns[i])
			fail_msg("line %zu has %zu columns, not %d", n_lines + 2, i, N_NEEDED);
	}
	snprintf(line->endpoint, sizeof(line->endpoint), "%s", columns[ENDPOINT]);
	snprintf(line->month, sizeof(line->month), "%s", columns[MONTH]);
	line->has_image = number(columns[IMAGE], 0);
	line->charged = (double)number(columns[CHARGED], 0);
	strcpy(r->method, "POST");
	snprintf(r->path, sizeof(r->path), "/v1/%s", columns[ENDPOINT]);
	snprintf(r->model, sizeof(r->model), "%s", columns[MODEL]);
	r->has_json_body = r->body_json_whole = true;
	r->text_chars = number(columns[CHARS], 0);
	r->images_in = number(columns[IMAGE], 0);
	r->tools_bytes = number(columns[TOOLS], 0);
	r->max_tokens = number(columns[MAX_TOKENS], REQUEST_ABSENT);
	r->max_completion_tokens = number(columns[MAX_COMPLETION_TOKENS], REQUEST_ABSENT);
	r->max_output_tokens = number(columns[MAX_OUTPUT_TOKENS], REQUEST_ABSENT);
	r->n = number(columns[N], REQUEST_ABSENT);
	r->best_of = REQUEST_ABSENT;
	if (!strcmp(line->endpoint, "chat/completions"))
		r->messages = number(columns[MESSAGES], 0);
}

static void judge(struct line *line)
{
	enum charge_rule rule =
		strcmp(line->month, "2025-03") < 0 ? CHARGE_UNTIL_2025 : CHARGE_SINCE_2025;
	double amounts[N_RESOURCES];

	cost_of_request(&line->request, 0, NULL, amounts); // what the daemon uses
	if (rule != CHARGE_SINCE_2025)
		amounts[RESOURCE_TOKENS] = charge_of_request(&line->request, 0, rule);
	line->error = fabs(amounts[RESOURCE_TOKENS] - line->charged);
	line->is_right = line->error <= fmax(5, line->charged / 10);
}

static bool read_csv(void)
{
	const char *path = getenv("SLUICE_CHARGES_CSV") ?: DEFAULT_CSV;
	CLEANUP_FCLOSE FILE *file = fopen(path, "re");
	char text[512];

	if (!file) {
		print_message("SKIP: no %s (%m); SLUICE_CHARGES_CSV names another\n", path);
		return false;
	}
	if (!fgets(text, sizeof(text), file) || strncmp(text, HEADING, strlen(HEADING)))
		fail_msg("%s: does not begin with %s", path, HEADING);
	for (; fgets(text, sizeof(text), file); n_lines++) {
		assert_true(n_lines < MAX_LINES);
		read_line(text, &lines[n_lines]);
		judge(&lines[n_lines]);
	}
	return true;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

typedef bool (*choice)(const struct line *line, const char *wanted);

// Prints the figures of the lines chosen, and returns the share that is right.
static double show(const char *name, choice is_chosen, const char *wanted)
{
	static double errors[MAX_LINES];
	size_t n = 0, right = 0;

	for (size_t i = 0; i < n_lines; i++)
		if (is_chosen(&lines[i], wanted)) {
			errors[n++] = lines[i].error;
			right += lines[i].is_right;
		}
	if (!n)
		return 1;
	qsort(errors, n, sizeof(*errors), by_value);
	print_message("%-44s %5zu lines   median error %6.1f tokens   right %5.1f %%\n", name, n,
		      (errors[(n - 1) / 2] + errors[n / 2]) / 2, 100 * (double)right / (double)n);
	return (double)right / (double)n;
}

static bool is_any(const struct line *line, const char *wanted)
{
	(void)line, (void)wanted;
	return true;
}

static bool is_text(const struct line *line, const char *wanted)
{
	(void)wanted;
	return !line->has_image;
}

static bool is_text_since(const struct line *line, const char *month)
{
	return !line->has_image && strcmp(line->month, month) >= 0;
}

static bool is_text_of(const struct line *line, const char *endpoint)
{
	return !line->has_image && !strcmp(line->endpoint, endpoint);
}

// As in govern/cost.c, but read off the names in the recordings.
static bool is_late(const struct line *line, const char *wanted)
{
	(void)wanted;
	return is_text_of(line, "responses") &&
	       (!strncmp(line->request.model, "gpt-5", 5) ||
		(line->request.model[0] == 'o' && isdigit((unsigned char)line->request.model[1])));
}

static bool is_text_in_time(const struct line *line, const char *month)
{
	return is_text_since(line, month) && !is_late(line, NULL);
}

static void charges_are_openai_s(void **state)
{
	double all, chat, completions, embeddings;

	(void)state;
	if (!read_csv())
		skip();
	show("all", is_any, NULL);
	all = show("text only", is_text, NULL);
	chat = show("  chat/completions", is_text_of, "chat/completions");
	completions = show("  completions", is_text_of, "completions");
	embeddings = show("  embeddings", is_text_of, "embeddings");
	show("  responses", is_text_of, "responses");
	show("    of these, of reasoning models", is_late, NULL);
	show("  since 2025-03", is_text_since, "2025-03");
	show("  since 2026-01", is_text_since, "2026-01");
	show("  since 2025-03, without reasoning /responses", is_text_in_time, "2025-03");
	show("  since 2026-01, without reasoning /responses", is_text_in_time, "2026-01");
	assert_true(all >= 0.85);
	assert_true(chat >= 0.95 && completions >= 0.95 && embeddings >= 0.95);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(charges_are_openai_s),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
