#include "protocol.h"

#include <stdio.h>
#include <string.h>

enum key { KEY_TO, KEY_RATE, KEY_PAGES, KEY_SEED, KEY_BYTES, KEY_ON, KEY_FORCE, KEY_FSYNC, KEY_WRITE, KEY_COUNT };

#define BIT(k) (1u << (k))

static const char *const key_names[KEY_COUNT] = {"to", "rate", "pages", "seed", "bytes", "on", "force", "fsync", "write"};

struct grammar {
    const char *name;
    enum verb verb;
    unsigned required;
    unsigned optional;
};

static const struct grammar grammars[] = {
    {"hello", VERB_HELLO, 0, 0},
    {"grow", VERB_GROW, BIT(KEY_TO), BIT(KEY_RATE) | BIT(KEY_PAGES) | BIT(KEY_SEED) | BIT(KEY_FORCE)},
    {"shrink", VERB_SHRINK, BIT(KEY_TO), 0},
    {"rewrite", VERB_REWRITE, BIT(KEY_BYTES), 0},
    {"touch", VERB_TOUCH, BIT(KEY_PAGES), 0},
    {"hold", VERB_HOLD, 0, 0},
    {"stop", VERB_STOP, 0, 0},
    {"stat", VERB_STAT, 0, 0},
    {"deaf", VERB_DEAF, BIT(KEY_ON), 0},
    {"cache", VERB_CACHE, BIT(KEY_BYTES), BIT(KEY_RATE) | BIT(KEY_WRITE)},
    {"record", VERB_RECORD, BIT(KEY_RATE), BIT(KEY_FSYNC) | BIT(KEY_BYTES)},
    {"vram", VERB_VRAM, BIT(KEY_BYTES), 0},
    {"bye", VERB_BYE, 0, 0},
};

static bool parse_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static bool parse_flag(const char *text, bool *out)
{
    uint64_t value;

    if (!parse_number(text, &value) || value > 1)
        return false;
    *out = value == 1;
    return true;
}

static bool parse_pages(const char *text, enum pages *out)
{
    if (strcmp(text, "unique") == 0)
        *out = PAGES_UNIQUE;
    else if (strcmp(text, "shared") == 0)
        *out = PAGES_SHARED;
    else if (strcmp(text, "zero") == 0)
        *out = PAGES_ZERO;
    else
        return false;
    return true;
}

static bool set_value(struct command *out, enum key key, const char *value)
{
    switch (key) {
    case KEY_TO:
        return parse_number(value, &out->to);
    case KEY_RATE:
        return parse_number(value, &out->rate);
    case KEY_SEED:
        return parse_number(value, &out->seed);
    case KEY_BYTES:
        return parse_number(value, &out->bytes);
    case KEY_PAGES: /* a number for touch, a kind for grow */
        return out->verb == VERB_TOUCH ? parse_number(value, &out->count) : parse_pages(value, &out->pages);
    case KEY_ON:
        return parse_flag(value, &out->on);
    case KEY_FORCE:
        return parse_flag(value, &out->force);
    case KEY_FSYNC:
        return parse_flag(value, &out->fsync);
    case KEY_WRITE:
        return parse_flag(value, &out->write);
    case KEY_COUNT:
        break;
    }
    return false;
}

static const struct grammar *find_grammar(const char *name)
{
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++)
        if (strcmp(grammars[i].name, name) == 0)
            return &grammars[i];
    return NULL;
}

static enum key find_key(const char *name)
{
    for (unsigned i = 0; i < KEY_COUNT; i++)
        if (strcmp(key_names[i], name) == 0)
            return (enum key)i;
    return KEY_COUNT;
}

/* The reason quotes what came in; whatever is not plain text would let a reader see a line that is none. */
static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

static bool fail(char reason[REASON_BYTES], const char *what, const char *word)
{
    (void)snprintf(reason, REASON_BYTES, "%s: %.60s", what, word);
    clean(reason);
    return false;
}

bool parse_command(const char *line, struct command *out, char reason[REASON_BYTES])
{
    char words[LINE_MAX_BYTES + 1];
    char *rest = words;
    const char *word;
    unsigned seen = 0;

    *out = (struct command){0};
    (void)snprintf(words, sizeof words, "%s", line);

    word = strtok_r(rest, " \t", &rest);
    if (word == NULL)
        return fail(reason, "empty command", "");
    if (!parse_number(word, &out->id)) {
        out->id = 0;
        return fail(reason, "id is not a decimal number", word);
    }
    word = strtok_r(NULL, " \t", &rest);
    if (word == NULL)
        return fail(reason, "no verb", "");
    const struct grammar *grammar = find_grammar(word);
    if (grammar == NULL)
        return fail(reason, "unknown verb", word);
    out->verb = grammar->verb;

    for (char *pair = strtok_r(NULL, " \t", &rest); pair != NULL; pair = strtok_r(NULL, " \t", &rest)) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            return fail(reason, "not key=value", pair);
        *value++ = '\0';
        enum key key = find_key(pair);
        if (key == KEY_COUNT || ((grammar->required | grammar->optional) & BIT(key)) == 0)
            return fail(reason, "unknown key", pair);
        if ((seen & BIT(key)) != 0)
            return fail(reason, "key given twice", pair);
        seen |= BIT(key);
        if (!set_value(out, key, value))
            return fail(reason, "bad value for key", pair);
    }
    for (unsigned i = 0; i < KEY_COUNT; i++)
        if ((grammar->required & ~seen & BIT(i)) != 0)
            return fail(reason, "missing key", key_names[i]);
    return true;
}

enum line_state line_feed(struct line_buffer *buffer, char byte)
{
    if (byte == '\n') {
        bool too_long = buffer->too_long;

        buffer->text[buffer->used] = '\0';
        buffer->used = 0;
        buffer->too_long = false;
        return too_long ? LINE_TOO_LONG : LINE_READY;
    }
    if (byte == '\r')
        return LINE_INCOMPLETE;
    if (buffer->used == LINE_MAX_BYTES) {
        buffer->too_long = true;
        return LINE_INCOMPLETE;
    }
    buffer->text[buffer->used++] = byte == '\0' ? '?' : byte;
    return LINE_INCOMPLETE;
}
