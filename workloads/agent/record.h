/* Numbered records on the disk: what a power loss may and may not take. Written by a thread of its own, because an fsync
 * may take seconds and the power button must be heard meanwhile.
 *
 * A record is one block of 512 or 4096 bytes, little-endian: magic "densrec1", run (8 bytes), sequence number (8, from 1),
 * milliseconds up (8), size of the block (4), flags (4; 1: fsynced), filler, CRC-32 (IEEE) of all before it (4).
 * Record k lies in slot (k - 1) modulo the number of slots. */
#ifndef DENSITY_RECORD_H
#define DENSITY_RECORD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk.h"

#define RECORD_MIN_BYTES 512u
#define RECORD_MAX_BYTES 4096u

struct record {
    pthread_t thread;
    bool running; /* the thread exists */
    bool used;    /* there has been a record command */
    const struct disk *disk;
    uint64_t run, rate, bytes;
    bool fsync;
    atomic_bool stop;
    _Atomic uint64_t written, synced; /* sequence numbers; `synced` covers all up to it */
    atomic_int error;                 /* errno that ended it, 0 */
};

/* Starts, or goes on with another pace: numbers continue. False if there can be no thread.
 * `bytes`: 512 or 4096, and always the same: slots of another size would overwrite several records. */
bool record_start(struct record *record, const struct disk *disk, uint64_t run, uint64_t rate, uint64_t bytes, bool fsync);

/* Ends the thread; what was written without fsync stays where it is. */
void record_stop(struct record *record);

/* What an orderly shutdown does: stop, and everything written is on the disk. */
void record_finish(struct record *record);

#endif
