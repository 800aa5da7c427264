// The single values of the policy language: text in, typed value out. Pure.
//
//   duration    "250ms", "1h30m": a number and its unit (d h m s ms us ns), in ns; never a bare
//   number number      40000, 40_000, 1.5, 40k, 1.5M (k: thousand, M: million); never negative rate
//   a number of units a minute, or for a team also a share of a limit, "50%" glob        fnmatch(3)
//   pattern
//
// Numbers are read by hand and not with strtod(), which takes "inf", "nan" and hexadecimal, and
// reads "1.5" as 1 in a locale that writes a comma.
#ifndef SLUICE_CONFIG_VALUES_H
#define SLUICE_CONFIG_VALUES_H

// Both are constant text that completes: `rpm "x" <problem>; expected <expected>`.
struct value_error {
	const char *problem, *expected;
};

// 0 and *ret is set; -EINVAL and *error is set; -ENOMEM. On an error *ret is untouched.
typedef int (*value_parser)(const char *text, void *ret, struct value_error *error);

int value_bool(const char *text, void *ret, struct value_error *error);     // bool *
int value_duration(const char *text, void *ret, struct value_error *error); // uint64_t *, ns
int value_wait(const char *text, void *ret, struct value_error *error);     // the same, above 0
int value_headroom(const char *text, void *ret, struct value_error *error); // the same, below 1m
int value_factor(const char *text, void *ret, struct value_error *error);   // double *, > 0
int value_rate(const char *text, void *ret, struct value_error *error);     // struct rate *
int value_rate_or_share(const char *text, void *ret, struct value_error *error); // struct rate *
int value_port(const char *text, void *ret, struct value_error *error);          // uint16_t *

int value_mode(const char *text, void *ret, struct value_error *error); // enum policy_mode *
int value_daemon_failure(const char *text, void *ret, struct value_error *error); // enum …
int value_over_limit(const char *text, void *ret, struct value_error *error); // enum over_limit *
int value_max_wait_action(const char *text, void *ret, struct value_error *error); // enum …
int value_key_label(const char *text, void *ret, struct value_error *error); // enum key_label *

// These set a char * that the caller frees.
int value_name(const char *text, void *ret, struct value_error *error);
int value_host(const char *text, void *ret, struct value_error *error);   // see names.c
int value_cgroup(const char *text, void *ret, struct value_error *error); // glob, begins with "/"
int value_unit(const char *text, void *ret, struct value_error *error);   // glob, "nginx.service"
int value_user(const char *text, void *ret, struct value_error *error);   // name or number
int value_glob(const char *text, void *ret, struct value_error *error);
int value_endpoint(const char *text, void *ret, struct value_error *error); // glob over a URL path
// Glob over the 16 lower-case hex digits that stand for a key. Never quote what it refuses: it may
// be the key itself.
int value_key_hash(const char *text, void *ret, struct value_error *error);

#endif
