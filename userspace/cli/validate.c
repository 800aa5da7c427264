// sluice validate: reads files as sluiced would, and needs none to run.
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "base/cleanup.h"
#include "config/policy.h"

static void print_count(const char *before, size_t count, const char *one, const char *more)
{
	printf("%s%zu %s", before, count, count == 1 ? one : more);
}

// An entry of `limits:` is one policy for each of its numbers.
static void print_counts(const char *file, const struct policy *policy)
{
	printf("%s: ok", file);
	print_count(": ", policy->n_providers, "provider", "providers");
	print_count(", ", policy->n_teams, "team", "teams");
	print_count(", ", policy->n_limits, "policy", "policies");
	putchar('\n');
}

// An object on a line of its own. `problems` is cut at its newlines; NULL: there is none.
static void print_json(const char *file, bool valid, char *problems)
{
	const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	struct json_object *result = json_object_new_object();
	struct json_object *errors = json_object_new_array();
	char *rest;

	for (char *line = problems ? strtok_r(problems, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		json_object_array_add(errors, json_object_new_string(line));
	json_object_object_add(result, "file", json_object_new_string(file));
	json_object_object_add(result, "valid", json_object_new_boolean(valid));
	json_object_object_add(result, "errors", errors);
	puts(json_object_to_json_string_ext(result, flags));
	json_object_put(result);
}

static bool validate(const char *file, bool json)
{
	CLEANUP_FREE char *problems = NULL;
	struct policy *policy = policy_load(file, &problems);
	bool valid = policy;

	if (!valid && !problems)
		problems = strdup("out of memory");
	if (json)
		print_json(file, valid, problems);
	else if (valid)
		print_counts(file, policy);
	else
		fprintf(stderr, "%s\n", problems ? problems : "out of memory");
	policy_free(policy);
	return valid;
}

int verb_validate(const struct cli *cli, int argc, char **argv)
{
	int result = CLI_OK;

	for (int i = 0; i < argc; i++)
		if (!validate(argv[i], cli->json))
			result = CLI_FAILED;
	return result;
}
