// What limits and rules may know of a request: who sends it (the kernel and /proc say), and what it
// says of itself. A label that the request lacks is NULL.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "daemon/daemon.h"
#include "govern/hashtab.h"

#define HEADER_PREFIX "http.header."
#define METADATA_PREFIX "body.metadata."

static const char *text_or_null(const char *text)
{
	return text && *text ? text : NULL;
}

static const char *behind(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

int labels_prepare(struct daemon *d, const struct policy *policy)
{
	const char **names = calloc(policy->n_labels + 1, sizeof(*names));
	const char **scratch = calloc(policy->n_labels + 1, sizeof(*scratch));
	size_t n = 0;

	if (!names || !scratch) {
		free(names);
		free(scratch);
		return -1;
	}
	for (size_t i = N_BUILTIN_LABELS; i < policy->n_labels; i++)
		if (behind(policy->labels[i], HEADER_PREFIX))
			names[n++] = behind(policy->labels[i], HEADER_PREFIX);
	d->kept_headers = names;
	d->labels = scratch;
	return 0;
}

void labels_release(struct exchange *exchange)
{
	for (size_t i = 0; i < exchange->n_kept; i++) {
		free(exchange->kept[i].name);
		free(exchange->kept[i].value);
	}
	free(exchange->kept);
	exchange->kept = NULL;
	exchange->n_kept = 0;
}

static const char *said_by(const struct request_labels *labels, const char *name)
{
	const char *header = behind(name, HEADER_PREFIX), *key = behind(name, METADATA_PREFIX);

	if (header)
		return request_labels_header(labels, header);
	return key ? request_labels_metadata(labels, key) : NULL;
}

// The reader forgets a request when the next one begins. Without memory a label is as if absent.
void labels_keep(struct daemon *d, struct exchange *exchange)
{
	const struct request_labels *labels =
		conversation_labels(exchange->flow->conversation, exchange->stream);
	const struct policy *policy = d->policy;

	labels_release(exchange);
	if (!labels)
		return;
	exchange->kept = calloc(policy->n_labels, sizeof(*exchange->kept));
	for (size_t i = N_BUILTIN_LABELS; exchange->kept && i < policy->n_labels; i++) {
		const char *value = said_by(labels, policy->labels[i]);
		struct kept_label *kept = &exchange->kept[exchange->n_kept];

		if (!value)
			continue;
		*kept = (struct kept_label){strdup(policy->labels[i]), strdup(value)};
		exchange->n_kept++;
		if (!kept->name || !kept->value)
			labels_release(exchange);
	}
}

static const char *kept_value(const struct exchange *exchange, const char *name)
{
	for (size_t i = 0; i < exchange->n_kept; i++)
		if (!strcmp(exchange->kept[i].name, name))
			return exchange->kept[i].value;
	return NULL;
}

static const char *dynamic_label(const struct exchange *exchange, const char *name)
{
	if (!strcmp(name, "body.user"))
		return text_or_null(exchange->request.user);
	if (!strcmp(name, "body.safety_identifier"))
		return text_or_null(exchange->request.safety_identifier);
	return kept_value(exchange, name);
}

static const char *number_text(struct label_texts *texts, size_t slot, double value)
{
	snprintf(texts->numbers[slot], sizeof(texts->numbers[slot]), "%.0f", value);
	return texts->numbers[slot];
}

void exchange_labels(struct daemon *d, const struct exchange *exchange, const char **labels)
{
	const struct request *r = &exchange->request;
	const struct flow *flow = exchange->flow;
	struct label_texts *texts = &d->label_texts;

	memset(labels, 0, d->policy->n_labels * sizeof(*labels));
	memcpy(texts->comm, flow->born.comm, SLUICE_COMM_BYTES);
	labels[LABEL_PROVIDER] = text_or_null(flow->provider);
	labels[LABEL_ENDPOINT] = text_or_null(r->path);
	labels[LABEL_MODEL] = text_or_null(r->model);
	labels[LABEL_API_KEY] = text_or_null(r->api_key);
	labels[LABEL_ORGANIZATION] = text_or_null(r->organization);
	labels[LABEL_PROJECT] = text_or_null(r->project);
	if (!exchange->is_burst)
		labels[LABEL_STREAM] = r->stream ? "true" : "false";
	if (r->max_tokens != REQUEST_ABSENT)
		labels[LABEL_MAX_TOKENS] = number_text(texts, 0, (double)r->max_tokens);
	labels[LABEL_ESTIMATED_TOKENS] = number_text(texts, 1, exchange->amounts[RESOURCE_TOKENS]);
	labels[LABEL_TEAM] = flow->team ? flow->team->name : NULL;
	labels[LABEL_CGROUP] = text_or_null(flow->identity.cgroup);
	labels[LABEL_UNIT] = text_or_null(flow->identity.unit);
	labels[LABEL_UID] = number_text(texts, 2, flow->born.uid);
	labels[LABEL_USER] = text_or_null(flow->identity.user);
	labels[LABEL_PID] = number_text(texts, 3, flow->born.tgid);
	labels[LABEL_COMM] = text_or_null(texts->comm);
	labels[LABEL_EXE] = text_or_null(flow->identity.exe);
	labels[LABEL_CONTAINER] = text_or_null(flow->identity.container);
	labels[LABEL_PROTOCOL] = flow_protocol(flow);
	labels[LABEL_OPAQUE] = flow->opaque_reason ? "true" : "false";
	for (size_t i = N_BUILTIN_LABELS; i < d->policy->n_labels; i++)
		labels[i] = dynamic_label(exchange, d->policy->labels[i]);
}

// A client sends the same request again on a new connection when it has lost one.
static uint64_t retry_key_of(const struct exchange *exchange)
{
	const struct request *r = &exchange->request;
	uint64_t hash = hash_mix(exchange->flow->born.tgid, r->body_hash);

	return r->body_hash ? hash_text(hash, r->path) | 1 : 0;
}

void exchange_ask(struct daemon *d, const struct exchange *exchange, struct ask *ret)
{
	exchange_labels(d, exchange, d->labels);
	*ret = (struct ask){
		.id = exchange->id,
		.labels = d->labels,
		.team = exchange->flow->team,
		.retry_key = retry_key_of(exchange),
	};
	memcpy(ret->amounts, exchange->amounts, sizeof(ret->amounts));
}
