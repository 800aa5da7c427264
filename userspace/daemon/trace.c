// See trace.h. Lines are kept as text, for a tree of JSON takes ten times the memory.
//
// Of a request that left while the governor let it wait (mode observe), the response's time counts
// from when it came.
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "daemon/trace.h"
#include "serve/object.h"

#define NS 1e9

typedef struct json_object json;

struct trace_line {
	char *text; // NULL: none
	uint64_t flow, request;
};

struct trace_ring {
	struct trace_line lines[TRACES_KEPT];
	uint64_t n; // ever added; the line with seq s is at (s - 1) % TRACES_KEPT
};

static json *labels_of(struct daemon *d, const struct exchange *exchange)
{
	json *o = json_object_new_object();

	if (!o)
		return NULL;
	exchange_labels(d, exchange, d->labels);
	for (size_t i = 0; i < d->policy->n_labels; i++)
		if (d->labels[i])
			object_add_text(o, d->policy->labels[i], d->labels[i]);
	return o;
}

static void add_usage(json *o, struct daemon *d, const struct exchange *exchange,
		      const struct response *r)
{
	json *usage = json_object_new_object();
	double used[N_RESOURCES];

	exchange_usage(d, exchange, r, used);
	object_add_number(usage, "input_tokens", used[RESOURCE_INPUT_TOKENS], 0);
	object_add_number(usage, "output_tokens", used[RESOURCE_OUTPUT_TOKENS], 0);
	object_add(o, "usage", usage);
}

// Each apart: held here, until the first byte of the answer, and until its last.
static void add_times(json *o, const struct exchange *exchange, uint64_t left_ns, uint64_t now)
{
	object_add_number(o, "held_s", (double)(left_ns - exchange->submitted_ns) / NS, 6);
	if (exchange->answered_ns)
		object_add_number(o, "first_byte_s", (double)(exchange->answered_ns - left_ns) / NS,
				  6);
	object_add_number(o, "response_s", (double)(now - left_ns) / NS, 6);
}

// How it ended, if its program did not see a denial.
static void add_end(json *o, struct daemon *d, const struct exchange *exchange,
		    const struct response *r)
{
	uint64_t now = clock_now_ns();
	uint64_t left_ns = exchange->decided_ns ? exchange->decided_ns : exchange->submitted_ns;
	bool has_left = exchange->state >= EXCHANGE_ADMITTED;

	if (has_left)
		add_times(o, exchange, left_ns, now);
	else if (!exchange->flow->is_aborted)
		object_add_number(o, "cancelled_s", (double)(now - exchange->submitted_ns) / NS, 6);
	if (!has_left || !r)
		return;
	object_add_count(o, "status", (uint64_t)r->status);
	if (r->processing_ms != RESPONSE_ABSENT)
		object_add_number(o, "provider_s", (double)r->processing_ms / 1e3, 3);
	if (r->status < 400)
		add_usage(o, d, exchange, r);
}

static json *line_of(struct daemon *d, const struct exchange *exchange, const struct response *r,
		     uint64_t seq)
{
	int64_t came_ns = (int64_t)exchange->submitted_ns + clock_wall_offset_ns();
	const double *amounts = exchange->amounts;
	json *o = json_object_new_object();
	char id[32];

	if (!o)
		return NULL;
	snprintf(id, sizeof(id), "r%" PRIu64, exchange->id);
	object_add_count(o, "seq", seq);
	object_add_number(o, "t", (double)came_ns / NS, 6);
	object_add_text(o, "id", id);
	object_add(o, "labels", labels_of(d, exchange));
	object_add_number(o, "tokens", amounts[RESOURCE_TOKENS], 3);
	if (amounts[RESOURCE_IMAGES] > 0)
		object_add_number(o, "images", amounts[RESOURCE_IMAGES], 3);
	object_add_number(o, "input_tokens", amounts[RESOURCE_INPUT_TOKENS], 3);
	object_add_number(o, "output_tokens", amounts[RESOURCE_OUTPUT_TOKENS], 3);
	add_end(o, d, exchange, r);
	return o;
}

static void keep(struct trace_ring *ring, const struct exchange *exchange, json *line)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text = line ? json_object_to_json_string_ext(line, flags) : NULL;
	struct trace_line *slot = &ring->lines[ring->n % TRACES_KEPT];
	char *copy = text ? strdup(text) : NULL;

	if (!copy)
		return;
	free(slot->text);
	*slot = (struct trace_line){copy, exchange->flow->number, exchange->id};
	ring->n++;
}

void trace_add(struct daemon *d, const struct exchange *exchange, const struct response *r)
{
	json *line;

	if (!exchange->submitted_ns)
		return;
	if (!d->trace)
		d->trace = calloc(1, sizeof(*d->trace));
	if (!d->trace)
		return;
	line = line_of(d, exchange, r, d->trace->n + 1);
	keep(d->trace, exchange, line);
	json_object_put(line);
}

const char *trace_find(const struct trace_ring *ring, uint64_t flow, uint64_t request)
{
	uint64_t n = ring ? ring->n : 0;

	for (uint64_t seq = n; seq && seq + TRACES_KEPT > n; seq--) {
		const struct trace_line *line = &ring->lines[(seq - 1) % TRACES_KEPT];

		if ((flow && line->flow == flow) || (request && line->request == request))
			return line->text;
	}
	return NULL;
}

void trace_free(struct trace_ring *ring)
{
	for (size_t i = 0; ring && i < TRACES_KEPT; i++)
		free(ring->lines[i].text);
	free(ring);
}

// A line that prints itself: the answer is written before the ring changes.
static json *verbatim(char *text)
{
	json *o = json_object_new_object();

	if (o)
		json_object_set_serializer(o, json_object_userdata_to_json_string, text, NULL);
	return o;
}

static bool read_after(const char *text, uint64_t *ret)
{
	char *end;

	*ret = text ? strtoull(text, &end, 10) : 0;
	return !text || (*text >= '0' && *text <= '9' && !*end);
}

json *trace_requests(void *ctx, const struct api_request *request, int *ret_code)
{
	const struct trace_ring *ring = ((struct daemon *)ctx)->trace;
	uint64_t after, n = ring ? ring->n : 0;
	json *list;

	if (!read_after(api_query(request, "after"), &after))
		return api_error(ret_code, 400, "after: expected the seq of a request");
	list = json_object_new_array();
	if (list && n > TRACES_KEPT && after < n - TRACES_KEPT)
		after = n - TRACES_KEPT;
	for (uint64_t seq = after; list && seq < n; seq++)
		json_object_array_add(list, verbatim(ring->lines[seq % TRACES_KEPT].text));
	return list;
}
