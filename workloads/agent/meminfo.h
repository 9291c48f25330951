/* MemTotal and MemAvailable of /proc/meminfo, in bytes; 0 where unreadable. */
#ifndef DENSITY_MEMINFO_H
#define DENSITY_MEMINFO_H

#include <stdint.h>

struct meminfo {
    uint64_t total, available;
};

struct meminfo meminfo_read(void);

#endif
