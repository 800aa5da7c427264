// The policy in effect: what sluice.yaml and policies.d/ say, checked and typed. Read-only once
// loaded. Whatever a policy was written as (a limit's rpm and tpm, a long `policies:` entry, a
// blueprint file of Aperture's), it ends up as `struct limit`: one resource, one bucket a key.
#ifndef SLUICE_CONFIG_POLICY_H
#define SLUICE_CONFIG_POLICY_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum policy_mode { MODE_OBSERVE, MODE_ENFORCE };
enum daemon_failure { FAILURE_OPEN, FAILURE_CLOSED };
enum over_limit { OVER_LIMIT_QUEUE, OVER_LIMIT_DENY };
// Of connections whose plaintext cannot be read.
enum opaque_action { OPAQUE_GOVERN, OPAQUE_PASS, OPAQUE_DENY };
enum max_wait_action { MAX_WAIT_DENY, MAX_WAIT_ADMIT };

// What is counted. The first three are what the provider counts at admission; the others are
// reserved by estimate and settled by the response's usage.
enum resource {
	RESOURCE_REQUESTS,
	RESOURCE_TOKENS, // as the provider charges them at admission (govern/cost.c)
	RESOURCE_IMAGES,
	RESOURCE_INPUT_TOKENS,
	RESOURCE_OUTPUT_TOKENS,
	RESOURCE_TOTAL_TOKENS, // input and output
	RESOURCE_COST,         // US dollars, by the price table
	N_RESOURCES
};
const char *resource_name(enum resource resource); // "requests", "tokens", …

// Labels are numbered: first those that every request may have, then what this policy names
// beside them (http.header.x-user, body.metadata.review, or whatever its rules set).
enum {
	LABEL_PROVIDER, // also known as control_point
	LABEL_ENDPOINT,
	LABEL_MODEL, // also known as model_variant, unless a rule sets that
	LABEL_API_KEY,
	LABEL_ORGANIZATION,
	LABEL_PROJECT,
	LABEL_STREAM, // "true" or "false"
	LABEL_MAX_TOKENS,
	LABEL_ESTIMATED_TOKENS, // what the request is expected to be charged
	LABEL_TEAM,
	LABEL_CGROUP,
	LABEL_UNIT,
	LABEL_UID,
	LABEL_USER, // Unix user
	LABEL_PID,
	LABEL_COMM,
	LABEL_EXE,
	LABEL_CONTAINER,     // its id
	LABEL_PROTOCOL,      // http/1.1, h2, websocket
	LABEL_OPAQUE,        // true, false
	LABEL_PRIORITY,      // a number above 0; set by rules only
	LABEL_QUEUE_TIMEOUT, // a duration; set by rules only
	N_BUILTIN_LABELS
};
#define NO_LABEL SIZE_MAX

// A condition on labels, as a tree. An absent label equals nothing and matches nothing, except
// where MATCHER_NOT stands before it.
enum matcher_kind {
	MATCHER_ALL,    // all of `children`; without any: always
	MATCHER_ANY,    // at least one of them
	MATCHER_NOT,    // not its one child
	MATCHER_EXISTS, // the label is there
	MATCHER_IN,     // the label equals one of `values`
	MATCHER_GLOB,   // fnmatch(3) of one of `values`; an absent label counts as ""
	MATCHER_REGEX,  // POSIX extended, unanchored
};
struct matcher {
	enum matcher_kind kind;
	size_t label;
	char **values; // NULL-terminated; for MATCHER_REGEX its source
	regex_t *regex;
	struct matcher *children;
	size_t n_children;
};

// A number of units a minute (0 to 1e15), or a share of what a matching limit gives (0 to 100).
// absent: neither. Always finite.
struct rate {
	enum { RATE_ABSENT, RATE_PER_MINUTE, RATE_PERCENT } kind;
	double value;
};

struct provider {
	char *name;
	// NULL-terminated, at least one: names in lower case, "*.suffix" (also lower case), or IP
	// addresses as inet_ntop(3) writes them.
	char **hosts;
	uint16_t *ports; // at least one, 1 to 65535
	size_t n_ports;
};

