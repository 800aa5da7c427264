// See attach.h. Two threads: one does the jobs in order (attach, forget, tidy), the other destroys
// links while the first has nothing to do. A detach holds the kernel's event_mutex through an RCU
// grace period (perf_trace_event_unreg()), which would make a ClientHello wait.
#include "tap/attach.h"
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "tap/tap.h"

enum { WIDE_PROCESSES = 4 };           // so many new processes of one library …
#define WIDE_WINDOW_NS (4 * NS_PER_S)  // … in so long: probe the library
#define DETACH_AFTER_NS (2 * NS_PER_S) // detach when none was attached for so long …
enum { MAX_DOOMED = 4 };               // … or so many processes are to be detached
enum {
	WIDE_AT_ONCE = 16
};                      // or so many probed one by one: each costs two descriptors for each
			// probe and, at every return from a probed function, a run for each
			// other
enum { WIDE_JOBS = 3 }; // or so many waiting for their probes at once
#define QUIET_NS (30 * NS_PER_S) // so long without one: probe the processes again

enum { JOIN_S = 10 };

enum job_kind { JOB_ATTACH, JOB_FORGET, JOB_TIDY };

struct job {
	enum job_kind kind;
	uint32_t tgid;
	STAILQ_ENTRY(job) next;
};

struct result {
	struct attach_result result;
	STAILQ_ENTRY(result) next;
};

// A process and the libraries it uses, probed by itself or widely.
struct tapped_process {
	uint32_t tgid;
	struct mapped_library libraries[MAX_PROCESS_LIBRARIES];
	int n_libraries;
	LIST_ENTRY(tapped_process) next;
};

struct recent {
	uint64_t at_ns[WIDE_PROCESSES]; // a ring of the newest arrivals
	unsigned n;
};

struct attacher {
	struct kernel *kernel;
	struct library_registry *registry;
	int event_fd;
	pthread_t worker, detacher;
	bool has_worker, has_detacher;

	pthread_mutex_t lock; // of what follows
	pthread_cond_t changed;
	bool stopping, working;
	STAILQ_HEAD(, job) jobs;
	unsigned n_jobs;
	STAILQ_HEAD(, result) results;
	struct tap_list doomed;
	unsigned n_doomed;
	uint64_t last_job_ns;

	// The worker's own.
	struct tap_list taps;
	LIST_HEAD(, tapped_process) processes;
	struct recent recent[SLUICE_MAX_LIBRARIES];
};

static struct tap *find_tap(struct attacher *a, const struct library *library, uint32_t tgid)
{
	struct tap *tap;

	LIST_FOREACH (tap, &a->taps, next)
		if (tap->library == library && tap->tgid == tgid)
			return tap;
	return NULL;
}

static int add_tap(struct attacher *a, const struct mapped_library *mapped, uint32_t tgid)
{
	struct library *library = mapped->library;
	struct tap *tap;
	int err;

	if (find_tap(a, library, tgid))
		return 0;
	err = tap_new(&tap, a->kernel, mapped, tgid);
	if (err) {
		log_debug("cannot probe %s of process %u: %s", library->path, tgid, strerror(-err));
		return err;
	}
	LIST_INSERT_HEAD(&a->taps, tap, next);
	if (tgid)
		__atomic_fetch_add(&library->n_processes, 1, __ATOMIC_RELAXED);
	else
		library->is_wide = true;
	return 0;
}

static void doom_tap(struct attacher *a, struct tap *tap)
{
	LIST_REMOVE(tap, next);
	if (tap->tgid)
		__atomic_fetch_sub(&tap->library->n_processes, 1, __ATOMIC_RELAXED);
	else
		tap->library->is_wide = false;
	pthread_mutex_lock(&a->lock);
	LIST_INSERT_HEAD(&a->doomed, tap, next);
	a->n_doomed++;
	pthread_mutex_unlock(&a->lock);
}

// Notes an arrival and says whether the library has become a busy one.
static bool is_busy(struct attacher *a, const struct library *library, uint64_t now_ns)
{
	struct recent *recent = &a->recent[library->id];
	uint64_t *slot = &recent->at_ns[recent->n++ % WIDE_PROCESSES], oldest = *slot;

	*slot = now_ns;
	return __atomic_load_n(&library->n_processes, __ATOMIC_RELAXED) >= WIDE_AT_ONCE ||
	       (oldest && now_ns - oldest < WIDE_WINDOW_NS) ||
	       __atomic_load_n(&a->n_jobs, __ATOMIC_RELAXED) >= WIDE_JOBS;
}

static uint64_t newest_arrival(struct attacher *a, const struct library *library)
{
	struct recent *recent = &a->recent[library->id];

	return recent->n ? recent->at_ns[(recent->n - 1) % WIDE_PROCESSES] : 0;
}

