// The daemon: what it knows, and the steps of a request's life in the order of the files.
//
//   events.c    the ring buffer's events, each handed to the flow it belongs to
//   process.c   processes, and the probes they need                          (tap/)
//   binding.c   whose plaintext is this, while a TLS library is new           (tap/bind)
//   flow.c      connections: birth, opaqueness, end
//   older.c     connections that were there before the daemon                 (tap/older)
//   exchange.c  requests and their responses, from what the connection says   (wire/)
//   burst.c     requests of which only TLS records are seen
//   decide.c    what the governor says of a request                           (govern/)
//   answer.c    what a response tells the governor
//   usage.c     what a request has used in the end
//   labels.c    what limits and rules may know of a request
//   hold.c      acting on sockets: push, keep-alive, abort, deadlines         (act/)
//   memory.c    what survives a restart                                       (store/)
//   report.c    what people see; control.c what they ask and order            (serve/)
//
// One thread runs all of it on one event loop; only probes are put in and out elsewhere.
#ifndef SLUICE_DAEMON_H
#define SLUICE_DAEMON_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "act/target.h"
#include "base/samples.h"
#include "config/policy.h"
#include "govern/cost.h"
#include "govern/governor.h"
#include "tap/attach.h"
#include "tap/kernel.h"
#include "tap/library.h"
#include "tap/process.h"
#include "wire/conversation.h"

enum {
	FLOW_BUCKETS = 4096,
	PROCESS_BUCKETS = 1024,
	EXCHANGE_BUCKETS = 4096,
	DECIDE_BODY_BYTES = 65536, // a request is decided when so much of its body is in …
	DECIDE_AFTER_MS = 5,     // … or it is complete, or, looked at every so often, the program
				 // cannot go on writing …
	DECIDE_LATEST_MS = 1000, // … or so long after its head
	DECIDE_QUIET_MS = 20,    // … or, in HTTP/2, so long after more of it has come
	TWIN_AFTER_MS = 10, // far below a peer's retransmission timeout (RFC 6298 §2.4; Linux: 200)
	// Shorter than the kernel's own SLUICE_HELLO_NS and SLUICE_UNDECIDED_NS.
	HELLO_MS = 950,
	UNDECIDED_MS = 190,
	CONSUME_MS = 20,     // of events in one turn of the loop
	PROBE_AGAIN_S = 1,   // a probed process is looked at again at most so often
	FORKED_MS = 20,      // until a child that was forked is probed
	UNPRICED_S = 60,     // a warning of models without a price at most so often
	STASH_BYTES = 65536, // plaintext kept for one session whose flow is not known yet
	YIELDS_KEPT = 64,    // models whose answers were read
};

enum exchange_state {
	EXCHANGE_READING,    // its request is not decided on
	EXCHANGE_QUEUED,     // the governor lets it wait
	EXCHANGE_ADMITTED,   // it may leave
	EXCHANGE_RESPONDING, // its response's headers were read
};

// A label that the request says of itself: a header's or metadata's value. Owned.
struct kept_label {
	char *name, *value;
};

// One request and its response.
struct exchange {
	uint64_t id; // for the governor
	struct flow *flow;
	uint64_t stream; // of the conversation; where only records are seen, the burst's number
	enum exchange_state state;
	struct request request;
	double amounts[N_RESOURCES]; // what it is expected to take
	struct kept_label *kept;     // since it was submitted
	size_t n_kept;
	uint64_t begun_ns, head_ns, submitted_ns, decided_ns, answered_ns; // 0: not yet
	uint64_t body_bytes_seen, grown_ns; // of the body, and since when there is no more
	bool request_complete, response_complete;
	bool is_burst;    // only its bytes are known
	bool is_detained; // it may leave and cannot: what was written behind it must wait
	bool in_governor; // to be settled, refunded or withdrawn
	TAILQ_ENTRY(exchange) in_flow;
	LIST_ENTRY(exchange) in_bucket;
};

