/* The conversation: one poll loop over commands, power button, the running job and the periodic lines. */
#ifndef DENSITY_SESSION_H
#define DENSITY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "memory.h"
#include "output.h"
#include "power.h"
#include "protocol.h"
#include "record.h"

#define NONCE_BYTES 65

struct session {
    struct memory memory;
    struct job job;
    struct devices devices;
    struct record record;
    uint64_t record_id; /* of the command that records now */
    struct output output;
    struct power power;
    struct line_buffer line;
    int input;
    bool input_ends; /* end of input ends the session (host mode); a serial line has none */
    bool deaf;
    uint64_t shutdown_ms; /* how long ending takes once the power button was heard */
    uint64_t bye_at;      /* ns: when a shutdown that was begun is over; 0: none was */
    uint64_t ready_at; /* ns: before it only the power button is heard */
    bool introduced;   /* hello was said once; commands are heard from then on */
    bool greeted;      /* a command has come: no more hello unasked */
    bool finished;
    char nonce[NONCE_BYTES];
    uint64_t available_at_hello; /* bytes; what the refusal line is drawn from */
    bool available_given;        /* by an option: it stays */
    uint64_t next_second, next_sample, next_held, next_record;
};

/* Runs until power-off is due or, in host mode, input ends. The last line has then been written. */
void session_run(struct session *session);

#endif
