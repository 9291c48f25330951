#include "latency.h"

#include <stddef.h>
#include <string.h>

static size_t bucket_of(uint64_t value)
{
    if (value < (1u << LATENCY_SUB_BITS))
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - LATENCY_SUB_BITS;
    return ((size_t)(shift + 1) << LATENCY_SUB_BITS) + ((size_t)(value >> shift) & ((1u << LATENCY_SUB_BITS) - 1));
}

/* The highest value that falls into the bucket. */
static uint64_t bucket_top(size_t bucket)
{
    size_t group = bucket >> LATENCY_SUB_BITS;
    uint64_t mantissa = bucket & ((1u << LATENCY_SUB_BITS) - 1);

    if (group == 0)
        return mantissa;
    return (((mantissa | (1u << LATENCY_SUB_BITS)) + 1) << (group - 1)) - 1;
}

void latency_record(struct latency *latency, uint64_t now, uint64_t took)
{
    uint64_t number = now / LATENCY_SLOT_NS;
    size_t index = (size_t)(number % LATENCY_SLOTS);

    if (latency->slots[index].number != number) {
        memset(&latency->slots[index], 0, sizeof latency->slots[index]);
        latency->slots[index].number = number;
    }
    latency->slots[index].counts[bucket_of(took)]++;
    latency->slots[index].total++;
    if (took > latency->slots[index].max)
        latency->slots[index].max = took;
    if (took > LATENCY_STALL_NS)
        latency->slots[index].stalls++;
}

static uint64_t quantile(const uint32_t *counts, uint64_t total, uint64_t permille, uint64_t max)
{
    uint64_t rank = (total * permille + 999) / 1000; /* nearest rank, from 1 */
    uint64_t seen = 0;

    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += counts[i];
        if (seen >= rank)
            return bucket_top(i) < max ? bucket_top(i) : max;
    }
    return max;
}

struct latency_summary latency_summarise(struct latency *latency, uint64_t now)
{
    static uint32_t counts[LATENCY_BUCKETS];
    uint64_t newest = now / LATENCY_SLOT_NS;
    struct latency_summary sum = {0};

    memset(counts, 0, sizeof counts);
    for (size_t s = 0; s < LATENCY_SLOTS; s++) {
        if (latency->slots[s].total == 0 || newest - latency->slots[s].number >= LATENCY_SLOTS)
            continue;
        for (size_t i = 0; i < LATENCY_BUCKETS; i++)
            counts[i] += latency->slots[s].counts[i];
        sum.total += latency->slots[s].total;
        sum.stalls += latency->slots[s].stalls;
        if (latency->slots[s].max > sum.max)
            sum.max = latency->slots[s].max;
    }
    if (sum.total > 0) {
        sum.p50 = quantile(counts, sum.total, 500, sum.max);
        sum.p99 = quantile(counts, sum.total, 990, sum.max);
    }
    return sum;
}
