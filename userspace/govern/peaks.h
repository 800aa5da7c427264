// The highest level that a bucket has had since a given moment.
//
// A level rises between draws and falls with them, so its maxima are what draws found. Those that a
// later, higher one has followed tell nothing any more: what remains is a list in which levels
// fall, and the first entry after a moment is the highest since. Memory is constant: when the list
// is full, the two neighbours that differ least become one, which is then too high by that
// difference for moments between them.
#ifndef SLUICE_GOVERN_PEAKS_H
#define SLUICE_GOVERN_PEAKS_H

#include <stddef.h>
#include <stdint.h>

#define PEAKS_KEPT 32

struct peak {
	uint64_t at_ns;
	double level;
};

struct peaks {
	struct peak list[PEAKS_KEPT]; // oldest first; levels fall
	size_t n;
};

// A draw finds that level.
void peaks_note(struct peaks *peaks, uint64_t now_ns, double level);

// The highest level after since_ns; `level` is that of now.
double peaks_since(const struct peaks *peaks, uint64_t since_ns, double level);

// All levels after since_ns would have been higher by `amount`.
void peaks_raise(struct peaks *peaks, uint64_t since_ns, double amount);

#endif
