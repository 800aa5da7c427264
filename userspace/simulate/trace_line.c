// One line's JSON to a request. See trace_line.h.
#include "simulate/trace_line.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"

#define MAX_LABELS 256
#define NS 1e9

// The numbers of a line. NAN: absent.
struct numbers {
	double t, tokens, images, response_s, input_tokens, output_tokens, status, cancelled_s;
	double used_input_tokens, used_output_tokens;
	double held_s, first_byte_s, provider_s; // of the day it was recorded: for people
};

struct field {
	const char *name;
	size_t offset; // in struct numbers
	double min, max;
	const char *expected;
};

#define FIELD(name, member, min, max, expected)                                                    \
	{                                                                                          \
		name, offsetof(struct numbers, member), min, max, expected                         \
	}
#define COUNT "a number from 0 to 1e15"
#define SECONDS "seconds, from 0 to 1e8"

// Unix time in nanoseconds, and the longest wait and response added, fits 63 bits.
static const struct field fields[] = {
	FIELD("t", t, -8e9, 8e9, "seconds, from -8e9 to 8e9 (milliseconds would be too large)"),
	FIELD("tokens", tokens, 0, 1e15, COUNT),
	FIELD("images", images, 0, 1e15, COUNT),
	FIELD("response_s", response_s, 0, 1e8, SECONDS),
	FIELD("input_tokens", input_tokens, 0, 1e15, COUNT),
	FIELD("output_tokens", output_tokens, 0, 1e15, COUNT),
	FIELD("status", status, 0, 999, "an HTTP status, or 0 if it is not known"),
	FIELD("cancelled_s", cancelled_s, 0, 1e8, SECONDS),
	FIELD("held_s", held_s, 0, 1e8, SECONDS),
	FIELD("first_byte_s", first_byte_s, 0, 1e8, SECONDS),
	FIELD("provider_s", provider_s, 0, 1e8, SECONDS),
	{0},
};
static const struct field usage_fields[] = {
	FIELD("input_tokens", used_input_tokens, 0, 1e15, COUNT),
	FIELD("output_tokens", used_output_tokens, 0, 1e15, COUNT),
	{0},
};
#define KEY_LIST                                                                                   \
	"t, id, labels, tokens, images, response_s, usage, status, input_tokens, "                 \
	"output_tokens, cancelled_s, held_s, first_byte_s, provider_s"

int trace_bad(struct trace_reader *r, const char *format, ...)
{
	CLEANUP_FREE char *what = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&what, format, arguments);
	va_end(arguments);
	if (length < 0 || asprintf(&r->error, "%s:%zu: %s", r->name, r->line, what) < 0) {
		r->error = NULL;
		return -ENOMEM;
	}
	for (char *c = r->error; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return -EINVAL;
}

static const struct field *find_field(const struct field *field, const char *name)
{
	for (; field->name; field++)
		if (field->name[0] == name[0] && !strcmp(field->name, name))
			return field;
	return NULL;
}

static int read_number(struct trace_reader *r, const char *where, const struct field *field,
		       struct json_object *value, struct numbers *ret)
{
	double number = NAN;

	if (json_object_is_type(value, json_type_int) ||
	    json_object_is_type(value, json_type_double))
		number = json_object_get_double(value);
	if (!(number >= field->min && number <= field->max))
		return trace_bad(r, "%s%s: expected %s", where, field->name, field->expected);
	*(double *)((char *)ret + field->offset) = number;
	return 0;
}

static int read_usage(struct trace_reader *r, struct json_object *usage, struct numbers *ret)
{
	if (!json_object_is_type(usage, json_type_object))
		return trace_bad(r, "usage: expected an object");
	json_object_object_foreach (usage, key, value) {
		const struct field *field = find_field(usage_fields, key);
		int error;

		if (!field)
			return trace_bad(r,
					 "usage: unknown key \"%.64s\"; expected input_tokens, "
					 "output_tokens",
					 key);
		error = value ? read_number(r, "usage.", field, value, ret) : 0;
		if (error)
			return error;
	}
	return 0;
}

// NULL: it is an object or an array, or has a NUL in it.
static const char *scalar_text(struct json_object *value)
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

static int read_id(struct trace_reader *r, struct json_object *value, struct trace_request *ret)
{
	bool is_number = json_object_is_type(value, json_type_int) ||
			 json_object_is_type(value, json_type_double);
	const char *text = is_number || json_object_is_type(value, json_type_string)
				   ? scalar_text(value)
				   : NULL;

	if (!text)
		return trace_bad(r, "id: expected a string or a number");
	ret->id_is_number = is_number;
	ret->id = pool_copy(r->pool, text);
	return ret->id ? 0 : -ENOMEM;
}

