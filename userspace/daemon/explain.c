// Why a request waits. It is named by its own number or by its flow's; of a flow it is the one that
// waits, else its last one. If none waits, the answer is what the same request would meet now.
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "daemon/trace.h"
#include "serve/governed.h"
#include "serve/object.h"
#include "serve/question.h"

typedef struct json_object json;

// Of the two numbers, the one that is asked for; the other is 0.
struct wanted {
	uint64_t flow_number, request;
	const struct flow *flow; // NULL: it is gone
};

static bool read_number(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*ret = strtoull(text, &end, 10);
	return !*end && *ret;
}

static bool read_wanted(const struct api_request *request, struct wanted *ret)
{
	const char *flow = api_query(request, "flow"), *id = api_query(request, "request");

	*ret = (struct wanted){0};
	if (!flow == !id)
		return false;
	return flow ? read_number(flow, &ret->flow_number)
		    : read_number(id + (*id == 'r'), &ret->request);
}

static void find_flow(struct daemon *d, struct flow *flow, void *ctx)
{
	struct wanted *wanted = ctx;

	(void)d;
	if (flow->number == wanted->flow_number)
		wanted->flow = flow;
}

static bool waits(const struct exchange *exchange)
{
	return exchange->in_governor && exchange->state == EXCHANGE_QUEUED;
}

// The one that waits, else the last one that the governor knows of.
static const struct exchange *exchange_of(const struct flow *flow)
{
	const struct exchange *exchange, *last = NULL;

	TAILQ_FOREACH (exchange, &flow->exchanges, in_flow) {
		if (waits(exchange))
			return exchange;
		if (exchange->submitted_ns)
			last = exchange;
	}
	return last;
}

static const char *state_of(const struct exchange *exchange)
{
	if (waits(exchange))
		return "queued";
	if (exchange->state == EXCHANGE_RESPONDING)
		return "responding";
	if (exchange->flow->opaque_reason)
		return "opaque";
	return exchange->state == EXCHANGE_ADMITTED ? "admitted" : "denied";
}

static void add_request(json *o, const struct exchange *exchange)
{
	const struct flow *flow = exchange->flow;
	char comm[SLUICE_COMM_BYTES + 1] = {}, id[32];

	memcpy(comm, flow->born.comm, SLUICE_COMM_BYTES);
	snprintf(id, sizeof(id), "r%" PRIu64, exchange->id);
	object_add_text(o, "request", id);
	object_add_count(o, "flow", flow->number);
	object_add_count(o, "pid", flow->born.tgid);
	object_add_text(o, "comm", comm);
	object_add_text(o, "team", flow->team ? flow->team->name : NULL);
	object_add_text(o, "model", exchange->request.model);
	object_add_text(o, "state", state_of(exchange));
	object_add_flag(o, "waits", waits(exchange));
}

static json *of_exchange(struct daemon *d, const struct exchange *exchange, int *ret_code)
{
	json *o = json_object_new_object();
	uint64_t now = clock_now_ns();
	struct ask ask;
	int err;

	if (!o)
		return NULL;
	add_request(o, exchange);
	if (waits(exchange)) {
		err = governed_explain(d->governor, d->policy, exchange->id, now, o);
	} else {
		exchange_ask(d, exchange, &ask);
		err = governed_check(d->governor, d->policy, &ask, now, o);
	}
	if (!err)
		return o;
	json_object_put(o);
	return err == -ENOENT ? api_error(ret_code, 404, "the request does not wait any more")
			      : NULL;
}

// What a line of the trace asks for, as a question.
static json *question_of(json *line)
{
	static const char *const resources[] = {"tokens", "images", "input_tokens",
						"output_tokens"};
	json *question = json_object_new_object(), *amounts = json_object_new_object();
	json *labels = json_object_object_get(line, "labels");

	for (size_t i = 0; amounts && i < sizeof(resources) / sizeof(*resources); i++) {
		json *amount = json_object_object_get(line, resources[i]);

		if (amount)
			object_add(amounts, resources[i], json_object_get(amount));
	}
	object_add(question, "labels", json_object_get(labels));
	object_add(question, "amounts", amounts);
	return question;
}

static void add_ended(json *o, json *line, uint64_t flow)
{
	static const char *const keys[] = {"comm", "team", "model"};
	json *labels = json_object_object_get(line, "labels");
	json *pid = json_object_object_get(labels, "pid");

	object_add(o, "request", json_object_get(json_object_object_get(line, "id")));
	if (flow)
		object_add_count(o, "flow", flow);
	object_add_count(o, "pid", json_object_get_uint64(pid));
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		object_add(o, keys[i], json_object_get(json_object_object_get(labels, keys[i])));
	object_add_text(o, "state", "ended");
	object_add_flag(o, "waits", false);
}

static json *of_ended(struct daemon *d, const char *text, uint64_t flow, int *ret_code)
{
	json *line = json_tokener_parse(text), *question = question_of(line), *answer = NULL;
	char *error = NULL;
	int err =
		question_answer(d->governor, d->policy, question, clock_now_ns(), &answer, &error);

	if (!err)
		add_ended(answer, line, flow);
	else if (error)
		answer = api_error(ret_code, 404,
				   "the request has ended, and the policy is another by now: %s",
				   error);
	free(error);
	json_object_put(question);
	json_object_put(line);
	return answer;
}

static json *not_found(const struct wanted *wanted, int *ret_code)
{
	const struct flow *flow = wanted->flow;

	if (wanted->request)
		return api_error(ret_code, 404,
				 "no request r%" PRIu64 "; sluice queue lists those that wait",
				 wanted->request);
	if (!flow)
		return api_error(ret_code, 404, "no flow %" PRIu64 "; sluice flows lists them",
				 wanted->flow_number);
	if (flow->opaque_reason)
		return api_error(ret_code, 404, "flow %" PRIu64 " is opaque: %s", flow->number,
				 flow->opaque_reason);
	return api_error(ret_code, 404, "flow %" PRIu64 " has sent no request yet", flow->number);
}

json *explain_request(void *ctx, const struct api_request *request, int *ret_code)
{
	const struct exchange *exchange = NULL;
	struct daemon *d = ctx;
	struct wanted wanted;
	const char *line;

	if (!read_wanted(request, &wanted))
		return api_error(ret_code, 400, "which? give ?flow=NUMBER or ?request=rNUMBER");
	if (wanted.flow_number)
		flow_each(d, find_flow, &wanted);
	if (wanted.flow)
		exchange = exchange_of(wanted.flow);
	else if (wanted.request)
		exchange = exchange_find(d, wanted.request);
	if (exchange && exchange->submitted_ns)
		return of_exchange(d, exchange, ret_code);
	line = trace_find(d->trace, wanted.flow_number, wanted.request);
	return line ? of_ended(d, line, wanted.flow_number, ret_code)
		    : not_found(&wanted, ret_code);
}
