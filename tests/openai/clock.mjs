// The one clock of the imitation: milliseconds since the Unix epoch, as a float that never runs
// backwards. Date.now() has whole milliseconds only and can step; the log is compared with what
// other programs on this host saw microseconds earlier.

import { performance } from 'node:perf_hooks';

export function nowMs() {
	return performance.timeOrigin + performance.now();
}
