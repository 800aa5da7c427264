// The question "what would a request like this meet now?", as it comes in JSON:
//
//   {"labels": {"model": "gpt-4", "team": "chat"}, "amounts": {"tokens": 1200}}
//
// Both are objects, and may be absent. What is not said is taken as follows. Labels: provider is
// the policy's first; team is whose cgroup, uid and user these are; stream is false;
// estimated_tokens is the amount of tokens. Amounts: requests 1; tokens and images 0; input_tokens
// as tokens; output_tokens 0; total_tokens their sum; cost by the price of the model.
#ifndef SLUICE_SERVE_QUESTION_H
#define SLUICE_SERVE_QUESTION_H

#include <stdint.h>
#include "config/policy.h"

struct governor;
struct json_object;

// Fills *ret_answer with a new object, see governed_check(); nothing is drawn. `policy` is the one
// that the governor runs. -EINVAL with *ret_error a malloc'd text (NULL if memory ran out): what is
// wrong with the question, and what was expected. -ENOMEM.
int question_answer(struct governor *g, const struct policy *policy, struct json_object *question,
		    uint64_t now_ns, struct json_object **ret_answer, char **ret_error);

#endif
