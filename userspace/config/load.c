// Files → policy: the main file, then policies.d/*.yaml beside it, one after another into the same
// struct. All are opened first, for a label that one file names may be set by a rule of another,
// and they stay open until the policy is checked as a whole, so that what is wrong between two
// files still has a line.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/blueprint.h"
#include "config/check.h"
#include "config/keys.h"
#include "config/labels.h"
#include "config/limits.h"
#include "config/policy.h"
#include "config/scheduler.h"
#include "config/tables.h"
#include "config/trust.h"
#include "config/zone.h"

#define ADDED_DIRECTORY "policies.d"
#define DEFAULT_MAX_WAIT_NS 600000000000ull
#define DEFAULT_HTTP2_MAX_HOLD_NS (20ull * 1000000000)
#define DEFAULT_PLAINTEXT_MEMORY_BYTES (64ull << 20)
#define DEFAULT_HEADROOM_NS 250000000ull

#define DEFAULT_AGEING_NS 60000000000ull

struct loader {
	struct policy *policy;
	struct document *
		*documents; // each of its own, for places point at them; first the main file
	size_t n_documents;
	size_t values_left;
	bool is_for_trace;
	struct places places;
	struct problems problems;
};

static void loader_release(struct loader *loader)
{
	for (size_t i = 0; i < loader->n_documents; i++) {
		document_close(loader->documents[i]);
		free(loader->documents[i]);
	}
	free(loader->documents);
	places_clear(&loader->places);
	problems_clear(&loader->problems);
	policy_free(loader->policy);
}

static void open_file(struct loader *loader, const char *path)
{
	struct document **documents =
		reallocarray(loader->documents, loader->n_documents + 1, sizeof(struct document *));
	CLEANUP_FREE struct document *document = calloc(1, sizeof(*document));

	if (documents)
		loader->documents = documents;
	if (!documents || !document)
		loader->problems.out_of_memory = true;
	else if (document_load(document, path, &loader->problems) == 0)
		documents[loader->n_documents++] = TAKE_PTR(document);
}

static struct reader reader_of(struct loader *loader, const struct document *document)
{
	return (struct reader){
		.document = document,
		.problems = &loader->problems,
		.values_left = &loader->values_left,
		.policy = loader->policy,
		.places = &loader->places,
		.is_blueprint = blueprint_is(document),
		.is_for_trace = loader->is_for_trace,
	};
}

static void read_document(struct loader *loader, size_t i)
{
	const struct document *document = loader->documents[i];
	struct reader reader = reader_of(loader, document);

	if (!document->root)
		return;
	if (reader.is_blueprint)
		blueprint_read(&reader, loader->policy);
	else
		schema_read(&reader, document->root, i ? &ADDED_FILE_SCHEMA : &MAIN_FILE_SCHEMA,
			    loader->policy);
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

static void open_added_file(struct loader *loader, const char *directory, const char *name)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%s/%s", directory, name) < 0) {
		path = NULL;
		loader->problems.out_of_memory = true;
	} else if (ends_with(name, ".yml")) {
		problems_add(&loader->problems, path, 0,
			     "would not be read; expected a name that ends in .yaml");
	} else {
		open_file(loader, path);
	}
}

static void open_added_files(struct loader *loader, const char *main_path)
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
		open_added_file(loader, directory, entries[i]->d_name);
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
		policy->http2_max_hold_ns = DEFAULT_HTTP2_MAX_HOLD_NS;
		policy->plaintext_memory_bytes = DEFAULT_PLAINTEXT_MEMORY_BYTES;
		policy->headroom_ns = DEFAULT_HEADROOM_NS;
		policy->ageing_ns = DEFAULT_AGEING_NS;
	}
	return policy;
}

// What every policy has before anything is read.
static void add_native(struct loader *loader)
{
	struct scheduler *native = policy_add_scheduler(loader->policy);

	if (native)
		native->priority_label = LABEL_PRIORITY;
	if (!native || labels_init(loader->policy) < 0)
		loader->problems.out_of_memory = true;
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

// Those of Squid, and of many others. 0 or -ENOMEM.
static int add_default_proxy_ports(struct policy *policy)
{
	static const uint16_t ports[] = {3128, 8080};

	policy->proxy_ports = malloc(sizeof(ports));
	if (!policy->proxy_ports)
		return -ENOMEM;
	memcpy(policy->proxy_ports, ports, sizeof(ports));
	policy->n_proxy_ports = sizeof(ports) / sizeof(*ports);
	return 0;
}

// What the files did not say.
static void add_defaults(struct loader *loader)
{
	struct policy *policy = loader->policy;

	if (policy->n_providers == 0 && add_default_provider(policy) < 0)
		loader->problems.out_of_memory = true;
	if (!policy->proxy_ports_are_given && add_default_proxy_ports(policy) < 0)
		loader->problems.out_of_memory = true;
	if (!policy->zone)
		policy->zone = zone_new("UTC");
	if (!policy->zone)
		loader->problems.out_of_memory = true;
}

static void load_tables(struct loader *loader, const char *main_path)
{
	struct policy *policy = loader->policy;
	const char *file = policy->prices_file, *slash = strrchr(main_path, '/');
	int prefix = slash && file && *file != '/' ? (int)(slash + 1 - main_path) : 0;
	CLEANUP_FREE char *path = NULL;
	bool has_tiers = false;

	if (file && asprintf(&path, "%.*s%s", prefix, main_path, file) < 0) {
		path = NULL;
		loader->problems.out_of_memory = true;
		return;
	}
	if (path && access(path, R_OK) != 0) {
		const struct document *main = loader->documents[0];

		problems_add(&loader->problems, main->path,
			     node_line(document_find(main, main->root, "prices")),
			     "prices %s cannot be read (%m); expected a CSV file",
			     problems_quote(file).text);
		return;
	}
	tables_load_prices(policy, path, &loader->problems);
	for (size_t i = 0; i < policy->n_limits; i++)
		has_tiers = has_tiers || policy->limits[i].tier;
	if (has_tiers)
		tables_load_tiers(policy, &loader->problems);
}

static void load_all(struct loader *loader, const char *path)
{
	add_native(loader);
	open_file(loader, path);
	open_added_files(loader, path);
	if (problems_any(&loader->problems)) // what is read first must be the main file
		return;
	for (size_t i = 0; i < loader->n_documents; i++) {
		struct reader reader = reader_of(loader, loader->documents[i]);
		declare_labels(&reader);
	}
	for (size_t i = 0; i < loader->n_documents; i++)
		read_document(loader, i);
	if (problems_any(&loader->problems))
		return;
	add_defaults(loader);
	load_tables(loader, path);
	if (problems_any(&loader->problems))
		return;
	limits_complete(loader->policy);
	policy_check(loader->policy, &loader->places, &loader->problems);
	trust_check(loader->policy, &loader->places, &loader->problems);
}

static struct policy *load(const char *path, bool is_for_trace, char **ret_error)
{
	__attribute__((cleanup(loader_release))) struct loader loader = {
		.policy = policy_new(),
		.values_left = SCHEMA_VALUES_MAX,
		.is_for_trace = is_for_trace,
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

struct policy *policy_load(const char *path, char **ret_error)
{
	return load(path, false, ret_error);
}

struct policy *policy_load_for_trace(const char *path, char **ret_error)
{
	return load(path, true, ret_error);
}
