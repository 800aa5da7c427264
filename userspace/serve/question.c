// See question.h. What is not understood is an error: a misspelt label would get the answer to
// another question.
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "govern/teams.h"
#include "serve/governed.h"
#include "serve/question.h"
#include "wire/key_digest.h"

#define MAX_AMOUNT 1e15
#define TOKENS_PER_PRICE 1e6
#define KEY_DIGITS (KEY_DIGEST_TEXT - 1)

typedef struct json_object json;

struct asking {
	const struct policy *policy;
	const char **labels; // by number; borrowed from the question
	char estimated_tokens[32];
	struct ask ask;
	char *error; // NULL: none, or no memory for it
};

static int bad(struct asking *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int bad(struct asking *a, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&a->error, format, arguments) < 0)
		a->error = NULL;
	va_end(arguments);
	return -EINVAL;
}

// Numbers and booleans are taken as text, too. NULL: it is neither, or has a NUL in it.
static const char *scalar_text(json *value)
{
	const char *text = json_object_get_string(value);

	if (json_object_is_type(value, json_type_object) ||
	    json_object_is_type(value, json_type_array))
		return NULL;
	if (json_object_is_type(value, json_type_string) &&
	    strlen(text) != (size_t)json_object_get_string_len(value))
		return NULL;
	return text;
}

// Programs may say such a thing of a request although the policy does not ask for it.
static bool is_said_by_programs(const char *label)
{
	return !strncmp(label, "http.", strlen("http.")) ||
	       !strncmp(label, "body.", strlen("body."));
}

// Keys of buckets are shown, so no secret may become one.
static bool is_key_digest(const char *text)
{
	return strlen(text) == KEY_DIGITS && strspn(text, "0123456789abcdef") == KEY_DIGITS;
}

static int read_label(struct asking *a, const char *name, json *value)
{
	size_t label = policy_find_label(a->policy, name);
	const char *text = scalar_text(value);

	if (!value)
		return 0;
	if (!text)
		return bad(a, "labels: %.64s: expected a string, a number, true or false", name);
	if (label == NO_LABEL)
		return is_said_by_programs(name)
			       ? 0
			       : bad(a, "labels: the policy knows no label \"%.64s\"", name);
	if (label == LABEL_API_KEY && *text && !is_key_digest(text))
		return bad(a,
			   "labels: api_key: expected the first %d hex digits of its SHA-256, "
			   "in lower case",
			   KEY_DIGITS);
	a->labels[label] = *text ? text : NULL;
	return 0;
}

static int read_labels(struct asking *a, json *labels)
{
	int error = 0;

	if (labels && !json_object_is_type(labels, json_type_object))
		return bad(a, "labels: expected an object, {\"model\": \"gpt-4\"}");
	if (!labels)
		return 0;
	json_object_object_foreach (labels, name, value) {
		error = read_label(a, name, value);
		if (error)
			break;
	}
	return error;
}

static int resource_of(const char *name)
{
	for (int i = 0; i < N_RESOURCES; i++)
		if (!strcmp(resource_name(i), name))
			return i;
	return -1;
}

static int read_amount(struct asking *a, const char *name, json *value)
{
	bool is_number = json_object_is_type(value, json_type_int) ||
			 json_object_is_type(value, json_type_double);
	double amount = is_number ? json_object_get_double(value) : NAN;
	int resource = resource_of(name);

	if (resource < 0)
		return bad(a,
			   "amounts: unknown resource \"%.64s\"; expected requests, tokens, "
			   "images, input_tokens, output_tokens, total_tokens or cost",
			   name);
	if (!value)
		return 0;
	if (!(amount >= 0 && amount <= MAX_AMOUNT))
		return bad(a, "amounts: %s: expected a number from 0 to 1e15", name);
	a->ask.amounts[resource] = amount;
	return 0;
}

// NAN: not given.
static int read_amounts(struct asking *a, json *amounts)
{
	int error = 0;

	for (int i = 0; i < N_RESOURCES; i++)
		a->ask.amounts[i] = NAN;
	if (amounts && !json_object_is_type(amounts, json_type_object))
		return bad(a, "amounts: expected an object, {\"tokens\": 1200}");
	if (!amounts)
		return 0;
	json_object_object_foreach (amounts, name, value) {
		error = read_amount(a, name, value);
		if (error)
			break;
	}
	return error;
}

static void take_if_absent(double *amount, double value)
{
	if (isnan(*amount))
		*amount = value;
}

