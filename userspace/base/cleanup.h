// Cleanup attributes: a local that owns something gives it back when it goes out of scope.
// TAKE_PTR() hands the thing on, so that the scope's end leaves it alone.
#ifndef SLUICE_BASE_CLEANUP_H
#define SLUICE_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_fn(void *pointer_to_local)
{
	free(*(void **)pointer_to_local);
}

static inline void cleanup_close_fn(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose_fn(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void cleanup_closedir_fn(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define CLEANUP_FREE __attribute__((cleanup(cleanup_free_fn)))
#define CLEANUP_CLOSE __attribute__((cleanup(cleanup_close_fn)))
#define CLEANUP_FCLOSE __attribute__((cleanup(cleanup_fclose_fn)))
#define CLEANUP_CLOSEDIR __attribute__((cleanup(cleanup_closedir_fn)))

#define TAKE_PTR(local)                                                                            \
	({                                                                                         \
		__typeof__(local) taken_ = (local);                                                \
		(local) = NULL;                                                                    \
		taken_;                                                                            \
	})

#endif
