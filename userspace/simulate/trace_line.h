// One line of a trace: its keys, their ranges, and what stands for those that are absent.
#ifndef SLUICE_SIMULATE_TRACE_LINE_H
#define SLUICE_SIMULATE_TRACE_LINE_H

#include "simulate/trace.h"

struct trace_reader {
	const char *name; // of the file
	size_t line;      // the one that is being read, from 1
	const struct policy *policy;
	struct pool *pool;
	char *error; // malloc'd; NULL: none, or no memory for it
};

// Sets the error to "name:line: " and the message; returns -EINVAL, or -ENOMEM. Control characters
// are made harmless.
int trace_bad(struct trace_reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

// 0, -ENOMEM, or what trace_bad() gives.
int trace_line_read(struct trace_reader *r, struct json_object *line, struct trace_request *ret);

#endif
