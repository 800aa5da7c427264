// A file that cannot be used is moved out of the way and kept, for whoever wants to look into it.
#ifndef SLUICE_STORE_ASIDE_H
#define SLUICE_STORE_ASIDE_H

#include <stdbool.h>

// Whether the error is the file's own fault, so that a fresh one would do better.
bool aside_is_broken(const char *path, int err);

// Moves PATH and its log to PATH.broken-<Unix time>, and logs that, with what is wrong with it. -1
// with errno.
int aside_move(const char *path, const char *why);

#endif
