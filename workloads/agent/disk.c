#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK ((uint64_t)64 << 10)
#define SERIAL_BYTES 21 /* virtio_blk's VIRTIO_BLK_ID_BYTES and an end */

static bool is_ours(char letter)
{
    char path[64], serial[SERIAL_BYTES] = "";

    (void)snprintf(path, sizeof path, "/sys/block/vd%c/serial", letter);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t count = read(fd, serial, sizeof serial - 1);
    (void)close(fd);
    if (count <= 0)
        return false;
    serial[strcspn(serial, "\n")] = '\0';
    return strcmp(serial, DISK_SERIAL) == 0;
}

static int open_ours(void)
{
    for (char letter = 'a'; letter <= 'z'; letter++) {
        char path[32];

        if (!is_ours(letter))
            continue;
        (void)snprintf(path, sizeof path, "/dev/vd%c", letter);
        return open(path, O_RDWR | O_CLOEXEC);
    }
    return -1;
}

bool disk_open(struct disk *disk)
{
    if (disk->fd >= 0)
        return true;
    int fd = disk->path != NULL ? open(disk->path, O_RDWR | O_CLOEXEC) : open_ours();
    if (fd < 0)
        return false;
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < (off_t)(2 * CHUNK)) {
        (void)close(fd);
        return false;
    }
    disk->fd = fd;
    disk->bytes = (uint64_t)end / (2 * CHUNK) * (2 * CHUNK);
    return true;
}

uint64_t disk_record_bytes(const struct disk *disk)
{
    return disk->bytes / 2;
}

uint64_t disk_churn(const struct disk *disk, uint64_t position, uint64_t bytes, bool write)
{
    static uint64_t buffer[CHUNK / sizeof(uint64_t)];
    static uint64_t x = 88172645463325252u;
    uint64_t half = disk->bytes / 2;
    uint64_t at = position % half;
    uint64_t size = bytes < CHUNK ? bytes : CHUNK;
    ssize_t done;

    if (size > half - at)
        size = half - at;
    if (write)
        for (size_t i = 0; i < sizeof buffer / sizeof *buffer; i++) {
            x ^= x << 13; /* xorshift64 */
            x ^= x >> 7;
            x ^= x << 17;
            buffer[i] = x;
        }
    do
        done = write ? pwrite(disk->fd, buffer, (size_t)size, (off_t)(half + at))
                     : pread(disk->fd, buffer, (size_t)size, (off_t)(half + at));
    while (done < 0 && errno == EINTR);
    if (done == 0)
        errno = EIO; /* the disk became smaller */
    return done > 0 ? (uint64_t)done : 0;
}