// First match wins. Of cgroup, unit and user, those given must all match; each is a list of which
// one must match, NULL-terminated and not empty, or NULL: any. Only the last team may have none of
// the three: it takes whom no other took.
struct team {
	char *name; // no wildcards, for limits match teams by glob
	// Globs over the path below the cgroup mount, "/chat.slice", without a "/" at the end; a
	// match covers the whole subtree. A backslash stands for itself here and in units.
	char **cgroups;
	char **units;    // globs: the path's component of that name, e.g. "nginx.service"
	char **users;    // user names or numeric ids
	double weight;   // 0.001 to 1e6; share of a contended limit, 1 by default
	double priority; // the same range; multiplies its requests' priority, 1 by default
	// Percent of every limit that the team's waiting requests get at least, whatever the
	// weights and priorities of others; what it leaves, others use. 0: no guarantee. At most
	// 100 in sum.
	double guarantee;
	unsigned tier; // 0 (first) to 9; by default 0
	bool deny;     // no request of this team may pass
	// The team's own ceiling. RATE_PERCENT only if some limit that can match the team has that
	// resource.
	struct rate rpm, tpm;
};

// Requests of one kind in a scheduler.
struct workload {
	char *name;
	struct matcher *match;     // NULL: all
	double priority;           // 0.001 to 1e6, 1 by default
	double tokens;             // what a request costs if nothing else says; < 0: not given
	uint64_t queue_timeout_ns; // 0: none of its own
	int tier;                  // < 0: that of its team
};

// How the requests that wait for a limit are told apart. Owned by the policy, shared by limits.
struct scheduler {
	size_t priority_label;      // NO_LABEL: the workload's
	size_t tokens_label;        // what a request costs; NO_LABEL: the estimate
	size_t fairness_label;      // equal shares within a workload; NO_LABEL: none
	struct workload *workloads; // the first that matches
	size_t n_workloads;
	struct workload others; // for those that none matches; its name is "default"
};

// Which requests a limit is for.
struct selector {
	char *control_point;   // glob over the provider's name; NULL: any
	char *agent_group;     // holds if it is the policy's, or either is not given
	struct matcher *match; // NULL: any
};

// UTC offsets of a time zone, so that the governor can count days without asking the system.
struct zone_offset {
	int64_t from_s; // Unix time
	int32_t offset_s;
};
struct zone {
	char *name;                  // "Europe/Berlin"
	struct zone_offset *offsets; // ascending; the first holds for all time before, too
	size_t n_offsets;
};

enum calendar { CALENDAR_NONE, CALENDAR_DAY, CALENDAR_MONTH };

// One row of the table of usage tiers. < 0: no such limit.
struct tier_row {
	char *model; // covers its dated snapshots, too
	double rpm, tpm, ipm;
};

struct limit {
	char *name; // with resource and interval_ns it is unique
	char *file; // where it stands
	int line;   // from 1
	enum resource resource;
	// What the bucket holds at most, and what it gains in interval_ns. capacity 0 forbids;
	// fill_amount 0 never fills. Both are infinite for `auto` until the provider has spoken.
	double capacity, fill_amount;
	uint64_t interval_ns;   // 1 s to 366 days
	bool is_stepwise;       // the whole fill_amount at once, at the end of each interval
	bool delays_fill;       // delay_initial_fill
	enum calendar calendar; // full again when a day or month of `zone` begins
	uint64_t smooth_ns;     // as written; capacity is cut to it already. 0: none
	bool is_auto;           // learnt from the provider's headers
	unsigned tier;          // 1 to 5: capacities come from tier_rows by model; 0: none
	const struct tier_row *tier_rows; // of the policy
	size_t n_tier_rows;
	struct selector *selectors; // one must match; none: every request
	size_t n_selectors;
	size_t *keys; // one bucket for each combination of these labels; none: one in all
	size_t n_keys;
	// A request that lacks a key label which is not a built-in one passes unlimited, and is
	// counted (Aperture's way). Else an absent label counts as "".
	bool passes_without_key;
	// The label with the amount, for blueprints; NO_LABEL: the resource's own amount.
	const struct scheduler *scheduler; // never NULL
	enum over_limit over_limit;
	// Counts no less than what the provider counts for one of its own limits: learns from its
	// headers. Never set for the resources that are settled by usage.
	bool mirrors;
	bool is_per_model; // of one model, as the provider's own limits are
	bool is_blueprint; // written as an Aperture values file
};

