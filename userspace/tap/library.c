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

// A library whose probes are gone may still be named by what the daemon has to do.
#define REUSE_AFTER_NS (60 * NS_PER_S)

// Files known to have no TLS functions. A ring: forgetting one costs another look.
enum { MAX_OTHERS = 4096 };

// The attaching thread alone adds; others may read libraries[0..n) at any time, for `n` is raised
// behind the pointer, and one that loses its id is kept among the retired: a connection may have
// been its. So nobody waits for a slow file.
struct library_registry {
	struct library *libraries[SLUICE_MAX_LIBRARIES];
	size_t n;
	struct library *retired; // a list, by `next_retired`
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

static void free_library(struct library *library)
{
	if (!library)
		return;
	free(library->points);
	free(library->path);
	free(library);
}

void library_registry_free(struct library_registry *registry)
{
	struct library *library;

	if (!registry)
		return;
	for (size_t i = 0; i < registry->n; i++)
		free_library(registry->libraries[i]);
	while ((library = registry->retired)) {
		registry->retired = library->next_retired;
		free_library(library);
	}
	free(registry);
}

static bool is_same(const struct file_id *a, const struct file_id *b)
{
	return a->inode == b->inode && a->device == b->device && a->modified_ns == b->modified_ns &&
	       a->bytes == b->bytes;
}

static bool is_other(const struct library_registry *registry, const struct file_id *file)
{
	size_t n = registry->n_others < MAX_OTHERS ? registry->n_others : MAX_OTHERS;

	for (size_t i = 0; i < n; i++)
		if (is_same(&registry->others[i], file))
			return true;
	return false;
}

static struct library *known_library(const struct library_registry *registry,
				     const struct file_id *file)
{
	for (size_t i = 0; i < registry->n; i++)
		if (is_same(&registry->libraries[i]->file, file))
			return registry->libraries[i];
	return NULL;
}

static struct library *new_library(const struct file_id *file, const char *path,
				   struct probe_point *points, int n_points)
{
	struct library *library = calloc(1, sizeof(*library));

	if (library)
		library->path = strdup(path);
	if (!library || !library->path) {
		free(points);
		free(library);
		return NULL;
	}
	library->file = *file;
	library->points = points;
	library->n_points = n_points;
	library->is_new = true;
	library->unused_ns = clock_now_ns();
	return library;
}

// The library that has been without probes for the longest; NULL: none for long enough.
static struct library *longest_unused(const struct library_registry *registry)
{
	struct library *oldest = NULL;

	for (size_t i = 0; i < registry->n; i++) {
		struct library *library = registry->libraries[i];

		if (!__atomic_load_n(&library->n_taps, __ATOMIC_ACQUIRE) &&
		    (!oldest || library->unused_ns < oldest->unused_ns))
			oldest = library;
	}
	return oldest && clock_now_ns() - oldest->unused_ns > REUSE_AFTER_NS ? oldest : NULL;
}

// Gives it an id. False: all are in use.
static bool enter(struct library_registry *registry, struct library *library)
{
	struct library *old;

	if (registry->n < SLUICE_MAX_LIBRARIES) {
		library->id = registry->n;
		registry->libraries[registry->n] = library;
		__atomic_store_n(&registry->n, registry->n + 1, __ATOMIC_RELEASE);
		return true;
	}
	old = longest_unused(registry);
	if (!old)
		return false;
	library->id = old->id;
	__atomic_store_n(&registry->libraries[old->id], library, __ATOMIC_RELEASE);
	old->next_retired = registry->retired;
	registry->retired = old;
	return true;
}

// Opens the file and looks for the functions. NULL: it has none.
static struct library *look_into(struct library_registry *registry, const struct file_id *file,
				 const char *openable, const char *shown)
{
	// A file that was exchanged for a FIFO must not make anybody wait.
	CLEANUP_CLOSE int fd = open(openable, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct probe_point *points;
	struct library *library;
	int n;

	if (fd < 0) // perhaps better luck next time
		return NULL;
	n = points_find(fd, &points);
	if (n <= 0) {
		if (n && n != -ENOEXEC)
			log_info("%s: its TLS functions cannot be probed: %s", shown, strerror(-n));
		registry->others[registry->n_others++ % MAX_OTHERS] = *file;
		return NULL;
	}
	library = new_library(file, shown, points, n);
	if (library && !enter(registry, library)) {
		log_warning("more than %d TLS libraries in use: %s goes without probes",
			    SLUICE_MAX_LIBRARIES, shown);
		free_library(library);
		return NULL;
	}
	return library;
}

void library_hold(struct library *library)
{
	__atomic_fetch_add(&library->n_taps, 1, __ATOMIC_RELAXED);
}

void library_release(struct library *library)
{
	__atomic_store_n(&library->unused_ns, clock_now_ns(), __ATOMIC_RELAXED);
	__atomic_fetch_sub(&library->n_taps, 1, __ATOMIC_RELEASE);
}

// By its name under the process's own root, or, if that is another file by now (deleted,
// upgraded), by the mapping itself.
static int openable_path(uint32_t tgid, const char *range, const char *name, char *path,
			 struct stat *st)
{
	if (snprintf(path, PATH_MAX, "/proc/%u/root%s", tgid, name) < PATH_MAX &&
	    !strstr(name, " (deleted)") && !stat(path, st))
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
		struct file_id file;
		struct stat st;
		bool seen = false;

		if (sscanf(line, "%63s %7s %*s %*s %*s %4095[^\n]", range, mode, name) != 3 ||
		    mode[2] != 'x' || name[0] != '/' || !strcmp(name, last))
			continue;
		strcpy(last, name);
		if (openable_path(tgid, range, name, openable, &st) || !S_ISREG(st.st_mode))
			continue;
		file = (struct file_id){st.st_dev, st.st_ino,
					st.st_mtim.tv_sec * (int64_t)NS_PER_S + st.st_mtim.tv_nsec,
					st.st_size};
		if (is_other(registry, &file))
			continue;
		library = known_library(registry, &file)
				  ?: look_into(registry, &file, openable, name);
		for (size_t i = 0; i < n; i++)
			seen |= out[i].library == library;
		if (library && !seen)
			out[n++].library = library;
	}
	return n;
}

struct library *library_get(struct library_registry *registry, uint32_t id)
{
	return id < library_count(registry)
		       ? __atomic_load_n(&registry->libraries[id], __ATOMIC_ACQUIRE)
		       : NULL;
}

size_t library_count(struct library_registry *registry)
{
	return __atomic_load_n(&registry->n, __ATOMIC_ACQUIRE);
}