static void go_wide(struct attacher *a, const struct mapped_library *mapped)
{
	struct tap *tap, *following;

	if (add_tap(a, mapped, 0))
		return;
	log_info("%s: many short-lived processes, probing the library", mapped->library->path);
	for (tap = LIST_FIRST(&a->taps); tap; tap = following) {
		following = LIST_NEXT(tap, next);
		if (tap->library == mapped->library && tap->tgid)
			doom_tap(a, tap);
	}
}

static struct tapped_process *find_process(struct attacher *a, uint32_t tgid)
{
	struct tapped_process *process;

	LIST_FOREACH (process, &a->processes, next)
		if (process->tgid == tgid)
			return process;
	return NULL;
}

// Its id may have been another's: what was known under that is forgotten before the first probe
// has it.
static void welcome(struct attacher *a, struct library *library)
{
	const struct sluice_library none = {};

	if (!library->is_new)
		return;
	kernel_set_library(a->kernel, library->id, &none);
	a->recent[library->id] = (struct recent){};
	library->is_new = false;
}

static int do_attach(struct attacher *a, uint32_t tgid)
{
	struct tapped_process *process = find_process(a, tgid);
	int n_probed = 0, err = 0;

	if (!process) {
		process = calloc(1, sizeof(*process));
		if (!process)
			return -ENOMEM;
		process->tgid = tgid;
		LIST_INSERT_HEAD(&a->processes, process, next);
	}
	process->n_libraries =
		library_find(a->registry, tgid, process->libraries, MAX_PROCESS_LIBRARIES);
	if (process->n_libraries <= 0) {
		int n = process->n_libraries;

		LIST_REMOVE(process, next);
		free(process);
		return n;
	}
	for (int i = 0; i < process->n_libraries; i++) {
		const struct mapped_library *mapped = &process->libraries[i];

		welcome(a, mapped->library);
		if (is_busy(a, mapped->library, clock_now_ns()) && !mapped->library->is_wide)
			go_wide(a, mapped);
		err = mapped->library->is_wide ? 0 : add_tap(a, mapped, tgid);
		n_probed += !err;
	}
	if (!n_probed) {
		LIST_REMOVE(process, next);
		free(process);
	}
	return n_probed ? n_probed : err;
}

static void do_forget(struct attacher *a, uint32_t tgid)
{
	struct tapped_process *process = find_process(a, tgid);
	struct tap *tap, *following;

	if (!process)
		return;
	LIST_REMOVE(process, next);
	free(process);
	kernel_forget_reads(a->kernel, tgid);
	for (tap = LIST_FIRST(&a->taps); tap; tap = following) {
		following = LIST_NEXT(tap, next);
		if (tap->tgid == tgid)
			doom_tap(a, tap);
	}
}

static unsigned users_of(struct attacher *a, const struct library *library)
{
	struct tapped_process *process;
	unsigned n = 0;

	LIST_FOREACH (process, &a->processes, next)
		for (int i = 0; i < process->n_libraries; i++)
			n += process->libraries[i].library == library;
	return n;
}

// Back from wide to single: the processes first, so that no call goes unseen between.
static void do_tidy(struct attacher *a)
{
	struct tap *tap, *following;
	struct tapped_process *process;

	for (tap = LIST_FIRST(&a->taps); tap; tap = following) {
		bool complete = true;

		following = LIST_NEXT(tap, next);
		if (tap->tgid || clock_now_ns() - newest_arrival(a, tap->library) < QUIET_NS ||
		    users_of(a, tap->library) > WIDE_AT_ONCE / 2)
			continue;
		LIST_FOREACH (process, &a->processes, next)
			for (int i = 0; i < process->n_libraries; i++)
				if (process->libraries[i].library == tap->library)
					complete &=
						!add_tap(a, &process->libraries[i], process->tgid);
		if (!complete)
			continue;
		log_info("%s: has quietened, probing its processes one by one", tap->library->path);
		doom_tap(a, tap);
	}
}

static void report(struct attacher *a, uint32_t tgid, int n_libraries, uint64_t took_ns)
{
	struct result *r = calloc(1, sizeof(*r));

	if (!r) // the kernel lets the ClientHello go by itself
		return;
	r->result = (struct attach_result){tgid, n_libraries, took_ns};
	pthread_mutex_lock(&a->lock);
	STAILQ_INSERT_TAIL(&a->results, r, next);
	pthread_mutex_unlock(&a->lock);
	eventfd_write(a->event_fd, 1);
}

static void do_job(struct attacher *a, const struct job *job)
{
	uint64_t start = clock_now_ns();
	int n_libraries;

	switch (job->kind) {
	case JOB_ATTACH:
		n_libraries = do_attach(a, job->tgid);
		report(a, job->tgid, n_libraries, clock_now_ns() - start);
		break;
	case JOB_FORGET:
		do_forget(a, job->tgid);
		break;
	case JOB_TIDY:
		do_tidy(a);
		break;
	}
}

