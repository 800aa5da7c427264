// The single values of the policy language: text in, typed value out. Pure.
//
//   duration    "250ms", "1h30m": a number and its unit (d h m s ms us ns), in ns; never a bare
//               number
//   number      40000, 40_000, 1.5, 40k, 1.5M (k: thousand, M: million); never negative
//   rate        a number of units a minute, or for a team also a share of a limit, "50%"
//   amount      a number, or dollars: "$500", "500$", "500 USD"
//   memory      bytes, or 64MiB, 1GiB: from 4 MiB to 1 GiB
//   glob        fnmatch(3) pattern
//
// Numbers are read by hand and not with strtod(), which takes "inf", "nan" and hexadecimal, and
// reads "1.5" as 1 in a locale that writes a comma.
#ifndef SLUICE_CONFIG_VALUES_H
#define SLUICE_CONFIG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "config/policy.h"

// What a calendar window counts as where a length is asked for.
#define CALENDAR_DAY_NS (86400ull * 1000000000)
#define CALENDAR_MONTH_NS (30 * CALENDAR_DAY_NS)

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
int value_count(const char *text, void *ret, struct value_error *error);    // double *
int value_rate_or_share(const char *text, void *ret, struct value_error *error); // struct rate *
int value_port(const char *text, void *ret, struct value_error *error);          // uint16_t *
int value_share(const char *text, void *ret, struct value_error *error);      // double *, percent
int value_tier(const char *text, void *ret, struct value_error *error);       // int *, 0 to 9
int value_usage_tier(const char *text, void *ret, struct value_error *error); // int *, 1 to 5
int value_ageing(const char *text, void *ret, struct value_error *error);     // uint64_t *, ns
int value_memory(const char *text, void *ret, struct value_error *error);     // uint64_t *, bytes
int value_hold(const char *text, void *ret, struct value_error *error);       // uint64_t *, ns

// The window of a limit: 1 s to 366 days, or a month of the calendar.
struct value_interval {
	uint64_t ns;
	enum calendar calendar;
};
int value_interval(const char *text, void *ret, struct value_error *error);

struct value_amount {
	double value;
	bool is_dollars;
};
int value_amount(const char *text, void *ret, struct value_error *error);

// "$500/month". Days and months are those of the calendar, the others flow.
struct value_budget {
	double dollars;
	struct value_interval interval;
};
int value_budget(const char *text, void *ret, struct value_error *error);

enum match_operator { OPERATOR_IN, OPERATOR_NOT_IN, OPERATOR_EXISTS, OPERATOR_DOES_NOT_EXIST };
int value_operator(const char *text, void *ret, struct value_error *error); // enum match_operator *

int value_mode(const char *text, void *ret, struct value_error *error); // enum policy_mode *
int value_daemon_failure(const char *text, void *ret, struct value_error *error); // enum …
int value_over_limit(const char *text, void *ret, struct value_error *error); // enum over_limit *
int value_max_wait_action(const char *text, void *ret, struct value_error *error); // enum …
int value_opaque_action(const char *text, void *ret, struct value_error *error);   // enum …
int value_resource(const char *text, void *ret, struct value_error *error); // enum resource *
int value_calendar(const char *text, void *ret, struct value_error *error); // enum calendar *

// These set a char * that the caller frees.
int value_name(const char *text, void *ret, struct value_error *error);
int value_host(const char *text, void *ret, struct value_error *error);   // see names.c
int value_cgroup(const char *text, void *ret, struct value_error *error); // glob, begins with "/"
int value_unit(const char *text, void *ret, struct value_error *error);   // glob, "nginx.service"
int value_user(const char *text, void *ret, struct value_error *error);   // name or number
int value_glob(const char *text, void *ret, struct value_error *error);
int value_endpoint(const char *text, void *ret, struct value_error *error); // glob over a URL path
// Glob over the 16 lower-case hex digits that stand for a key; value_key_digest: those digits, also
// cut from the 64 of the whole SHA-256. Never quote what they refuse: it may be the key itself.
int value_key_hash(const char *text, void *ret, struct value_error *error);
int value_key_digest(const char *text, void *ret, struct value_error *error);
int value_text(const char *text, void *ret, struct value_error *error); // what a label may equal
// A label's name, http.header.* in lower case. value_label also knows the forms of http.* and
// body.*
int value_label(const char *text, void *ret, struct value_error *error);
int value_any_label(const char *text, void *ret, struct value_error *error);

#endif
