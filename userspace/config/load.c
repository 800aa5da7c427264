// Files → policy: the main file, then policies.d/*.yaml beside it, one after another into the same
// struct. The documents stay open until the policy is checked as a whole, so that what is wrong
// between two files still has a line.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "base/cleanup.h"
#include "config/keys.h"
#include "config/policy.h"

#define ADDED_DIRECTORY "policies.d"
#define DEFAULT_MAX_WAIT_NS 600000000000ull
#define DEFAULT_HEADROOM_NS 250000000ull

struct loader {
	struct policy *policy;
	struct document *documents;
	size_t n_documents;
	size_t values_left;
	struct problems problems;
};

static void loader_release(struct loader *loader)
{
	for (size_t i = 0; i < loader->n_documents; i++)
		document_close(&loader->documents[i]);
	free(loader->documents);
	problems_clear(&loader->problems);
	policy_free(loader->policy);
}

static void read_file(struct loader *loader, const char *path, const struct schema *schema)
{
	struct document *documents = reallocarray(loader->documents, loader->n_documents + 1,
						  sizeof(*loader->documents));

	if (!documents) {
		loader->problems.out_of_memory = true;
		return;
	}
	loader->documents = documents;
	struct document *document = &documents[loader->n_documents];
	if (document_load(document, path, &loader->problems) < 0)
		return;
	loader->n_documents++;

	struct reader reader = {
		.document = document,
		.problems = &loader->problems,
		.values_left = &loader->values_left,
	};
	if (document->root && !refuse_blueprint(&reader))
		schema_read(&reader, document->root, schema, loader->policy);
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length > end_length && strcmp(text + length - end_length, end) == 0;
}

// ".yml" is taken in too, only to be refused: a limit left out without a word is worse.
static int is_policy_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.' &&
	       (ends_with(entry->d_name, ".yaml") || ends_with(entry->d_name, ".yml"));
}

// Not alphasort(), whose order depends on the locale.
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_added_file(struct loader *loader, const char *directory, const char *name)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		loader->problems.out_of_memory = true;
	} else if (ends_with(name, ".yml")) {
		problems_add(&loader->problems, path, 0,
			     "would not be read; expected a name that ends in .yaml");
	} else {
		read_file(loader, path, &ADDED_FILE_SCHEMA);
	}
}

static void read_added_files(struct loader *loader, const char *main_path)
{
	const char *slash = strrchr(main_path, '/');
	int prefix = slash ? (int)(slash + 1 - main_path) : 0;
	CLEANUP_FREE char *directory = NULL;
	CLEANUP_FREE struct dirent **entries = NULL;

	if (asprintf(&directory, "%.*s" ADDED_DIRECTORY, prefix, main_path) < 0) {
		directory = NULL;
		loader->problems.out_of_memory = true;
		return;
	}
	int n = scandir(directory, &entries, is_policy_file, by_name);
	if (n < 0) {
		entries = NULL;
		// ENOTDIR also says that main_path's own directory is none (a descriptor's path).
		if (errno != ENOENT && errno != ENOTDIR)
			problems_add(&loader->problems, directory, 0,
				     "cannot be listed (%m); expected a readable directory");
		return;
	}
	for (int i = 0; i < n; i++) {
		read_added_file(loader, directory, entries[i]->d_name);
		free(entries[i]);
	}
}

static struct policy *policy_new(void)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (policy) {
		policy->mode = MODE_OBSERVE;
		policy->on_daemon_failure = FAILURE_OPEN;
		policy->max_wait_ns = DEFAULT_MAX_WAIT_NS;
		policy->on_max_wait = MAX_WAIT_DENY;
		policy->headroom_ns = DEFAULT_HEADROOM_NS;
	}
	return policy;
}

// The one provider of a policy that names none. 0 or -ENOMEM.
static int add_default_provider(struct policy *policy)
{
	struct provider *provider = calloc(1, sizeof(*provider));

	if (!provider)
		return -ENOMEM;
	policy->providers = provider;
	policy->n_providers = 1;
	provider->name = strdup("openai");
	provider->hosts = calloc(2, sizeof(*provider->hosts));
	provider->ports = calloc(1, sizeof(*provider->ports));
	if (!provider->name || !provider->hosts || !provider->ports)
		return -ENOMEM;
	provider->hosts[0] = strdup("api.openai.com");
	provider->ports[0] = 443;
	provider->n_ports = 1;
	return provider->hosts[0] ? 0 : -ENOMEM;
}

static void load_all(struct loader *loader, const char *path)
{
	read_file(loader, path, &MAIN_FILE_SCHEMA);
	read_added_files(loader, path);
	if (problems_any(&loader->problems))
		return;
	if (loader->policy->n_providers == 0 && add_default_provider(loader->policy) < 0)
		loader->problems.out_of_memory = true;
	else
		policy_check(loader->policy, loader->documents, loader->n_documents,
			     &loader->problems);
}

struct policy *policy_load(const char *path, char **ret_error)
{
	__attribute__((cleanup(loader_release))) struct loader loader = {
		.policy = policy_new(),
		.values_left = SCHEMA_VALUES_MAX,
	};

	*ret_error = NULL;
	if (!loader.policy)
		loader.problems.out_of_memory = true;
	else
		load_all(&loader, path);
	if (problems_any(&loader.problems)) {
		*ret_error = problems_text(&loader.problems);
		return NULL;
	}
	return TAKE_PTR(loader.policy);
}