static void *work(void *arg)
{
	struct attacher *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		struct job *job = STAILQ_FIRST(&a->jobs);

		a->working = job != NULL;
		if (!job) {
			pthread_cond_broadcast(&a->changed);
			pthread_cond_wait(&a->changed, &a->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&a->jobs, next);
		a->n_jobs--;
		pthread_mutex_unlock(&a->lock);
		do_job(a, job);
		free(job);
		pthread_mutex_lock(&a->lock);
	}
	a->working = false;
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

// The probes of a dead process cost nothing until they are taken out, so that waits for quiet.
static bool may_detach(const struct attacher *a)
{
	return !LIST_EMPTY(&a->doomed) && !a->working && STAILQ_EMPTY(&a->jobs) &&
	       (clock_now_ns() - a->last_job_ns > DETACH_AFTER_NS || a->n_doomed > MAX_DOOMED);
}

static void *detach(void *arg)
{
	struct attacher *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		struct tap *tap = LIST_FIRST(&a->doomed);
		struct bpf_link *link;

		if (!may_detach(a)) { // woken by each job, and each second by that of tidying
			pthread_cond_wait(&a->changed, &a->lock);
			continue;
		}
		link = tap_take_link(tap);
		if (!link) {
			LIST_REMOVE(tap, next);
			a->n_doomed--;
			tap_free(tap);
			continue;
		}
		pthread_mutex_unlock(&a->lock);
		bpf_link__destroy(link); // one at a time, so that an attach waits for one at most
		pthread_mutex_lock(&a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static int add_job(struct attacher *a, enum job_kind kind, uint32_t tgid)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->kind = kind;
	job->tgid = tgid;
	pthread_mutex_lock(&a->lock);
	STAILQ_INSERT_TAIL(&a->jobs, job, next);
	a->n_jobs++;
	if (kind == JOB_ATTACH)
		a->last_job_ns = clock_now_ns();
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

int attacher_attach(struct attacher *a, uint32_t tgid)
{
	return add_job(a, JOB_ATTACH, tgid);
}

int attacher_forget(struct attacher *a, uint32_t tgid)
{
	return add_job(a, JOB_FORGET, tgid);
}

int attacher_tidy(struct attacher *a)
{
	return add_job(a, JOB_TIDY, 0);
}

bool attacher_result(struct attacher *a, struct attach_result *ret)
{
	struct result *r;
	eventfd_t ignored;

	pthread_mutex_lock(&a->lock);
	r = STAILQ_FIRST(&a->results);
	if (r)
		STAILQ_REMOVE_HEAD(&a->results, next);
	else
		eventfd_read(a->event_fd, &ignored);
	pthread_mutex_unlock(&a->lock);
	if (!r)
		return false;
	*ret = r->result;
	free(r);
	return true;
}

int attacher_fd(const struct attacher *a)
{
	return a->event_fd;
}

int attacher_new(struct attacher **ret, struct kernel *kernel, struct library_registry *registry)
{
	struct attacher *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->kernel = kernel;
	a->registry = registry;
	STAILQ_INIT(&a->jobs);
	STAILQ_INIT(&a->results);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	a->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = a->event_fd < 0 ? errno : pthread_create(&a->worker, NULL, work, a);
	a->has_worker = !err;
	if (!err)
		err = pthread_create(&a->detacher, NULL, detach, a);
	a->has_detacher = !err;
	if (err) {
		attacher_free(a);
		return -err;
	}
	*ret = a;
	return 0;
}

static void destroy_taps(struct tap_list *taps)
{
	struct tap *tap;

	while ((tap = LIST_FIRST(taps))) {
		LIST_REMOVE(tap, next);
		tap_free(tap);
	}
}

static bool join(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += JOIN_S;
	return !pthread_timedjoin_np(thread, NULL, &until);
}

void attacher_free(struct attacher *a)
{
	struct tapped_process *process;
	struct attach_result ignored;
	struct job *job;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	if ((a->has_worker && !join(a->worker)) || (a->has_detacher && !join(a->detacher))) {
		log_warning("a file system does not answer: leaving the probes to the kernel");
		return;
	}
	destroy_taps(&a->taps);
	destroy_taps(&a->doomed);
	while ((process = LIST_FIRST(&a->processes))) {
		LIST_REMOVE(process, next);
		free(process);
	}
	while ((job = STAILQ_FIRST(&a->jobs))) {
		STAILQ_REMOVE_HEAD(&a->jobs, next);
		free(job);
	}
	while (attacher_result(a, &ignored))
		continue;
	if (a->event_fd >= 0)
		close(a->event_fd);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
