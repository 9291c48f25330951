/* What init has to do before it can talk: mounts, kernel command line, modules, console. */
#ifndef DENSITY_BOOT_H
#define DENSITY_BOOT_H

#include <stdbool.h>
#include <stddef.h>

#define MODULE_LIST "/modules.list" /* one path a line, in the order to load */

void boot_mount(void);

/* Copies the value of `name=` from /proc/cmdline. False, and an empty value, if it is not there. */
bool boot_argument(const char *name, char *value, size_t size);

/* Loads MODULE_LIST in order. What can't be loaded is told on the console and left out. */
void boot_modules(void);

/* Opens the serial console raw, without echo, non-blocking. -1 if there is none. */
int boot_console(void);

#endif
