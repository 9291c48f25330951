/* Guest console protocol, proto 1: lines from the harness to commands. Pure: no I/O, no allocation. */
#ifndef DENSITY_PROTOCOL_H
#define DENSITY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_MAX_BYTES 256 /* longest command without its newline; the longest legal one has about 100 */
#define REASON_BYTES 120

enum verb {
    VERB_HELLO,
    VERB_GROW,
    VERB_SHRINK,
    VERB_REWRITE,
    VERB_TOUCH,
    VERB_HOLD,
    VERB_STOP,
    VERB_STAT,
    VERB_DEAF,
    VERB_CACHE,
    VERB_RECORD,
    VERB_VRAM,
    VERB_BYE
};

enum pages { PAGES_UNIQUE, PAGES_SHARED, PAGES_ZERO };

struct command {
    uint64_t id;
    enum verb verb;
    uint64_t to;    /* bytes: grow, shrink */
    uint64_t rate;  /* bytes per second, 0: as fast as possible: grow, cache. Records per second, 0: stop: record */
    uint64_t bytes; /* rewrite, cache, vram; size of one record: record */
    uint64_t count; /* pages: touch */
    uint64_t seed;  /* grow */
    enum pages pages;
    bool on;    /* deaf */
    bool fsync; /* record: each record is on the disk before the next is written */
    bool write; /* cache: dirty pages instead of clean ones */
    bool force; /* grow: also beyond the refusal line */
};

/* Reads one line without its newline. On failure `reason` holds one line and `out->id` the id if it was readable, else 0. */
bool parse_command(const char *line, struct command *out, char reason[REASON_BYTES]);

/* Collects bytes to lines. A line that is too long is swallowed to its end and then reported once. */
struct line_buffer {
    char text[LINE_MAX_BYTES + 1];
    size_t used;
    bool too_long;
};

enum line_state { LINE_INCOMPLETE, LINE_READY, LINE_TOO_LONG };

/* Feeds one byte. After LINE_READY `text` is a C string until the next byte is fed. `\r` is ignored; `\0` becomes '?'. */
enum line_state line_feed(struct line_buffer *buffer, char byte);

#endif
