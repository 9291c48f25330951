#include "record.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define STACK_BYTES ((size_t)128 << 10)
#define NAP_NS ((uint64_t)50 * NS_PER_MS) /* the longest sleep between looks at `stop` */
#define HEADER_BYTES 40u

static uint32_t table[256];

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c & 1u) != 0 ? 0xedb88320u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
}

static uint32_t crc32_of(const unsigned char *bytes, size_t count)
{
    uint32_t c = 0xffffffffu;

    for (size_t i = 0; i < count; i++)
        c = table[(c ^ bytes[i]) & 0xffu] ^ (c >> 8);
    return ~c;
}

static void put(unsigned char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static void compose(const struct record *record, uint64_t sequence, unsigned char *block)
{
    size_t bytes = (size_t)record->bytes;
    uint64_t x = record->run ^ (sequence * 0x9e3779b97f4a7c15u);

    memcpy(block, "densrec1", 8);
    put(block + 8, record->run, 8);
    put(block + 16, sequence, 8);
    put(block + 24, now_ns() / NS_PER_MS, 8);
    put(block + 32, bytes, 4);
    put(block + 36, record->fsync ? 1 : 0, 4);
    for (size_t at = HEADER_BYTES; at + 8 <= bytes; at += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        put(block + at, x, 8);
    }
    put(block + bytes - 4, crc32_of(block, bytes - 4), 4);
}

static bool write_one(const struct record *record, uint64_t sequence)
{
    unsigned char block[RECORD_MAX_BYTES];
    size_t bytes = (size_t)record->bytes, done = 0;
    uint64_t slots = disk_record_bytes(record->disk) / record->bytes;
    uint64_t offset = (sequence - 1) % slots * record->bytes;

    compose(record, sequence, block);
    while (done < bytes) {
        ssize_t count = pwrite(record->disk->fd, block + done, bytes - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

static void nap(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    (void)nanosleep(&t, NULL);
}

static void *write_records(void *argument)
{
    struct record *record = argument;
    uint64_t period = NS_PER_S / record->rate;
    uint64_t due = now_ns();

    while (!atomic_load(&record->stop)) {
        uint64_t now = now_ns();
        if (now < due) {
            nap(due - now < NAP_NS ? due - now : NAP_NS);
            continue;
        }
        uint64_t sequence = atomic_load(&record->written) + 1;
        if (!write_one(record, sequence)) {
            atomic_store(&record->error, errno != 0 ? errno : EIO);
            break;
        }
        atomic_store(&record->written, sequence);
        if (record->fsync) {
            if (fdatasync(record->disk->fd) != 0) {
                atomic_store(&record->error, errno);
                break;
            }
            atomic_store(&record->synced, sequence);
        }
        due += period;
        if (due + NS_PER_S < now) /* stalled for longer than a second: no burst */
            due = now;
    }
    return NULL;
}

bool record_start(struct record *record, const struct disk *disk, uint64_t run, uint64_t rate, uint64_t bytes, bool fsync)
{
    pthread_attr_t attributes;

    record_stop(record);
    if (!record->used)
        make_table();
    record->run = run;
    record->disk = disk;
    record->rate = rate;
    record->bytes = bytes;
    record->fsync = fsync;
    record->used = true;
    atomic_store(&record->stop, false);
    atomic_store(&record->error, 0);
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    record->running = pthread_create(&record->thread, &attributes, write_records, record) == 0;
    (void)pthread_attr_destroy(&attributes);
    return record->running;
}

void record_stop(struct record *record)
{
    if (!record->running)
        return;
    atomic_store(&record->stop, true);
    (void)pthread_join(record->thread, NULL);
    record->running = false;
}

void record_finish(struct record *record)
{
    record_stop(record);
    if (record->used && fdatasync(record->disk->fd) == 0)
        atomic_store(&record->synced, atomic_load(&record->written));
}