// Where the time of a request went. UINT64_MAX: not known.
struct timing {
	uint64_t held_ns;       // between asking the governor and its decision
	uint64_t first_byte_ns; // from then to the response's head
	uint64_t response_ns;   // to its end
	uint64_t provider_ms;   // what the provider says it took (openai-processing-ms)
};

// A governed TCP connection.
struct flow {
	uint64_t number; // as people see it: 1, 2, 3 …
	struct target target;
	struct process *process;
	struct sluice_flow born;      // as the kernel described it at its ClientHello
	char host[SLUICE_HOST_BYTES]; // from SNI; the address where there is none
	char address[INET6_ADDRSTRLEN];
	struct identity identity;
	const struct team *team;
	const char *provider;    // name, of the policy
	struct library *library; // whose probes showed its plaintext; NULL: none yet

	bool is_bound;             // its plaintext was seen
	uint64_t bound_ns;         // since when
	const char *opaque_reason; // static; NULL: it is understood
	bool counts_bursts;        // it is opaque, and governed by its records
	bool is_held;              // the kernel keeps a segment of it, as far as the daemon knows
	bool is_replaced; // its socket was connected anew: the kernel's flow is the next one's
	bool abort_failed;
	uint64_t suspect_end; // where the kernel kept it a second ago although nothing of it waited
	bool is_aborted;
	bool has_twin; // an ACK waits in `twin` to be sent if the flow stays held
	struct sluice_twin twin;
	uint64_t granted;     // as the kernel's gate has it
	uint64_t unbound_end; // written under its session's name alone, see struct sluice_gate
	uint64_t pushed_ns;   // last
	uint64_t released_ns; // when its gate was opened, until it is pushed; 0: no push is due

	struct conversation *conversation;
	bool responses_unknown; // its responses cannot be told apart any more
	TAILQ_HEAD(exchange_list, exchange)
	exchanges;                // in the order of their requests
	uint64_t granted_by_past; // offset behind the last exchange that is over; HTTP/1.1
	const char *doomed_by;    // it is ended as soon as no other stream would suffer

	// Of a flow that counts bursts.
	uint32_t bursts_begun, bursts_granted;
	int64_t unsent_bytes; // when it was last looked at

	uint64_t n_requests, tokens_in, tokens_out, queued_ns;
	double last_cost;
	char last_model[128];
	struct timing last; // of its last request that was answered
	struct event *timer;
	LIST_ENTRY(flow) in_bucket, in_process;
	STAILQ_ENTRY(flow) in_twins;
};

enum process_state { PROCESS_UNPROBED, PROCESS_ATTACHING, PROCESS_PROBED };

// Plaintext of an SSL object whose flow is not known yet.
struct stash;

struct process {
	uint32_t tgid;
	enum process_state state;
	int n_libraries;
	uint64_t probed_ns; // when it was last looked at
	LIST_HEAD(, flow) flows;
	LIST_HEAD(, stash) stashes;
	LIST_ENTRY(process) in_bucket;
};

// Room for labels that are made of numbers.
struct label_texts {
	char numbers[4][32], comm[SLUICE_COMM_BYTES + 1];
};

// How many tokens a model makes of what was expected, over its newest answers.
struct yield {
	char model[128];
	double expected, used;
	uint64_t n_answers, used_at;
};

struct daemon {
	struct event_base *base;
	struct kernel *kernel;
	struct library_registry *registry;
	struct attacher *attacher;
	struct policy *policy;
	struct governor *governor;
	struct netns *namespaces;
	struct store *store; // NULL: nothing is remembered
	struct trace_ring *trace;
	const char **labels;       // of the request that is looked at, by the policy's numbers
	const char **kept_headers; // that the policy wants to know, NULL-terminated
	struct label_texts label_texts;
	int64_t wall_offset_ns;
	uint64_t unpriced_told_ns; // 0: never
	const char *config_path;
	uint64_t started_ns;