// Sets a label from others. Rules run in order, on each request.
struct rule {
	size_t label;              // what is set
	struct matcher *when;      // NULL: always
	size_t from;               // takes this label's value …
	char *value;               // … or this text; of the two one, or neither for a bump
	char **map_from, **map_to; // translates `from`'s value; NULL-terminated, of equal length
	char *fallback; // if `from` is absent, or not in the map; NULL: label stays as it is
	// A bump: adds `add` for each earlier request with the same value of `for_each`, at most
	// `at_most`, to the number that the label holds (1 if none).
	double add, at_most;
	size_t for_each; // NO_LABEL: no bump
};

struct price {
	char *model;                        // covers its dated snapshots, too
	double input, cached_input, output; // US dollars per million tokens
};

struct policy {
	enum policy_mode mode;
	enum daemon_failure on_daemon_failure;
	uint64_t max_wait_ns; // 1 ns to 365 days, default 600 s
	enum max_wait_action on_max_wait;
	enum opaque_action opaque;
	char *opaque_model; // what a request counts as whose plaintext cannot be read; NULL: none
	// How long a request may keep an HTTP/2 connection on which others are being answered;
	// default 20 s.
	uint64_t http2_max_hold_ns;
	uint16_t *proxy_ports; // looked at for CONNECT; default 3128 and 8080
	size_t n_proxy_ports;
	bool proxy_ports_are_given;
	uint64_t plaintext_memory_bytes; // for all that is read of connections; default 64 MiB
	// How late a charge may reach the provider; below 60 s, default 250 ms.
	uint64_t headroom_ns;
	bool headroom_is_given;
	uint64_t ageing_ns; // a request that waits so long counts one tier higher; default 60 s
	char *agent_group;  // NULL: any
	struct zone *zone;  // of calendar windows; UTC by default
	char *prices_file;  // as written; NULL: the table that Sluice brings
	char **priority_sources;    // globs over labels that programs control; NULL-terminated
	struct provider *providers; // at least one
	size_t n_providers;
	struct team *teams;
	size_t n_teams;
	struct limit *limits;
	size_t n_limits;
	struct rule *rules;
	size_t n_rules;
	struct scheduler **schedulers; // the first is the native limits' own
	size_t n_schedulers;
	char **labels; // names by number, n_labels of them; at least N_BUILTIN_LABELS
	size_t n_labels;
	struct price *prices; // by model, in the order of strcmp(3)
	size_t n_prices;
	struct tier_row *tiers[5]; // tiers[0] is tier 1; filled if any limit has a tier
	size_t n_tiers[5];
};

// Loads FILE, then the *.yaml files of its sibling directory policies.d/ in name order (each may
// add teams, limits, policies and rules, or be a blueprint's values file; so may FILE itself). A
// FILE that says nothing gives the defaults.
//
// On an error returns NULL and sets *ret_error to a malloc'd text that the caller frees: up to 20
// lines "file:line: what is wrong; what was expected", or "file: …" where the file as a whole is
// meant. It may be NULL if memory ran out. Nothing that looks like an API key is quoted.
struct policy *policy_load(const char *path, char **ret_error);

// The same for a policy that a trace is played through: labels that nothing on this host gives are
// taken, for a trace may carry them. Not those that look like a misspelt one.
struct policy *policy_load_for_trace(const char *path, char **ret_error);
void policy_free(struct policy *policy); // NULL: nothing to do

// Writes the policy as YAML that loads again to the same policy. 0 or a negative errno.
int policy_write(const struct policy *policy, FILE *out);

// The number of a label, by name or by an alias; NO_LABEL: the policy does not know it.
size_t policy_find_label(const struct policy *policy, const char *name);

// The team of that name, or NULL.
const struct team *policy_find_team(const struct policy *policy, const char *name);

// The price of a model, or of the model that it is a dated snapshot of; NULL: not known.
const struct price *policy_find_price(const struct policy *policy, const char *model);
const struct tier_row *tier_find(const struct tier_row *rows, size_t n_rows, const char *model);

#endif
