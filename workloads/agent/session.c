#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "clock.h"
#include "meminfo.h"

#define SECOND_NS ((uint64_t)NS_PER_S)
#define SAMPLE_NS ((uint64_t)250 * NS_PER_MS)
#define SAMPLE_PAGES 32 /* 4 times a second: enough for a p99, 0.5 MiB/s of reads where the guest is swapped */
#define HELD_NS ((uint64_t)200 * NS_PER_MS)
#define RECORD_NS ((uint64_t)250 * NS_PER_MS)
#define BYE_DRAIN_MS 500
/* What a grow leaves of MemAvailable at hello. Beyond it the guest's own OOM killer meets init, a panic. Measured: a
 * guest of 128 MiB panics with less than 8 MiB left, larger ones later than 5 %. */
#define SPARE_PERCENT 10
#define SPARE_MIN_BYTES ((uint64_t)10 << 20)

static uint64_t up_ms(void)
{
    return now_ns() / NS_PER_MS;
}

static void say_hello(struct session *s)
{
    struct utsname uts;
    struct meminfo info = meminfo_read();

    if (uname(&uts) != 0)
        (void)strcpy(uts.release, "?");
    if (!s->available_given && !s->greeted) /* what boot still used may be free by now; what is held later is not */
        s->available_at_hello = info.available;
    output_line(&s->output, false,
                "hello proto=1 nonce=%s kernel=%.64s memtotal=%" PRIu64 " memavailable=%" PRIu64 " deaf=%d", s->nonce,
                uts.release, info.total, info.available, s->deaf);
}

static void say_stat(struct session *s, const struct command *command)
{
    struct meminfo info = meminfo_read();
    struct latency_summary touch = latency_summarise(&s->memory.latency, now_ns());
    char id[32] = "";

    if (command != NULL)
        (void)snprintf(id, sizeof id, "id=%" PRIu64 " ", command->id);
    output_line(&s->output, command == NULL,
                "stat %sup=%" PRIu64 " held=%" PRIu64 " resident=%" PRIu64 " memtotal=%" PRIu64 " memavailable=%" PRIu64
                " p50=%" PRIu64 " p99=%" PRIu64 " max=%" PRIu64 " stalls=%" PRIu64,
                id, up_ms(), s->memory.held, memory_resident(&s->memory), info.total, info.available, touch.p50, touch.p99,
                touch.max, touch.stalls);
}

static void say_held(struct session *s, bool routine)
{
    output_line(&s->output, routine, "held up=%" PRIu64 " id=%" PRIu64 " bytes=%" PRIu64, up_ms(), s->job.command.id,
                s->memory.held);
}

static void say_ok(struct session *s, uint64_t id, uint64_t since, bool cut)
{
    output_line(&s->output, false, "ok id=%" PRIu64 " held=%" PRIu64 " ms=%" PRIu64 "%s", id, s->memory.held,
                (now_ns() - since) / NS_PER_MS, cut ? " cut=1" : "");
}

static void say_err(struct session *s, uint64_t id, const char *reason)
{
    output_line(&s->output, false, "err id=%" PRIu64 " msg=%s", id, reason);
}

static void say_record(struct session *s, bool routine)
{
    uint64_t synced = atomic_load(&s->record.synced); /* before `written`: never ahead of it */

    output_line(&s->output, routine, "rec up=%" PRIu64 " id=%" PRIu64 " run=%" PRIu64 " n=%" PRIu64 " synced=%" PRIu64, up_ms(),
                s->record_id, s->record.run, atomic_load(&s->record.written), synced);
}

static void say_bye(struct session *s, const char *reason)
{
    if (s->record.used) {
        record_finish(&s->record);
        say_record(s, false);
    }
    output_line(&s->output, false, "bye up=%" PRIu64 " held=%" PRIu64 " reason=%s", up_ms(), s->memory.held, reason);
    output_drain(&s->output, BYE_DRAIN_MS);
    s->finished = true;
}

static void cut_job(struct session *s)
{
    if (!s->job.running)
        return;
    s->job.running = false;
    say_ok(s, s->job.command.id, s->job.started, true);
}

