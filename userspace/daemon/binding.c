// Whose plaintext is this? While the layout of a TLS library is not known, the probes report what
// is written under the SSL object's address alone. It is kept here (bounded) until a search of the
// object for the client randoms of its process's connections names the flow, and gives the layout,
// so that from then on the probes name it themselves.
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "tap/bind.h"

enum { MAX_RANDOMS = 512 };
#define STASH_AGE_NS (2 * NS_PER_S)

struct piece {
	STAILQ_ENTRY(piece) next;
	struct sluice_chunk chunk; // with its data
};

struct stash {
	struct bind_object object;
	uint64_t begun_ns;
	size_t bytes;
	STAILQ_HEAD(, piece) pieces;
	LIST_ENTRY(stash) in_process;
};

static struct stash *find_stash(struct process *process, uint64_t ssl)
{
	struct stash *stash;

	LIST_FOREACH (stash, &process->stashes, in_process)
		if (stash->object.ssl == ssl)
			return stash;
	stash = calloc(1, sizeof(*stash));
	if (!stash)
		return NULL;
	stash->object.ssl = ssl;
	stash->object.tgid = process->tgid;
	stash->begun_ns = clock_now_ns();
	STAILQ_INIT(&stash->pieces);
	LIST_INSERT_HEAD(&process->stashes, stash, in_process);
	return stash;
}

static void free_stash(struct stash *stash)
{
	struct piece *piece;

	while ((piece = STAILQ_FIRST(&stash->pieces))) {
		STAILQ_REMOVE_HEAD(&stash->pieces, next);
		explicit_bzero(piece->chunk.data, piece->chunk.length);
		free(piece);
	}
	LIST_REMOVE(stash, in_process);
	free(stash);
}

static void add_piece(struct daemon *d, struct stash *stash, const struct sluice_chunk *chunk)
{
	struct piece *piece = NULL;

	if (stash->bytes + chunk->length <= STASH_BYTES)
		piece = malloc(sizeof(*piece) + chunk->length);
	if (!piece) { // a gap, which the flow's reader will meet
		d->n.stash_dropped++;
		return;
	}
	memcpy(&piece->chunk, chunk, sizeof(*chunk) + chunk->length);
	stash->bytes += chunk->length;
	STAILQ_INSERT_TAIL(&stash->pieces, piece, next);
}

// Of a connection that is older than the daemon none is known, and zeros stand everywhere.
static bool has_random(const struct flow *flow)
{
	static const uint8_t none[SLUICE_RANDOM_BYTES];

	return memcmp(flow->born.random, none, sizeof(none)) != 0;
}

static struct flow *flow_of_random(struct process *process, const uint8_t *random)
{
	struct flow *flow;

	LIST_FOREACH (flow, &process->flows, in_process)
		if (has_random(flow) && !memcmp(flow->born.random, random, SLUICE_RANDOM_BYTES))
			return flow;
	return NULL;
}

// Searches the object for any random of the process's flows; learns the library if it is there.
static struct flow *search(struct daemon *d, struct process *process, struct library *library,
			   struct bind_object *object)
{
	uint8_t randoms[MAX_RANDOMS][SLUICE_RANDOM_BYTES];
	struct flow *candidates[MAX_RANDOMS], *flow;
	int n = 0, found;

	LIST_FOREACH (flow, &process->flows, in_process)
		if (!flow->is_bound && has_random(flow) && n < MAX_RANDOMS) {
			candidates[n] = flow;
			memcpy(randoms[n++], flow->born.random, SLUICE_RANDOM_BYTES);
		}
	found = bind_search(object, (const uint8_t(*)[SLUICE_RANDOM_BYTES])randoms, n,
			    &library->layout);
	if (found < 0)
		return NULL;
	kernel_set_library(d->kernel, library->id, &library->layout);
	log_info("%s: the client random stands at offset 0x%x%s", library->path,
		 library->layout.random_offset,
		 library->layout.pointer_offset == SLUICE_NO_POINTER ? "" : " behind a pointer");
	return candidates[found];
}

static struct flow *find_flow(struct daemon *d, struct process *process, struct library *library,
			      struct bind_object *object)
{
	uint8_t random[SLUICE_RANDOM_BYTES];

	if (!library->layout.learned)
		return search(d, process, library, object);
	return bind_read(object, &library->layout, random) ? NULL : flow_of_random(process, random);
}

// The library is learned by now, so what is written from here on has the flow's name.
static void note_unbound(struct daemon *d, struct flow *flow, const struct sluice_chunk *chunk)
{
	const struct sluice_session session = {chunk->ssl, chunk->tgid};
	struct sluice_session_bytes bytes;

	if (!kernel_read_session(d->kernel, &session, &bytes) &&
	    bytes.write_end > flow->unbound_end)
		flow->unbound_end = bytes.write_end;
	if (flow->is_bound && !flow->opaque_reason)
		flow_set_gate(d, flow, SLUICE_GATE_GOVERNED, flow->granted);
}

void binding_take(struct daemon *d, const struct sluice_chunk *chunk)
{
	struct process *process = process_get(d, chunk->tgid, false);
	struct library *library = library_get(d->registry, chunk->library);
	struct stash *stash;
	struct piece *piece;
	struct flow *flow;

	if (!process || !library) { // none of its connections is governed
		kernel_forget_session(d->kernel, &(struct sluice_session){chunk->ssl, chunk->tgid});
		return;
	}
	stash = find_stash(process, chunk->ssl);
	if (!stash)
		return;
	if (chunk->direction == SLUICE_OBJECT) { // what it holds may have changed since the last
		stash->object.bytes = chunk->length;
		memcpy(stash->object.memory, chunk->data, chunk->length);
		return;
	}
	add_piece(d, stash, chunk);
	if (chunk->direction == SLUICE_READ && !stash->object.bytes && !library->layout.learned)
		return; // the object comes with the first write
	flow = find_flow(d, process, library, &stash->object);
	if (!flow)
		return;
	note_unbound(d, flow, chunk);
	if (!flow->is_bound)
		flow_bind(d, flow, library);
	STAILQ_FOREACH (piece, &stash->pieces, next)
		flow_take(d, flow, &piece->chunk);
	free_stash(stash);
}

// What no flow was found for in good time belongs to a connection that is not governed.
void binding_sweep(struct daemon *d, struct process *process, uint64_t now_ns)
{
	struct stash *stash, *following;

	for (stash = LIST_FIRST(&process->stashes); stash; stash = following) {
		following = LIST_NEXT(stash, in_process);
		if (now_ns - stash->begun_ns > STASH_AGE_NS) {
			kernel_forget_session(d->kernel, &(struct sluice_session){stash->object.ssl,
										  process->tgid});
			free_stash(stash);
		}
	}
}

void binding_free(struct daemon *d, struct process *process)
{
	while (!LIST_EMPTY(&process->stashes)) {
		struct stash *stash = LIST_FIRST(&process->stashes);

		kernel_forget_session(d->kernel,
				      &(struct sluice_session){stash->object.ssl, process->tgid});
		free_stash(stash);
	}
}