// Adds a label, or changes it: aliases have the same number.
static int set_label(struct trace_reader *r, struct trace_label *labels, size_t *n, size_t label,
		     const char *text)
{
	const char *value = pool_text(r->pool, text);
	size_t i = 0;

	if (!value)
		return -ENOMEM;
	while (i < *n && labels[i].label != label)
		i++;
	if (i == MAX_LABELS)
		return trace_bad(r, "labels: more than %d", MAX_LABELS);
	labels[i] = (struct trace_label){label, value};
	if (i == *n)
		++*n;
	return 0;
}

static int read_labels(struct trace_reader *r, struct json_object *object,
		       struct trace_request *ret)
{
	struct trace_label labels[MAX_LABELS], *kept;
	size_t n = 0;

	if (!json_object_is_type(object, json_type_object))
		return trace_bad(r, "labels: expected an object");
	json_object_object_foreach (object, key, value) {
		const char *text = scalar_text(value);
		size_t label = policy_find_label(r->policy, key);
		int error;

		if (!value)
			continue;
		if (!text)
			return trace_bad(
				r, "labels.%.64s: expected a string, a number, true or false", key);
		error = label == NO_LABEL ? 0 : set_label(r, labels, &n, label, text);
		if (error)
			return error;
	}
	kept = n ? pool_take(r->pool, n * sizeof(*kept)) : NULL;
	if (!n)
		return 0;
	if (!kept)
		return -ENOMEM;
	memcpy(kept, labels, n * sizeof(*kept));
	ret->labels = kept;
	ret->n_labels = n;
	return 0;
}

static int read_key(struct trace_reader *r, const char *key, struct json_object *value,
		    struct numbers *numbers, struct trace_request *ret)
{
	const struct field *field = find_field(fields, key);

	if (field)
		return value ? read_number(r, "", field, value, numbers) : 0;
	if (!strcmp(key, "id"))
		return read_id(r, value, ret);
	if (!strcmp(key, "labels"))
		return value ? read_labels(r, value, ret) : 0;
	if (!strcmp(key, "usage"))
		return value ? read_usage(r, value, numbers) : 0;
	return trace_bad(r, "unknown key \"%.64s\"; expected one of " KEY_LIST, key);
}

static double first_of(double a, double b)
{
	return isnan(a) ? b : a;
}

static const char *label_of(const struct trace_request *request, size_t label)
{
	for (size_t i = 0; i < request->n_labels; i++)
		if (request->labels[i].label == label)
			return request->labels[i].value;
	return NULL;
}

// A label that holds a number of tokens; NAN: it does not.
static double estimated_tokens(const struct trace_request *request)
{
	const char *text = label_of(request, LABEL_ESTIMATED_TOKENS);
	char *end;
	double tokens;

	if (!text || !*text)
		return NAN;
	tokens = strtod(text, &end);
	return !*end && tokens >= 0 && tokens <= 1e15 ? tokens : NAN;
}

// Fills in what the line leaves out.
static void complete(const struct numbers *numbers, struct trace_request *ret)
{
	double in = numbers->used_input_tokens, out = numbers->used_output_tokens;

	ret->has_usage = !isnan(in) || !isnan(out);
	ret->used_input_tokens = first_of(in, 0);
	ret->used_output_tokens = first_of(out, 0);
	ret->tokens = first_of(first_of(numbers->tokens, estimated_tokens(ret)),
			       ret->used_input_tokens + ret->used_output_tokens);
	ret->images = first_of(numbers->images, 0);
	ret->input_tokens =
		first_of(numbers->input_tokens, ret->has_usage ? first_of(in, 0) : ret->tokens);
	ret->output_tokens = first_of(numbers->output_tokens, first_of(out, 0));
	ret->failed = numbers->status >= 400;
	ret->team = label_of(ret, LABEL_TEAM);
	ret->at_ns = llround(numbers->t * NS);
	ret->response_ns = (uint64_t)llround(first_of(numbers->response_s, 0) * NS);
	ret->cancel_after_ns = isnan(numbers->cancelled_s)
				       ? UINT64_MAX
				       : (uint64_t)llround(numbers->cancelled_s * NS);
}

int trace_line_read(struct trace_reader *r, struct json_object *line, struct trace_request *ret)
{
	struct numbers numbers;

	if (!json_object_is_type(line, json_type_object))
		return trace_bad(r, "expected an object, {\"t\": ..., \"id\": ...}");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(double); i++)
		((double *)&numbers)[i] = NAN;
	*ret = (struct trace_request){.line = r->line};
	json_object_object_foreach (line, key, value) {
		int error = read_key(r, key, value, &numbers, ret);

		if (error)
			return error;
	}
	if (isnan(numbers.t))
		return trace_bad(r, "t: is missing; expected %s", fields[0].expected);
	if (!ret->id)
		return trace_bad(r, "id: is missing; expected a string or a number");
	complete(&numbers, ret);
	return 0;
}
