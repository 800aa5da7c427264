// A listening Unix socket with an owner, a mode, and no leftovers.
#ifndef SLUICE_SERVE_LISTENER_H
#define SLUICE_SERVE_LISTENER_H

// Returns a listening, non-blocking socket at `path`, or a negative errno as api_open() says.
int listener_open(const char *path);

#endif
