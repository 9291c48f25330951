#include "job.h"

#include <errno.h>
#include <stdio.h>

#include "clock.h"

#define GROW_CHUNK ((uint64_t)64 << 10)   /* bytes between looks at the clock */
#define SHRINK_CHUNK ((uint64_t)16 << 20) /* freeing is cheaper than touching */
#define VRAM_CHUNK ((uint64_t)16 << 10)   /* written byte by byte, uncached */
#define TOUCH_CHUNK 16                    /* pages; each may take milliseconds where the guest is swapped */

bool job_start(struct job *job, const struct command *command, const struct memory *memory, struct devices *devices,
               uint64_t now, char reason[REASON_BYTES])
{
    uint64_t held = memory->held;
    const char *why = NULL;

    switch (command->verb) {
    case VERB_GROW:
        if (command->to < held)
            why = "grow below what is held, use shrink";
        else if (command->to > memory->capacity)
            why = "more than the guest has";
        break;
    case VERB_SHRINK:
        if (command->to > held)
            why = "shrink above what is held, use grow";
        break;
    case VERB_REWRITE:
        if (command->bytes > held)
            why = "more than is held";
        break;
    case VERB_TOUCH:
        if (held == 0)
            why = "nothing is held";
        break;
    case VERB_CACHE:
        if (!disk_open(&devices->disk))
            why = "no disk with serial " DISK_SERIAL;
        break;
    case VERB_VRAM:
        if (!vram_open(&devices->vram))
            why = "no display";
        else if (command->bytes > devices->vram.bytes)
            why = "more than the display has";
        break;
    default:
        why = "not a job";
        break;
    }
    if (why != NULL) {
        (void)snprintf(reason, REASON_BYTES, "%s (held %llu)", why, (unsigned long long)held);
        return false;
    }
    *job = (struct job){.running = true,
                        .command = *command,
                        .started = now,
                        .from = command->verb == VERB_CACHE ? 0 : held,
                        .disk = &devices->disk,
                        .vram = &devices->vram};
    return true;
}

static bool has_pace(const struct job *job)
{
    return (job->command.verb == VERB_GROW || job->command.verb == VERB_CACHE) && job->command.rate != 0;
}

/* Where a job that may have a pace ends: bytes held, or bytes gone through the cache. */
static uint64_t target(const struct job *job)
{
    return job->command.verb == VERB_CACHE ? job->command.bytes : job->command.to;
}

/* How far it should be `elapsed` ns after the start. */
static uint64_t due(const struct job *job, uint64_t elapsed)
{
    __extension__ typedef unsigned __int128 wide;

    if (job->command.rate == 0)
        return target(job);
    wide bytes = (wide)job->command.rate * elapsed / NS_PER_S + job->from;
    return bytes < target(job) ? (uint64_t)bytes : target(job);
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

static bool step_grow(const struct job *job, struct memory *memory, uint64_t now)
{
    uint64_t to = due(job, now - job->started);

    if (to > memory->held)
        memory_grow(memory, memory->held + at_most(to - memory->held, GROW_CHUNK), job->command.pages, job->command.seed);
    return memory->held < to;
}

static bool step_shrink(const struct job *job, struct memory *memory)
{
    memory_shrink(memory, memory->held - at_most(memory->held - job->command.to, SHRINK_CHUNK));
    return memory->held > job->command.to;
}

static bool step_rewrite(struct job *job, struct memory *memory)
{
    uint64_t left = pages_of(job->command.bytes) - job->done;
    uint64_t count = at_most(left, GROW_CHUNK / PAGE_BYTES);

    memory_rewrite(memory, job->done, count);
    job->done += count;
    return left > count;
}

static bool step_touch(struct job *job, struct memory *memory)
{
    uint64_t left = job->command.count - job->done;
    uint64_t count = at_most(left, TOUCH_CHUNK);

    memory_touch(memory, count);
    job->done += count;
    return left > count;
}

static bool step_cache(struct job *job, uint64_t now)
{
    uint64_t to = due(job, now - job->started);

    if (to > job->done) {
        uint64_t count = disk_churn(job->disk, job->done, to - job->done, job->command.write);
        if (count == 0) {
            job->error = errno;
            return false;
        }
        job->done += count;
    }
    return job->done < to;
}

static bool step_vram(struct job *job)
{
    uint64_t count = at_most(job->command.bytes - job->done, VRAM_CHUNK);

    vram_write(job->vram, job->done, count);
    job->done += count;
    return job->done < job->command.bytes;
}

static bool is_done(const struct job *job, const struct memory *memory)
{
    if (job->error != 0)
        return true;
    if (job->command.verb == VERB_GROW)
        return memory->held >= job->command.to;
    return job->command.verb != VERB_CACHE || job->done >= job->command.bytes;
}

void job_step(struct job *job, struct memory *memory, uint64_t now)
{
    uint64_t begin = now;
    bool more = true;

    while (more && now - begin < JOB_SLICE_NS) {
        switch (job->command.verb) {
        case VERB_GROW:
            more = step_grow(job, memory, begin); /* pace by the slice's begin: catching up ends */
            break;
        case VERB_SHRINK:
            more = step_shrink(job, memory);
            break;
        case VERB_REWRITE:
            more = step_rewrite(job, memory);
            break;
        case VERB_TOUCH:
            more = step_touch(job, memory);
            break;
        case VERB_CACHE:
            more = step_cache(job, begin);
            break;
        case VERB_VRAM:
            more = step_vram(job);
            break;
        default:
            more = false;
            break;
        }
        now = now_ns();
    }
    if (!more && is_done(job, memory))
        job->running = false;
}

uint64_t job_next(const struct job *job, uint64_t now)
{
    if (!has_pace(job))
        return now;
    /* The last step falls on the end of the ramp, not on the tick after it. */
    __extension__ typedef unsigned __int128 wide;
    wide length = ((wide)(target(job) - job->from) * NS_PER_S + job->command.rate - 1) / job->command.rate;
    wide end = length + job->started;
    if (end > now && end - now < JOB_TICK_NS)
        return (uint64_t)end;
    return now + JOB_TICK_NS;
}
