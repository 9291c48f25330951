/* Touch latencies of about the last second: a sliding histogram of fixed size. */
#ifndef DENSITY_LATENCY_H
#define DENSITY_LATENCY_H

#include <stdint.h>

#define LATENCY_SUB_BITS 5 /* 32 buckets per power of two: quantiles are at most 3.2 % too high */
#define LATENCY_BUCKETS ((64 - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS)
#define LATENCY_SLOT_NS 200000000u
#define LATENCY_SLOTS 6 /* the current, partial one and five full ones: 1.0 to 1.2 s */
#define LATENCY_STALL_NS 1000000u

struct latency {
    struct {
        uint32_t counts[LATENCY_BUCKETS];
        uint64_t number; /* which slot of time this is */
        uint64_t total, max, stalls;
    } slots[LATENCY_SLOTS];
};

struct latency_summary {
    uint64_t p50, p99, max, stalls, total; /* ns, ns, ns, touches over 1 ms, touches */
};

void latency_record(struct latency *latency, uint64_t now, uint64_t took);
struct latency_summary latency_summarise(struct latency *latency, uint64_t now);

#endif
