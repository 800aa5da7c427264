// The hash of a request's body, by which a client's retry is known again: FNV-1a, 64 bits
// (draft-eastlake-fnv), over the body's length as announced and its first 64 KB. A request is
// decided when so much of it is in; had the hash to wait for all of it, a large request would not
// have one then. Not meant to withstand forgery: who forges it takes the place of a request of his
// own.
#ifndef SLUICE_WIRE_BODY_HASH_H
#define SLUICE_WIRE_BODY_HASH_H

#include <stddef.h>
#include <stdint.h>

#define BODY_HASH_BYTES 65536

struct body_hash {
	uint64_t state;
	size_t left; // bytes that will still be taken
};

static inline void body_hash_feed(struct body_hash *hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	if (len > hash->left)
		len = hash->left;
	for (size_t i = 0; i < len; i++)
		hash->state = (hash->state ^ bytes[i]) * UINT64_C(0x100000001b3);
	hash->left -= len;
}

static inline void body_hash_init(struct body_hash *hash, uint64_t announced_bytes)
{
	*hash = (struct body_hash){UINT64_C(0xcbf29ce484222325), sizeof(announced_bytes)};
	body_hash_feed(hash, &announced_bytes, sizeof(announced_bytes));
	hash->left = BODY_HASH_BYTES;
}

// Never 0, which says that the hash is not known.
static inline uint64_t body_hash_value(const struct body_hash *hash)
{
	return hash->state ? hash->state : 1;
}

#endif
