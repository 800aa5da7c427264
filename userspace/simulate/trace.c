// Lines to requests and back, see trace.h. json-c reads a million lines of 200 bytes in two
// seconds, tree and all; what costs memory is kept once (pool.h).
#include "simulate/trace.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "govern/hashtab.h"
#include "simulate/trace_line.h"

#define MAX_LINE_BYTES (1 << 20)
#define MAX_NESTING 4

static const char *const keys[] = {
	"t",           "id",     "labels",       "tokens",       "images",
	"response_s",  "usage",  "status",       "input_tokens", "output_tokens",
	"cancelled_s", "held_s", "first_byte_s", "provider_s",
};

static int make_room(struct trace *trace, size_t *room)
{
	size_t more = *room ? 2 * *room : 1024;
	struct trace_request *requests;

	if (trace->n_requests < *room)
		return 0;
	requests = reallocarray(trace->requests, more, sizeof(*requests));
	if (!requests)
		return -ENOMEM;
	trace->requests = requests;
	*room = more;
	return 0;
}

static int read_line(struct trace_reader *r, struct json_tokener *tokener, const char *text,
		     size_t length, struct trace_request *ret)
{
	struct json_object *line;
	enum json_tokener_error problem;
	int error;

	if (length > MAX_LINE_BYTES)
		return trace_bad(r, "longer than %d bytes", MAX_LINE_BYTES);
	if (strlen(text) != length)
		return trace_bad(r, "not text: it has a NUL byte");
	json_tokener_reset(tokener);
	// With its NUL, which ends a line that is nothing but a number.
	line = json_tokener_parse_ex(tokener, text, (int)length + 1);
	problem = json_tokener_get_error(tokener);
	if (problem == json_tokener_success)
		error = trace_line_read(r, line, ret);
	else
		error = trace_bad(r, "not JSON, column %zu: %s",
				  json_tokener_get_parse_end(tokener) + 1,
				  json_tokener_error_desc(problem));
	json_object_put(line);
	return error;
}

static int read_lines(struct trace_reader *r, FILE *in, struct json_tokener *tokener,
		      struct trace *ret)
{
	CLEANUP_FREE char *text = NULL;
	size_t size = 0, room = 0;
	ssize_t length;
	int error = 0;

	for (r->line = 1; !error && (length = getline(&text, &size, in)) >= 0; r->line++) {
		while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
			text[--length] = '\0';
		if (strspn(text, " \t") == (size_t)length)
			continue;
		error = make_room(ret, &room);
		if (!error)
			error = read_line(r, tokener, text, (size_t)length,
					  &ret->requests[ret->n_requests]);
		if (!error)
			ret->n_requests++;
	}
	if (!error && !feof(in))
		error = errno ? -errno : -EIO;
	return error;
}

// Looks each id up in an open-addressing table of line indices, at most half full.
static int check_ids(struct trace_reader *r, const struct trace *trace)
{
	size_t n_slots = 16;
	CLEANUP_FREE uint32_t *slots = NULL;

	if (trace->n_requests >= UINT32_MAX)
		return -EFBIG;
	while (n_slots < 2 * trace->n_requests)
		n_slots *= 2;
	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < trace->n_requests; i++) {
		const char *id = trace->requests[i].id;
		size_t slot = hash_text(0, id) & (n_slots - 1);

		for (; slots[slot]; slot = (slot + 1) & (n_slots - 1)) {
			const struct trace_request *other = &trace->requests[slots[slot] - 1];

			if (strcmp(other->id, id) != 0)
				continue;
			r->line = trace->requests[i].line;
			return trace_bad(
				r,
				"id: \"%.64s\" stands in line %zu already; each request has "
				"its own",
				id, other->line);
		}
		slots[slot] = (uint32_t)i + 1;
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct trace_request *x = a, *y = b;

	if (x->at_ns != y->at_ns)
		return x->at_ns < y->at_ns ? -1 : 1;
	return x->line < y->line ? -1 : x->line > y->line;
}

static void sort(struct trace *trace)
{
	for (size_t i = 1; i < trace->n_requests; i++)
		if (trace->requests[i].at_ns < trace->requests[i - 1].at_ns) {
			qsort(trace->requests, trace->n_requests, sizeof(*trace->requests),
			      by_time);
			return;
		}
}

static int read_all(struct trace_reader *r, FILE *in, struct trace *ret)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_NESTING);
	int error;

	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	error = read_lines(r, in, tokener, ret);
	json_tokener_free(tokener);
	return error ? error : check_ids(r, ret);
}

int trace_read(FILE *in, const char *name, const struct policy *policy, struct trace *ret,
	       char **ret_error)
{
	struct trace trace = {0};
	struct trace_reader r = {.name = name, .policy = policy, .pool = &trace.pool};
	int error = read_all(&r, in, &trace);

	if (!error) {
		sort(&trace);
		*ret = trace;
		return 0;
	}
	if (!r.error && error != -ENOMEM &&
	    asprintf(&r.error, "%s: %s", name, strerror(-error)) < 0)
		r.error = NULL;
	*ret_error = r.error;
	trace_free(&trace);
	return error;
}

void trace_free(struct trace *trace)
{
	free(trace->requests);
	pool_free(&trace->pool);
	*trace = (struct trace){0};
}

int trace_write(FILE *out, struct json_object *request)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	struct json_object *line = json_object_new_object();
	const char *text;

	if (!line)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value;

		if (json_object_object_get_ex(request, keys[i], &value))
			json_object_object_add(line, keys[i], json_object_get(value));
	}
	text = json_object_to_json_string_ext(line, flags);
	if (text)
		fprintf(out, "%s\n", text);
	json_object_put(line);
	return text ? 0 : -ENOMEM;
}
