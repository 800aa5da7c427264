// Prices and tiers, built into the program from the CSV files of data/. A file of prices may bring
// newer ones: it has columns model, usd_per_1m_input, usd_per_1m_cached_input and
// usd_per_1m_output, and any others.
//
// A model is found by its own name or as a dated snapshot of a row: "gpt-4o-2024-08-06" by
// "gpt-4o", if there is no row of its own. A vendor's prefix ("openai/gpt-4o", as OpenRouter and
// others write it) is left out.
#include "config/tables.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "config/csv.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define MODEL_BYTES_MAX 128

// The assembler looks for the file from where make runs: the root of the repository.
#define EMBED(symbol, path)                                                                        \
	__asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"" path                              \
		"\"\n.byte 0\n.popsection\n");                                                     \
	extern const char symbol[]

EMBED(builtin_model_prices, "userspace/config/data/model_prices.csv");
EMBED(builtin_openai_tiers, "userspace/config/data/openai_tiers.csv");

#define CLEANUP_CSV __attribute__((cleanup(csv_close)))

static int check_model(struct csv *csv, const char *model)
{
	if (*model && strlen(model) < MODEL_BYTES_MAX)
		return 0;
	problems_add(csv->problems, csv->path, csv->line, "%s; expected the name of a model",
		     *model ? "the model's name is too long" : "a row without a model");
	return -EINVAL;
}

static struct price *find_row(const struct policy *policy, const char *model)
{
	for (size_t i = 0; i < policy->n_prices; i++)
		if (strcmp(policy->prices[i].model, model) == 0)
			return &policy->prices[i];
	return NULL;
}

// The row of that model, which may be a new one.
static struct price *price_slot(struct policy *policy, const char *model)
{
	struct price *price = find_row(policy, model);
	struct price *prices;

	if (price)
		return price;
	prices = reallocarray(policy->prices, policy->n_prices + 1, sizeof(*prices));
	if (!prices)
		return NULL;
	policy->prices = prices;
	price = &prices[policy->n_prices];
	*price = (struct price){.model = strdup(model)};
	if (!price->model)
		return NULL;
	policy->n_prices++;
	return price;
}

static int read_price(struct csv *csv, struct policy *policy)
{
	const char *model;
	double input, cached, output;

	if (csv_text(csv, "model", &model) < 0 || check_model(csv, model) < 0 ||
	    csv_number(csv, "usd_per_1m_input", 0, &input) < 0 ||
	    csv_number(csv, "usd_per_1m_cached_input", input, &cached) < 0 ||
	    csv_number(csv, "usd_per_1m_output", 0, &output) < 0)
		return -EINVAL;
	struct price *price = price_slot(policy, model);
	if (!price) {
		csv->problems->out_of_memory = true;
		return -ENOMEM;
	}
	price->input = input;
	price->cached_input = cached;
	price->output = output;
	return 0;
}

static int read_prices(struct policy *policy, const char *path, const char *text,
		       struct problems *problems)
{
	CLEANUP_CSV struct csv csv = {0};
	int err = csv_open(&csv, path, text, problems);

	while (!err) {
		int row = csv_next(&csv);
		if (row <= 0)
			return row;
		err = read_price(&csv, policy);
	}
	return err;
}

static int read_file(struct policy *policy, const char *path, struct problems *problems)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *text = malloc(FILE_BYTES_MAX + 1);
	size_t size = 0;
	ssize_t n = 1;

	if (!text) {
		problems->out_of_memory = true;
		return -ENOMEM;
	}
	while (fd >= 0 && n > 0 && size < FILE_BYTES_MAX) {
		n = read(fd, text + size, FILE_BYTES_MAX - size);
		if (n > 0)
			size += (size_t)n;
	}
	if (fd < 0 || n < 0) {
		problems_add(problems, path, 0,
			     "cannot be read (%m); expected a CSV file of prices");
		return -EINVAL;
	}
	if (size == FILE_BYTES_MAX || memchr(text, 0, size)) {
		problems_add(problems, path, 0, "is no CSV file; expected at most 1 MB of text");
		return -EINVAL;
	}
	text[size] = '\0';
	return read_prices(policy, path, text, problems);
}

