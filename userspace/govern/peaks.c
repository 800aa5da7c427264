#include "govern/peaks.h"

#include <math.h>
#include <string.h>

// Drops entry i, keeping the order of the others.
static void drop(struct peaks *peaks, size_t i)
{
	memmove(&peaks->list[i], &peaks->list[i + 1], (--peaks->n - i) * sizeof(*peaks->list));
}

static void merge_two(struct peaks *peaks)
{
	struct peak *list = peaks->list;
	size_t least = 0;

	for (size_t i = 1; i + 1 < peaks->n; i++)
		if (list[i].level - list[i + 1].level < list[least].level - list[least + 1].level)
			least = i;
	list[least].at_ns = list[least + 1].at_ns;
	drop(peaks, least + 1);
}

void peaks_note(struct peaks *peaks, uint64_t now_ns, double level)
{
	while (peaks->n && peaks->list[peaks->n - 1].level <= level)
		peaks->n--;
	if (peaks->n == PEAKS_KEPT)
		merge_two(peaks);
	peaks->list[peaks->n++] = (struct peak){now_ns, level};
}

double peaks_since(const struct peaks *peaks, uint64_t since_ns, double level)
{
	for (size_t i = 0; i < peaks->n; i++)
		if (peaks->list[i].at_ns > since_ns)
			return fmax(peaks->list[i].level, level);
	return level;
}

void peaks_raise(struct peaks *peaks, uint64_t since_ns, double amount)
{
	size_t i = 0;

	while (i < peaks->n && peaks->list[i].at_ns <= since_ns)
		i++;
	size_t first = i;
	for (; i < peaks->n; i++)
		peaks->list[i].level += amount;
	// What is older and not higher tells nothing any more.
	while (first && first < peaks->n &&
	       peaks->list[first - 1].level <= peaks->list[first].level)
		drop(peaks, --first);
}
