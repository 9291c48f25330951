/* Monotonic time in nanoseconds. */
#ifndef DENSITY_CLOCK_H
#define DENSITY_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u

static inline uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif
