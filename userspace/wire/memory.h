// The memory that all conversations of the process may take together, for what strangers' bytes
// make them keep: readers, streams of HTTP/2, header tables, decoders. 64 MB unless set.
//
// Each block carries its size in front of it (16 bytes), so that freeing needs no size.
//
// Not thread-safe: conversations are read by one thread.
#ifndef SLUICE_WIRE_MEMORY_H
#define SLUICE_WIRE_MEMORY_H

#include <stddef.h>

// malloc'd and zeroed, or NULL: there is no memory, or the bound is reached.
void *wire_alloc(size_t bytes);
// As realloc(3): what is new is zeroed; NULL leaves the old block as it is. Frees what it moves
// as wire_free_secret() does.
void *wire_realloc(void *memory, size_t bytes);
void wire_free(void *memory);
// Overwrites it first: for what may have held an API key.
void wire_free_secret(void *memory);
void wire_set_bound(size_t bytes);
size_t wire_used(void);

#endif
