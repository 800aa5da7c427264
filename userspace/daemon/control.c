// What people ask and order: would such a request be admitted (check), what is the policy in
// effect, open and fill buckets (reset), read the configuration again (reload).
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "serve/object.h"
#include "serve/question.h"

#define MAX_NESTING 8
#define TEAM_PREFIX "team "

typedef struct json_object json;

json *control_policy(void *ctx, const struct api_request *request, int *ret_code)
{
	CLEANUP_FREE char *text = NULL;
	struct daemon *d = ctx;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	int err = out ? policy_write(d->policy, out) : -ENOMEM;

	(void)request;
	if (out && fclose(out))
		err = -ENOMEM;
	if (!err)
		return json_object_new_string_len(text, (int)bytes);
	return api_error(ret_code, 500, "the policy cannot be written: %s", strerror(-err));
}

// An empty body is {}. NULL: it is no JSON, or there is no memory; *ret_error says so.
static json *read_body(const struct api_request *request, int *ret_code, json **ret_error)
{
	struct json_tokener *tokener;
	enum json_tokener_error problem;
	size_t bytes;
	const char *text = api_body(request, &bytes);
	json *body;

	if (!bytes)
		return json_object_new_object();
	tokener = json_tokener_new_ex(MAX_NESTING);
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	body = json_tokener_parse_ex(tokener, text, (int)bytes + 1);
	problem = json_tokener_get_error(tokener);
	if (problem != json_tokener_success || !body)
		*ret_error = api_error(ret_code, 400, "the body is not JSON, byte %zu: %s",
				       json_tokener_get_parse_end(tokener),
				       json_tokener_error_desc(problem));
	json_tokener_free(tokener);
	return body;
}

json *control_check(void *ctx, const struct api_request *request, int *ret_code)
{
	CLEANUP_FREE char *problem = NULL;
	struct daemon *d = ctx;
	json *answer = NULL;
	json *question = read_body(request, ret_code, &answer);

	if (!question)
		return answer;
	if (question_answer(d->governor, d->policy, question, clock_now_ns(), &answer, &problem) &&
	    problem)
		answer = api_error(ret_code, 422, "%s", problem);
	json_object_put(question);
	return answer;
}

static bool has_policy(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_limits; i++)
		if (!strcmp(policy->limits[i].name, name))
			return true;
	return policy_find_team(policy, name);
}

// GET /v1/limits calls the ceiling of a team "team NAME".
static const char *policy_name(const struct policy *policy, const char *name)
{
	if (!has_policy(policy, name) && !strncmp(name, TEAM_PREFIX, strlen(TEAM_PREFIX)))
		name += strlen(TEAM_PREFIX);
	return name;
}

struct reset {
	const char *policy, *key; // NULL: any
};

// NULL: it is understood.
static json *read_reset(json *body, struct reset *ret, int *ret_code)
{
	*ret = (struct reset){0};
	if (!json_object_is_type(body, json_type_object))
		return api_error(ret_code, 422,
				 "expected an object, {\"policy\": ..., \"key\": ...}");
	json_object_object_foreach (body, name, value) {
		bool is_policy = !strcmp(name, "policy");

		if (!is_policy && strcmp(name, "key") != 0)
			return api_error(ret_code, 422,
					 "unknown key \"%.64s\"; expected policy, key", name);
		if (value && !json_object_is_type(value, json_type_string))
			return api_error(ret_code, 422, "%s: expected a string", name);
		*(is_policy ? &ret->policy : &ret->key) = json_object_get_string(value);
	}
	return NULL;
}

static json *reset(struct daemon *d, const struct reset *reset, int *ret_code)
{
	const char *policy = reset->policy ? policy_name(d->policy, reset->policy) : NULL;
	json *answer;
	size_t n;

	if (policy && !has_policy(d->policy, policy))
		return api_error(ret_code, 404, "no limit or team is called \"%.64s\"", policy);
	n = governor_reset(d->governor, policy, reset->key, clock_now_ns());
	log_info("%zu buckets opened and filled, of %s", n, policy ? policy : "any policy");
	daemon_govern(d);
	answer = json_object_new_object();
	if (answer)
		object_add_count(answer, "reset", n);
	return answer;
}

json *control_reset(void *ctx, const struct api_request *request, int *ret_code)
{
	struct reset wanted;
	json *answer = NULL;
	json *body = read_body(request, ret_code, &answer);

	if (!body)
		return answer;
	answer = read_reset(body, &wanted, ret_code);
	if (!answer)
		answer = reset(ctx, &wanted, ret_code);
	json_object_put(body);
	return answer;
}

json *control_reload(void *ctx, const struct api_request *request, int *ret_code)
{
	CLEANUP_FREE char *problem = NULL;
	int err = daemon_reload(ctx, &problem);
	json *answer;

	(void)request;
	if (err)
		return api_error(ret_code, 422, "%s", problem ? problem : strerror(-err));
	answer = json_object_new_object();
	if (answer)
		object_add_flag(answer, "reloaded", true);
	return answer;
}