static double usual_cost(const struct asking *a)
{
	const char *model = a->labels[LABEL_MODEL];
	const struct price *price = model ? policy_find_price(a->policy, model) : NULL;
	const double *amounts = a->ask.amounts;

	return price ? (amounts[RESOURCE_INPUT_TOKENS] * price->input +
			amounts[RESOURCE_OUTPUT_TOKENS] * price->output) /
			       TOKENS_PER_PRICE
		     : 0;
}

static void complete_amounts(struct asking *a)
{
	double *amounts = a->ask.amounts;

	take_if_absent(&amounts[RESOURCE_REQUESTS], 1);
	take_if_absent(&amounts[RESOURCE_TOKENS], 0);
	take_if_absent(&amounts[RESOURCE_IMAGES], 0);
	take_if_absent(&amounts[RESOURCE_INPUT_TOKENS], amounts[RESOURCE_TOKENS]);
	take_if_absent(&amounts[RESOURCE_OUTPUT_TOKENS], 0);
	take_if_absent(&amounts[RESOURCE_TOTAL_TOKENS],
		       amounts[RESOURCE_INPUT_TOKENS] + amounts[RESOURCE_OUTPUT_TOKENS]);
	take_if_absent(&amounts[RESOURCE_COST], usual_cost(a));
}

static int find_team(struct asking *a)
{
	const char *name = a->labels[LABEL_TEAM], *uid = a->labels[LABEL_UID];
	const char *cgroup = a->labels[LABEL_CGROUP], *user = a->labels[LABEL_USER];

	if (name) {
		a->ask.team = policy_find_team(a->policy, name);
		return a->ask.team ? 0 : bad(a, "labels: the policy has no team \"%.64s\"", name);
	}
	a->ask.team = team_of_process(a->policy, cgroup ? cgroup : "",
				      uid ? (uint32_t)strtoul(uid, NULL, 10) : UINT32_MAX,
				      user ? user : "");
	a->labels[LABEL_TEAM] = a->ask.team ? a->ask.team->name : NULL;
	return 0;
}

static int find_provider(struct asking *a)
{
	const char *name = a->labels[LABEL_PROVIDER];

	if (!name) {
		a->labels[LABEL_PROVIDER] = a->policy->providers[0].name;
		return 0;
	}
	for (size_t i = 0; i < a->policy->n_providers; i++)
		if (!strcmp(a->policy->providers[i].name, name))
			return 0;
	return bad(a, "labels: the policy has no provider \"%.64s\"", name);
}

static int complete_labels(struct asking *a)
{
	int error = find_provider(a);

	if (!error)
		error = find_team(a);
	if (!a->labels[LABEL_STREAM])
		a->labels[LABEL_STREAM] = "false";
	snprintf(a->estimated_tokens, sizeof(a->estimated_tokens), "%.0f",
		 a->ask.amounts[RESOURCE_TOKENS]);
	if (!a->labels[LABEL_ESTIMATED_TOKENS])
		a->labels[LABEL_ESTIMATED_TOKENS] = a->estimated_tokens;
	return error;
}

static int read_question(struct asking *a, json *question)
{
	json *labels = NULL, *amounts = NULL;
	int error;

	if (!json_object_is_type(question, json_type_object))
		return bad(a, "expected an object, {\"labels\": {...}, \"amounts\": {...}}");
	json_object_object_foreach (question, name, value) {
		if (!strcmp(name, "labels"))
			labels = value;
		else if (!strcmp(name, "amounts"))
			amounts = value;
		else
			return bad(a, "unknown key \"%.64s\"; expected labels, amounts", name);
	}
	error = read_labels(a, labels);
	if (!error)
		error = read_amounts(a, amounts);
	if (error)
		return error;
	complete_amounts(a);
	return complete_labels(a);
}

static int answer(struct governor *g, const struct asking *a, uint64_t now_ns, json **ret)
{
	json *o = json_object_new_object();
	int error = o ? governed_check(g, a->policy, &a->ask, now_ns, o) : -ENOMEM;

	if (error)
		json_object_put(o);
	else
		*ret = o;
	return error;
}

int question_answer(struct governor *g, const struct policy *policy, json *question,
		    uint64_t now_ns, json **ret_answer, char **ret_error)
{
	CLEANUP_FREE const char **labels = calloc(policy->n_labels, sizeof(*labels));
	struct asking asking = {.policy = policy, .labels = labels, .ask.labels = labels};
	int error = labels ? read_question(&asking, question) : -ENOMEM;

	if (error == -EINVAL)
		*ret_error = asking.error;
	return error ? error : answer(g, &asking, now_ns, ret_answer);
}
