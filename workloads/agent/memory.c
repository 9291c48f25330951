#include "memory.h"

#include <string.h>
#include <sys/mman.h>

#include "clock.h"

#define WORDS_PER_PAGE (PAGE_BYTES / sizeof(uint64_t))
#define MINCORE_BATCH 4096 /* pages: 16 MiB a call */
#define TIMED_EVERY 16

/* splitmix64: spreads close inputs (page numbers) over all 64 bits. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* A page no compressor makes smaller: an LCG whose weak low bits are covered by its high ones. One multiplication a
 * word, because the page is written under TCG too. */
static void fill(unsigned char *page, uint64_t seed)
{
    uint64_t *words = (uint64_t *)(void *)page;
    uint64_t x = mix(seed);

    for (size_t i = 0; i < WORDS_PER_PAGE; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        words[i] = x ^ (x >> 29);
    }
}

static unsigned char *reserve(size_t bytes)
{
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return NULL;
    (void)madvise(base, bytes, MADV_NOHUGEPAGE); /* a huge page would hold up to 2 MiB more than asked */
    return base;
}

bool memory_reserve(struct memory *memory, uint64_t capacity, uint64_t secret)
{
    memset(memory, 0, sizeof *memory);
    memory->secret = secret;
    memory->dice = mix(secret);
    if (capacity > SIZE_MAX / 2)
        return false;
    memory->base = reserve((size_t)pages_of(capacity) * PAGE_BYTES);
    if (memory->base == NULL)
        return false;
    memory->capacity = (size_t)pages_of(capacity) * PAGE_BYTES;
    return true;
}

bool memory_primer(const struct memory *memory, size_t bytes)
{
    unsigned char *base = reserve(bytes);

    if (base == NULL)
        return false;
    for (size_t offset = 0; offset + PAGE_BYTES <= bytes; offset += PAGE_BYTES)
        fill(base + offset, ~memory->secret ^ mix(offset)); /* unique: merged primers would move the baseline */
    return true;
}

void memory_grow(struct memory *memory, uint64_t to, enum pages pages, uint64_t seed)
{
    for (uint64_t page = pages_of(memory->held); page < pages_of(to); page++) {
        unsigned char *at = memory->base + page * PAGE_BYTES;

        if (pages == PAGES_UNIQUE)
            fill(at, memory->secret ^ mix(seed) ^ mix(page) ^ mix(~memory->writes++));
        else if (pages == PAGES_SHARED)
            fill(at, mix(seed) ^ mix(page)); /* nothing of this guest: the same page number is the same in all */
        else
            memset(at, 0, PAGE_BYTES);
    }
    memory->held = to;
}

void memory_shrink(struct memory *memory, uint64_t to)
{
    uint64_t keep = pages_of(to);
    uint64_t have = pages_of(memory->held);

    if (keep < have)
        (void)madvise(memory->base + keep * PAGE_BYTES, (size_t)(have - keep) * PAGE_BYTES, MADV_DONTNEED);
    memory->held = to;
}

void memory_rewrite(struct memory *memory, uint64_t first, uint64_t count)
{
    for (uint64_t page = first; page < first + count; page++) {
        unsigned char *at = memory->base + page * PAGE_BYTES;

        if (page % TIMED_EVERY == 0) {
            uint64_t before = now_ns();
            *(volatile uint64_t *)(void *)at = before;
            uint64_t after = now_ns();
            latency_record(&memory->latency, after, after - before);
        }
        fill(at, memory->secret ^ mix(page) ^ mix(~memory->writes++));
    }
}

void memory_touch(struct memory *memory, uint64_t count)
{
    uint64_t pages = pages_of(memory->held);

    if (pages == 0)
        return;
    while (count-- > 0) {
        memory->dice = mix(memory->dice);
        const unsigned char *at = memory->base + memory->dice % pages * PAGE_BYTES;
        uint64_t before = now_ns();
        (void)*(const volatile unsigned char *)at;
        uint64_t after = now_ns();
        latency_record(&memory->latency, after, after - before);
    }
}

uint64_t memory_resident(const struct memory *memory)
{
    static unsigned char in_core[MINCORE_BATCH];
    uint64_t pages = pages_of(memory->held);
    uint64_t resident = 0;

    for (uint64_t page = 0; page < pages; page += MINCORE_BATCH) {
        uint64_t batch = pages - page < MINCORE_BATCH ? pages - page : MINCORE_BATCH;

        if (mincore(memory->base + page * PAGE_BYTES, (size_t)batch * PAGE_BYTES, in_core) != 0)
            return 0;
        for (uint64_t i = 0; i < batch; i++)
            resident += in_core[i] & 1u;
    }
    return resident * PAGE_BYTES;
}