	LIST_HEAD(, flow) flows[FLOW_BUCKETS];
	LIST_HEAD(, process) processes[PROCESS_BUCKETS];
	LIST_HEAD(, exchange) exchanges[EXCHANGE_BUCKETS];
	size_t n_flows, n_processes;
	uint64_t next_flow, next_exchange;
	uint64_t n_seconds, consume_until_ns;
	struct yield yields[YIELDS_KEPT];
	uint64_t n_yields_used;

	STAILQ_HEAD(, flow) twins; // flows with has_twin

	struct event *ring_event, *attach_event;
	struct event *govern_timer, *twin_timer, *heartbeat_timer, *second_timer;

	struct {
		uint64_t admitted, denied, timed_out, opaque, observed_waits;
		uint64_t bursts;   // requests of which only records were seen
		uint64_t let_go;   // over the limit, for their connection could not wait
		uint64_t older;    // connections that were there before the daemon
		uint64_t turns;    // told of on WebSockets
		uint64_t unpriced; // of a model without a price, under a policy that has a budget
		uint64_t push_pidfd, push_iter, push_failed, aborts_failed;
		uint64_t stash_dropped, twins_sent, twins_failed;
	} n;
	struct samples release_times; // from the governor's decision to the end of the push
};

// events.c
int daemon_on_event(void *daemon, void *event, size_t bytes);
void daemon_on_ring(evutil_socket_t fd, short what, void *daemon);

// process.c
struct process *process_get(struct daemon *d, uint32_t tgid, bool create);
void process_probe(struct daemon *d, struct process *process);
void process_probe_again(struct daemon *d, struct process *process);
void process_gone(struct daemon *d, uint32_t tgid);
void process_forked(struct daemon *d, uint32_t parent, uint32_t child);
void process_release_if_unused(struct daemon *d, struct process *process);
void daemon_on_attached(evutil_socket_t fd, short what, void *daemon);

// binding.c: takes plaintext whose flow the kernel could not name.
void binding_take(struct daemon *d, const struct sluice_chunk *chunk);
void binding_sweep(struct daemon *d, struct process *process, uint64_t now_ns);
void binding_free(struct daemon *d, struct process *process);

// flow.c
struct flow *flow_find(struct daemon *d, uint64_t cookie);
void flow_begin(struct daemon *d, const struct sluice_hello *hello);
// A flow of that description; NULL: out of memory.
struct flow *flow_add(struct daemon *d, const struct sluice_hello *hello);
void flow_bind(struct daemon *d, struct flow *flow, struct library *library);
void flow_take(struct daemon *d, struct flow *flow, const struct sluice_chunk *chunk);
void flow_set_opaque(struct daemon *d, struct flow *flow, const char *reason);
void flow_end(struct daemon *d, struct flow *flow);
void flow_free(struct daemon *d, struct flow *flow);
void flow_assign_team(struct daemon *d, struct flow *flow);
const char *flow_state(const struct flow *flow);
// NULL: not known.
const char *flow_protocol(const struct flow *flow);
// For each flow of the daemon. fn may free the one it is given.
void flow_each(struct daemon *d, void (*fn)(struct daemon *d, struct flow *flow, void *arg),
	       void *arg);

// older.c: takes over the connections that were there before the daemon, as opaque ones.
void older_take_over(struct daemon *d);

// exchange.c
struct exchange *exchange_begin(struct daemon *d, struct flow *flow, uint64_t stream);
void exchange_on_event(void *flow, enum conversation_event event, uint64_t stream,
		       const struct request *request, const struct response *response);
void exchange_free(struct daemon *d, struct exchange *exchange);
// The governor has nothing more to do with it. was_sent: its bytes have left, or may have. used:
// what it took in the end; NULL: not known, what was reserved stands.
void exchange_over(struct daemon *d, struct exchange *exchange, bool was_sent, const double *used);
// Its connection, or its stream, has ended before its response was whole.
void exchange_lost(struct daemon *d, struct exchange *exchange, const struct response *r);
void flow_drop_finished(struct daemon *d, struct flow *flow);
struct exchange *exchange_find(struct daemon *d, uint64_t id);
// The first whose request was not let go yet; NULL: none.
struct exchange *flow_first_waiting(const struct flow *flow);
// Whether a request that was let go still waits for its answer, or for the end of it.
bool flow_has_live_streams(const struct flow *flow);

