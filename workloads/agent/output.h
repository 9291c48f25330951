/* Lines to the harness. Nothing here waits for a reader: a guest with a full console must still hear its power button. */
#ifndef DENSITY_OUTPUT_H
#define DENSITY_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct output {
    int fd;
    size_t used;
    char bytes[16384];
};

/* Queues one line ("@ " and "\n" are added). A `routine` line is left out once half of the queue is waiting. */
__attribute__((format(printf, 3, 4))) void output_line(struct output *output, bool routine, const char *format, ...);

/* Writes what the descriptor takes now; expects it to be writable or non-blocking. */
void output_flush(struct output *output);

/* Writes everything, waiting at most `ms`. */
void output_drain(struct output *output, int ms);

#endif
