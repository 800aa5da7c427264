// A trace: requests as they came, one JSON object a line. sluice record writes it from live
// traffic, sluice simulate decides it again under another policy.
//
//   {"t": 12.5, "id": "r1", "labels": {"model": "gpt-4", "team": "chat", "priority": "200"},
//    "tokens": 1200, "images": 0, "response_s": 3.2,
//    "usage": {"input_tokens": 800, "output_tokens": 300}}
//
// Only t and id must be there. What every key means, and what stands for it if it is absent (null
// is absent, too), is in sluice(1). Whatever is not understood is an error: a trace that says
// "token" and is simulated with none would give an answer to another question.
#ifndef SLUICE_SIMULATE_TRACE_H
#define SLUICE_SIMULATE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "config/policy.h"
#include "simulate/pool.h"

struct json_object;

struct trace_label {
	size_t label; // by the policy's numbers
	const char *value;
};

// Texts belong to the trace. Equal label values are one pointer.
struct trace_request {
	int64_t at_ns; // Unix time
	size_t line;   // from 1
	const char *id;
	bool id_is_number;
	const char *team;                 // the label; NULL: none
	const struct trace_label *labels; // those that the policy knows
	size_t n_labels;
	double tokens, images;
	double input_tokens, output_tokens; // estimates, at admission
	bool has_usage;
	double used_input_tokens, used_output_tokens;
	bool failed;              // its response was an error
	uint64_t response_ns;     // from admission to the response's end
	uint64_t cancel_after_ns; // its program does not wait longer; UINT64_MAX: it does
};

struct trace {
	struct trace_request *requests; // by time; those of the same time in the file's order
	size_t n_requests;
	struct pool pool;
};

// Reads all of `in`, which is called `name` in messages. 0, or a negative errno with *ret_error a
// malloc'd "name:line: field: what is wrong; what was expected" (NULL if memory ran out).
int trace_read(FILE *in, const char *name, const struct policy *policy, struct trace *ret,
	       char **ret_error);
void trace_free(struct trace *trace);

// Writes a line: the keys of a trace that `request` has, in the order of the format; others are
// left out. 0, or -ENOMEM; whether `out` took it is for ferror(3) to say.
int trace_write(FILE *out, struct json_object *request);

#endif