static uint64_t refusal_line(const struct session *s)
{
    uint64_t spare = s->available_at_hello / 100 * SPARE_PERCENT;

    if (spare < SPARE_MIN_BYTES)
        spare = SPARE_MIN_BYTES;
    return s->available_at_hello > spare ? s->available_at_hello - spare : 0;
}

static void start_job(struct session *s, const struct command *command, uint64_t now)
{
    char reason[REASON_BYTES];
    struct job next;

    if (command->verb == VERB_GROW && !command->force && command->to > refusal_line(s)) {
        (void)snprintf(reason, sizeof reason, "more than %" PRIu64 " of %" PRIu64 " available at hello, force=1 overrides",
                       refusal_line(s), s->available_at_hello);
        say_err(s, command->id, reason);
        return;
    }
    if (!job_start(&next, command, &s->memory, &s->devices, now, reason)) {
        say_err(s, command->id, reason);
        return;
    }
    cut_job(s);
    s->job = next;
    s->next_held = now;
}

static void obey_record(struct session *s, const struct command *command, uint64_t now)
{
    uint64_t before = s->record.used ? s->record.bytes : RECORD_MAX_BYTES;
    uint64_t bytes = command->bytes == 0 ? before : command->bytes;

    if (bytes != RECORD_MIN_BYTES && bytes != RECORD_MAX_BYTES) {
        say_err(s, command->id, "a record has 512 or 4096 bytes");
        return;
    }
    if (s->record.used && bytes != before) {
        say_err(s, command->id, "records of another size are on the disk");
        return;
    }
    if (command->rate == 0) {
        record_stop(&s->record);
        if (s->record.used)
            say_record(s, false);
    } else if (!disk_open(&s->devices.disk)) {
        say_err(s, command->id, "no disk with serial " DISK_SERIAL);
        return;
    } else if (!record_start(&s->record, &s->devices.disk, s->memory.secret, command->rate, bytes, command->fsync)) {
        say_err(s, command->id, "no thread to record with");
        return;
    } else {
        s->record_id = command->id;
        s->next_record = now;
    }
    say_ok(s, command->id, now, false);
}

static void obey(struct session *s, const struct command *command)
{
    uint64_t now = now_ns();

    switch (command->verb) {
    case VERB_HELLO:
        say_hello(s);
        say_ok(s, command->id, now, false);
        break;
    case VERB_GROW:
    case VERB_SHRINK:
    case VERB_REWRITE:
    case VERB_TOUCH:
    case VERB_CACHE:
    case VERB_VRAM:
        start_job(s, command, now);
        break;
    case VERB_HOLD:
    case VERB_STOP:
        cut_job(s);
        say_ok(s, command->id, now, false);
        break;
    case VERB_STAT:
        say_stat(s, command);
        say_ok(s, command->id, now, false);
        break;
    case VERB_DEAF:
        s->deaf = command->on;
        say_ok(s, command->id, now, false);
        break;
    case VERB_RECORD:
        obey_record(s, command, now);
        break;
    case VERB_BYE:
        cut_job(s);
        say_ok(s, command->id, now, false);
        say_bye(s, "command");
        break;
    }
}

static void hear_line(struct session *s)
{
    char reason[REASON_BYTES];
    struct command command;

    if (s->line.text[strspn(s->line.text, " \t")] == '\0')
        return;
    if (!parse_command(s->line.text, &command, reason)) {
        say_err(s, command.id, reason);
        return;
    }
    s->greeted = true;
    obey(s, &command);
}

/* False at the end of input. */
static bool hear(struct session *s)
{
    char bytes[256];
    ssize_t count = read(s->input, bytes, sizeof bytes);

    if (count <= 0)
        return count < 0 && (errno == EAGAIN || errno == EINTR);
    for (ssize_t i = 0; i < count && !s->finished; i++) {
        enum line_state state = line_feed(&s->line, bytes[i]);

        if (state == LINE_READY)
            hear_line(s);
        else if (state == LINE_TOO_LONG)
            say_err(s, 0, "line too long");
    }
    return true;
}

