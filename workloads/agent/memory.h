/* Memory held exactly: one reserved region of which the first `held` bytes are touched, never more. */
#ifndef DENSITY_MEMORY_H
#define DENSITY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latency.h"
#include "protocol.h"

#define PAGE_BYTES ((size_t)4096)

struct memory {
    unsigned char *base;
    size_t capacity; /* bytes reserved, a multiple of PAGE_BYTES */
    uint64_t held;   /* bytes asked for and given; pages touched: held / PAGE_BYTES, rounded up */
    uint64_t secret; /* makes this guest's unique pages unlike any other's */
    uint64_t writes; /* makes a rewritten page unlike what it held before */
    uint64_t dice;   /* state of the choice of pages to touch */
    struct latency latency;
};

/* Reserves address space only. False (errno set) if the kernel refuses. */
bool memory_reserve(struct memory *memory, uint64_t capacity, uint64_t secret);

/* Touches and keeps bytes outside the region, never counted as held: what boot left behind is used up by it. */
bool memory_primer(const struct memory *memory, size_t bytes);

/* Moves `held` up; writes each new page whole. `to` must lie in [held, capacity]. */
void memory_grow(struct memory *memory, uint64_t to, enum pages pages, uint64_t seed);

/* Moves `held` down and gives the pages back from the top. */
void memory_shrink(struct memory *memory, uint64_t to);

/* Writes new unique data over held pages [first, first + count). One in 16 first writes is timed. */
void memory_rewrite(struct memory *memory, uint64_t first, uint64_t count);

/* Reads `count` held pages chosen at random, each timed. Reading fetches swapped pages and leaves merged ones merged. */
void memory_touch(struct memory *memory, uint64_t count);

/* Bytes of the held region that the kernel says are in memory (mincore: page tables, not our counter). */
uint64_t memory_resident(const struct memory *memory);

static inline uint64_t pages_of(uint64_t bytes)
{
    return bytes / PAGE_BYTES + (bytes % PAGE_BYTES != 0);
}

#endif