static int compare_prices(const void *a, const void *b)
{
	const struct price *x = a, *y = b;

	return strcmp(x->model, y->model);
}

int tables_load_prices(struct policy *policy, const char *path, struct problems *problems)
{
	int err = read_prices(policy, "model_prices.csv", builtin_model_prices, problems);

	if (!err && path)
		err = read_file(policy, path, problems);
	if (policy->n_prices)
		qsort(policy->prices, policy->n_prices, sizeof(*policy->prices), compare_prices);
	return err;
}

static int read_tier(struct csv *csv, struct policy *policy)
{
	const char *model;
	double tier, rpm, tpm, ipm;

	if (csv_text(csv, "model", &model) < 0 || check_model(csv, model) < 0 ||
	    csv_number(csv, "tier", 0, &tier) < 0 || csv_number(csv, "rpm", -1, &rpm) < 0 ||
	    csv_number(csv, "tpm", -1, &tpm) < 0 || csv_number(csv, "ipm", -1, &ipm) < 0)
		return -EINVAL;
	if (tier != 1 && tier != 2 && tier != 3 && tier != 4 && tier != 5) {
		problems_add(csv->problems, csv->path, csv->line,
			     "tier is out of range; expected 1 to 5");
		return -EINVAL;
	}
	size_t i = (size_t)tier - 1;
	struct tier_row *rows =
		reallocarray(policy->tiers[i], policy->n_tiers[i] + 1, sizeof(*rows));
	if (rows) {
		policy->tiers[i] = rows;
		rows += policy->n_tiers[i];
		*rows = (struct tier_row){
			.model = strdup(model), .rpm = rpm, .tpm = tpm, .ipm = ipm};
	}
	if (!rows || !rows->model) {
		csv->problems->out_of_memory = true;
		return -ENOMEM;
	}
	policy->n_tiers[i]++;
	return 0;
}

int tables_load_tiers(struct policy *policy, struct problems *problems)
{
	CLEANUP_CSV struct csv csv = {0};
	int err = csv_open(&csv, "openai_tiers.csv", builtin_openai_tiers, problems);

	while (!err) {
		int row = csv_next(&csv);
		if (row <= 0)
			return row;
		err = read_tier(&csv, policy);
	}
	return err;
}

static bool has_shape(const char *text, const char *shape)
{
	for (; *shape; shape++, text++)
		if (*shape == '9' ? !isdigit((unsigned char)*text) : *text != *shape)
			return false;
	return !*text;
}

// Is `model` the row's own, or a dated snapshot of it?
static bool is_of_row(const char *row, const char *model)
{
	for (; *row && *row == *model; row++)
		model++;
	if (*row)
		return false;
	return !*model || has_shape(model, "-9999-99-99") || has_shape(model, "-9999");
}

static bool covers(const char *row, const char *model)
{
	const char *slash = strrchr(model, '/');

	return is_of_row(row, model) || (slash && is_of_row(row, slash + 1));
}

const struct price *policy_find_price(const struct policy *policy, const char *model)
{
	const struct price *best = NULL;

	for (size_t i = 0; i < policy->n_prices; i++)
		if (covers(policy->prices[i].model, model) &&
		    (!best || strlen(best->model) < strlen(policy->prices[i].model)))
			best = &policy->prices[i];
	return best;
}

const struct tier_row *tier_find(const struct tier_row *rows, size_t n_rows, const char *model)
{
	const struct tier_row *best = NULL;

	for (size_t i = 0; i < n_rows; i++)
		if (covers(rows[i].model, model) &&
		    (!best || strlen(best->model) < strlen(rows[i].model)))
			best = &rows[i];
	return best;
}
