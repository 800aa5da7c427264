// See log.h. One write per line, so that lines of several threads never mix.
#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int is_verbose;

void log_set_verbose(int verbose)
{
	is_verbose = verbose;
}

int log_is_verbose(void)
{
	return is_verbose;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[1024];
	int n = 0;
	va_list args;

	if (level == LOG_LEVEL_DEBUG && !is_verbose)
		return;
	if (getenv("JOURNAL_STREAM"))
		n = snprintf(line, sizeof(line), "<%d>", level);
	va_start(args, format);
	n += vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; // nobody to tell
}