// burst.c
void flow_on_burst(struct daemon *d, struct flow *flow, uint32_t number);
void burst_take(struct daemon *d, struct flow *flow, uint32_t number);
void burst_submit_if_due(struct daemon *d, struct flow *flow);
// What it has sent since it was let go.
void burst_charge_rest(struct daemon *d, struct exchange *exchange);

// decide.c
void flow_submit_if_due(struct daemon *d, struct flow *flow, bool is_timeout);
void exchange_submit(struct daemon *d, struct exchange *exchange);
// What it is expected to take is known better now.
void exchange_amend(struct daemon *d, struct exchange *exchange);
const struct price *exchange_price(const struct daemon *d, const struct exchange *exchange);
// It has waited for as long as its connection may be kept: it goes, over the limit.
void exchange_let_go(struct daemon *d, struct exchange *exchange);
void daemon_govern(struct daemon *d); // runs the governor and carries out what it decides
void daemon_on_govern_timer(evutil_socket_t fd, short what, void *daemon);

// answer.c
void answer_begin(struct daemon *d, struct exchange *exchange, const struct response *r);
void answer_end(struct daemon *d, struct exchange *exchange, const struct response *r);
// A turn on a WebSocket that `upgrade` has opened.
void answer_turn(struct daemon *d, struct exchange *upgrade, const struct response *r);

// usage.c
// What it has used, as its response says (or has said until now). Fills N_RESOURCES.
void exchange_usage(struct daemon *d, const struct exchange *exchange, const struct response *r,
		    double used[N_RESOURCES]);
// Once, when the response is whole.
void exchange_learn_usage(struct daemon *d, const struct exchange *exchange,
			  const struct response *r);

// labels.c
// Makes d->labels and d->kept_headers anew; the old ones are the caller's. -1: out of memory.
int labels_prepare(struct daemon *d, const struct policy *policy);
void labels_keep(struct daemon *d, struct exchange *exchange);
void labels_release(struct exchange *exchange);
// Fills d->policy->n_labels of them, valid until the next call.
void exchange_labels(struct daemon *d, const struct exchange *exchange, const char **labels);
// What the governor is asked; its labels are d->labels.
void exchange_ask(struct daemon *d, const struct exchange *exchange, struct ask *ret);

// hold.c
// 0, or -errno: the kernel's table is full.
int flow_set_gate(struct daemon *d, const struct flow *flow, enum sluice_gate_mode mode,
		  uint64_t granted);
void flow_update_gate(struct daemon *d, struct flow *flow, uint64_t decided_ns);
// Whether the kernel keeps a segment of it now.
bool flow_is_kept(struct daemon *d, const struct flow *flow);
void flow_push(struct daemon *d, struct flow *flow);
void flow_abort(struct daemon *d, struct flow *flow);
void flow_on_held(struct daemon *d, struct flow *flow, uint64_t refused_ns);
void flow_keep_twin(struct daemon *d, struct flow *flow, const struct sluice_twin *twin);
void daemon_on_twin_timer(evutil_socket_t fd, short what, void *daemon);
void flow_set_timer(struct flow *flow, unsigned ms);
void flow_on_timer(evutil_socket_t fd, short what, void *flow);
void daemon_on_second(evutil_socket_t fd, short what, void *daemon);
void daemon_release_all(struct daemon *d);

// memory.c
void memory_open(struct daemon *d, const char *directory);
void memory_save(struct daemon *d);
void memory_close(struct daemon *d);

// main.c
int daemon_reload(struct daemon *d, char **ret_error);
// Timers and reader callbacks are given a flow only; the daemon is one per process.
extern struct daemon *the_daemon;

#endif
