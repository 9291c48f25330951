/* One running job (grow, shrink, rewrite, touch, cache, vram), done in slices so that commands and the power button are heard. */
#ifndef DENSITY_JOB_H
#define DENSITY_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"
#include "memory.h"
#include "protocol.h"
#include "vram.h"

#define JOB_SLICE_NS (20u * 1000000u)
#define JOB_TICK_NS (20u * 1000000u) /* of a ramp with a rate: steps of rate / 50 */

struct job {
    bool running;
    struct command command;
    uint64_t started; /* ns */
    uint64_t from;    /* bytes held at the start: grow */
    uint64_t done;    /* pages: rewrite, touch; bytes: cache, vram */
    int error;        /* errno that ended it, 0 */
    const struct disk *disk;
    const struct vram *vram;
};

/* What a job may work on besides memory. Opened when a command first needs it. */
struct devices {
    struct disk disk;
    struct vram vram;
};

/* Checks the command against what is there. On failure `reason` says why and nothing has changed. */
bool job_start(struct job *job, const struct command *command, const struct memory *memory, struct devices *devices,
               uint64_t now, char reason[REASON_BYTES]);

/* Works for at most about JOB_SLICE_NS. Clears `running` when the job is done. */
void job_step(struct job *job, struct memory *memory, uint64_t now);

/* When the next step is due, ns; only while running. */
uint64_t job_next(const struct job *job, uint64_t now);

#endif
