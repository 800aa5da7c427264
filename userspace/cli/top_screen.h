// The live screen of "sluice top".
#ifndef SLUICE_CLI_TOP_SCREEN_H
#define SLUICE_CLI_TOP_SCREEN_H

struct cli;

// Runs until q is typed or the count is reached. An exit code; -ENOTTY: curses does not know this
// terminal.
int top_screen(const struct cli *cli);

#endif
