// The policy in effect: what sluice.yaml says, checked and typed. Read-only once loaded.
#ifndef SLUICE_CONFIG_POLICY_H
#define SLUICE_CONFIG_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum policy_mode { MODE_OBSERVE, MODE_ENFORCE };
enum daemon_failure { FAILURE_OPEN, FAILURE_CLOSED };
enum over_limit { OVER_LIMIT_QUEUE, OVER_LIMIT_DENY };
enum max_wait_action { MAX_WAIT_DENY, MAX_WAIT_ADMIT };

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
	double priority; // the same range; multiplies weight, 1 by default
	bool deny;       // no request of this team may pass
	// The team's own ceiling. RATE_PERCENT only if some limit that can match the team has that
	// resource.
	struct rate rpm, tpm;
};

// What a request must look like: fnmatch(3) globs. A NULL glob matches anything, also the empty
// text.
struct match {
	char *provider; // matches one of the policy's
	char *model;
	char *team;     // matches one of the policy's, or the name "" of those without a team
	char *endpoint; // "/v1/chat/completions"
	char *api_key;  // over the 16 hex digits of wire/key_digest.h, lower case
	char *organization;
	char *user;
};

enum key_label {
	KEY_API_KEY,
	KEY_ORGANIZATION,
	KEY_PROJECT,
	KEY_MODEL,
	KEY_TEAM,
	KEY_USER,
	KEY_PROVIDER
};

struct limit {
	char *name;
	int line; // where it begins in its own file, which may be one of policies.d/; from 1
	struct match match;
	enum key_label *keys; // one bucket for each combination of these; none: one bucket in all
	size_t n_keys;        // each label at most once; [api_key, model] if the file does not say
	struct rate rpm, tpm; // RATE_ABSENT (not both), or RATE_PER_MINUTE; 0 forbids
	enum over_limit over_limit;
};

struct policy {
	enum policy_mode mode;
	enum daemon_failure on_daemon_failure;
	uint64_t max_wait_ns; // 1 ns to 365 days, default 600 s
	enum max_wait_action on_max_wait;
	// How late a charge may reach the provider; below 60 s, default 250 ms.
	uint64_t headroom_ns;
	struct provider *providers; // at least one
	size_t n_providers;
	struct team *teams;
	size_t n_teams;
	struct limit *limits;
	size_t n_limits;
};

// Loads FILE, then the *.yaml files of its sibling directory policies.d/ in name order (each may
// add teams and limits). A FILE that says nothing gives the defaults. Names of providers, teams and
// limits are each unique over all files.
//
// On an error returns NULL and sets *ret_error to a malloc'd text that the caller frees: up to 20
// lines "file:line: what is wrong; what was expected", or "file: …" where the file as a whole is
// meant. It may be NULL if memory ran out. Nothing that looks like an API key is quoted.
struct policy *policy_load(const char *path, char **ret_error);
void policy_free(struct policy *policy); // NULL: nothing to do

#endif