static void press(struct session *s)
{
    output_line(&s->output, false, "power up=%" PRIu64, up_ms());
    if (s->deaf || s->bye_at != 0)
        return;
    if (s->shutdown_ms == 0)
        say_bye(s, "power");
    else
        s->bye_at = now_ns() + s->shutdown_ms * NS_PER_MS;
}

static void work(struct session *s, uint64_t now)
{
    job_step(&s->job, &s->memory, now);
    if (now_ns() >= s->next_held || !s->job.running) {
        say_held(s, s->job.running);
        s->next_held = now_ns() + HELD_NS;
    }
    if (s->job.running)
        return;
    if (s->job.error != 0)
        say_err(s, s->job.command.id, strerror(s->job.error));
    else
        say_ok(s, s->job.command.id, s->job.started, false);
}

static void watch_record(struct session *s, uint64_t now)
{
    int error = atomic_load(&s->record.error);

    if (!s->record.running || (now < s->next_record && error == 0))
        return;
    say_record(s, error == 0);
    s->next_record = now + RECORD_NS;
    if (error != 0) {
        record_stop(&s->record);
        say_err(s, s->record_id, strerror(error));
    }
}

static void be_periodic(struct session *s, uint64_t now)
{
    if (now < s->ready_at)
        return;
    if (now >= s->next_sample) {
        memory_touch(&s->memory, SAMPLE_PAGES);
        s->next_sample = now + SAMPLE_NS;
    }
    if (now >= s->next_second) {
        if (!s->greeted)
            say_hello(s);
        else
            say_stat(s, NULL);
        s->introduced = true;
        s->next_second += SECOND_NS;
        if (s->next_second <= now) /* stalled for longer than a second: no burst */
            s->next_second = now + SECOND_NS;
    }
}

static int wait_ms(const struct session *s, uint64_t now, uint64_t step)
{
    uint64_t next = s->next_second;

    if (s->memory.held > 0 && s->next_sample < next)
        next = s->next_sample;
    if (s->record.running && s->next_record < next)
        next = s->next_record;
    if (next < s->ready_at)
        next = s->ready_at;
    if (s->bye_at != 0 && s->bye_at < next)
        next = s->bye_at;
    if (s->job.running && step < next)
        next = step;
    return next <= now ? 0 : (int)((next - now + NS_PER_MS - 1) / NS_PER_MS);
}

void session_run(struct session *s)
{
    uint64_t step = 0;

    s->available_given = s->available_at_hello != 0;
    if (!s->available_given)
        s->available_at_hello = meminfo_read().available;
    while (!s->finished) {
        struct pollfd fds[2 + POWER_DEVICES] = {
            {.fd = s->introduced ? s->input : -1, .events = POLLIN},
            {.fd = s->output.used > 0 ? s->output.fd : -1, .events = POLLOUT},
        };
        for (int i = 0; i < s->power.count; i++)
            fds[2 + i] = (struct pollfd){.fd = s->power.fds[i], .events = POLLIN};

        if (poll(fds, (nfds_t)(2 + s->power.count), wait_ms(s, now_ns(), step)) > 0) {
            for (int i = 0; i < s->power.count && !s->finished; i++)
                if (fds[2 + i].revents != 0 && power_pressed(&s->power, i))
                    press(s);
            if (fds[1].revents != 0)
                output_flush(&s->output);
            if (!s->finished && fds[0].revents != 0 && !hear(s)) {
                if (s->input_ends)
                    break;
                (void)poll(NULL, 0, 10); /* a hung-up line polls ready for ever */
            }
        }
        if (s->finished)
            break;
        uint64_t now = now_ns();
        if (s->bye_at != 0 && now >= s->bye_at) {
            say_bye(s, "power");
            break;
        }
        be_periodic(s, now);
        watch_record(s, now);
        if (s->job.running && now >= step) {
            work(s, now);
            step = s->job.running ? job_next(&s->job, now_ns()) : 0;
        } else if (!s->job.running) {
            step = 0;
        }
    }
    record_stop(&s->record);
    output_drain(&s->output, BYE_DRAIN_MS);
}
