// See library.h. Every executable mapping of a process is looked at once per file: a library may
// have any name, or be the program itself.
#include "tap/library.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "tap/elf_symbols.h"
#include "tap/inner_call.h"

// Files known to have no TLS functions. A ring: forgetting one costs another look.
enum { MAX_OTHERS = 4096 };

struct file_id {
	dev_t device;
	ino_t inode;
	int64_t changed_ns;
};

// The attaching thread alone adds; others may read libraries[0..n) at any time, for `n` is raised
// behind the pointer and nothing is ever taken out. So nobody waits for a slow file.
struct library_registry {
	struct library *libraries[SLUICE_MAX_LIBRARIES];
	size_t n;
	struct file_id others[MAX_OTHERS];
	size_t n_others;
};

int library_registry_new(struct library_registry **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	return 0;
}

void library_registry_free(struct library_registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < registry->n; i++)
		free(registry->libraries[i]);
	free(registry);
}

static bool is_other(const struct library_registry *registry, const struct file_id *id)
{
	size_t n = registry->n_others < MAX_OTHERS ? registry->n_others : MAX_OTHERS;

	for (size_t i = 0; i < n; i++)
		if (registry->others[i].inode == id->inode &&
		    registry->others[i].device == id->device &&
		    registry->others[i].changed_ns == id->changed_ns)
			return true;
	return false;
}

static struct library *known_library(const struct library_registry *registry,
				     const struct file_id *id)
{
	for (size_t i = 0; i < registry->n; i++) {
		struct library *library = registry->libraries[i];

		if (library->inode == id->inode && library->device == id->device &&
		    library->changed_ns == id->changed_ns)
			return library;
	}
	return NULL;
}

// One probe for both functions of a pair, where the library shows that one is behind them.
static void join_pair(int fd, uint64_t *offsets, enum probe plain, enum probe ex)
{
	uint64_t inner = inner_call_find(fd, offsets[plain], offsets[ex]);

	if (!inner)
		return;
	offsets[plain] = 0;
	offsets[ex] = inner; // takes the arguments of the _ex form
}

// Opens the file and looks for the functions. NULL: it has none.
static struct library *look_into(struct library_registry *registry, const struct file_id *id,
				 const char *openable, const char *shown)
{
	// A file that was exchanged for a FIFO must not make anybody wait.
	CLEANUP_CLOSE int fd = open(openable, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint64_t offsets[PROBES];
	struct library *library;

	if (fd < 0) // perhaps better luck next time
		return NULL;
	if (elf_find_functions(fd, probe_functions, PROBES, offsets) <= 0 ||
	    !(offsets[PROBE_WRITE] || offsets[PROBE_WRITE_EX])) {
		registry->others[registry->n_others++ % MAX_OTHERS] = *id;
		return NULL;
	}
	if (registry->n == SLUICE_MAX_LIBRARIES) {
		log_warning("more than %d TLS libraries: %s goes without probes",
			    SLUICE_MAX_LIBRARIES, shown);
		return NULL;
	}
	join_pair(fd, offsets, PROBE_WRITE, PROBE_WRITE_EX);
	join_pair(fd, offsets, PROBE_READ, PROBE_READ_EX);
	library = calloc(1, sizeof(*library));
	if (!library)
		return NULL;
	library->id = registry->n;
	library->device = id->device;
	library->inode = id->inode;
	library->changed_ns = id->changed_ns;
	snprintf(library->path, sizeof(library->path), "%s", shown);
	memcpy(library->offsets, offsets, sizeof(offsets));
	registry->libraries[registry->n] = library;
	__atomic_store_n(&registry->n, registry->n + 1, __ATOMIC_RELEASE);
	return library;
}

// By its name under the process's own root, or, if that is another file by now (deleted,
// upgraded), by the mapping itself.
static int openable_path(uint32_t tgid, const char *range, const char *name, char *path,
			 struct stat *st)
{
	snprintf(path, PATH_MAX, "/proc/%u/root%s", tgid, name);
	if (!strstr(name, " (deleted)") && !stat(path, st))
		return 0;
	snprintf(path, PATH_MAX, "/proc/%u/map_files/%s", tgid, range);
	return stat(path, st) ? -errno : 0;
}

int library_find(struct library_registry *registry, uint32_t tgid, struct mapped_library *out,
		 size_t max)
{
	CLEANUP_FCLOSE FILE *maps = NULL;
	char line[PATH_MAX + 128], path[64], last[PATH_MAX] = "";
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%u/maps", tgid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (n < max && fgets(line, sizeof(line), maps)) {
		char range[64], mode[8], name[PATH_MAX] = "", *openable = out[n].path;
		struct library *library;
		struct file_id id;
		struct stat st;
		bool seen = false;

		if (sscanf(line, "%63s %7s %*s %*s %*s %4095[^\n]", range, mode, name) != 3 ||
		    mode[2] != 'x' || name[0] != '/' || !strcmp(name, last))
			continue;
		strcpy(last, name);
		if (openable_path(tgid, range, name, openable, &st) || !S_ISREG(st.st_mode))
			continue;
		id = (struct file_id){st.st_dev, st.st_ino,
				      st.st_ctim.tv_sec * (int64_t)NS_PER_S + st.st_ctim.tv_nsec};
		if (is_other(registry, &id))
			continue;
		library = known_library(registry, &id) ?: look_into(registry, &id, openable, name);
		for (size_t i = 0; i < n; i++)
			seen |= out[i].library == library;
		if (library && !seen)
			out[n++].library = library;
	}
	return n;
}

struct library *library_get(struct library_registry *registry, uint32_t id)
{
	return id < library_count(registry) ? registry->libraries[id] : NULL;
}

size_t library_count(struct library_registry *registry)
{
	return __atomic_load_n(&registry->n, __ATOMIC_ACQUIRE);
}
