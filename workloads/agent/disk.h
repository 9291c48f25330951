/* The guest's data disk: records in its first half, page-cache churn in its second. Never a disk that is not ours. */
#ifndef DENSITY_DISK_H
#define DENSITY_DISK_H

#include <stdbool.h>
#include <stdint.h>

#define DISK_SERIAL "density" /* a virtio-blk disk with another serial number is somebody's data */

struct disk {
    const char *path; /* host mode: a file to use instead; NULL: look for the serial */
    int fd;           /* -1: not opened */
    uint64_t bytes;
};

/* Opens it if it is not open yet. False if there is none, or it is smaller than two chunks. */
bool disk_open(struct disk *disk);

/* Bytes records may take, from offset 0. */
uint64_t disk_record_bytes(const struct disk *disk);

/* Reads, or overwrites with data that does not compress, up to `bytes` of the second half through the page cache;
 * `position` counts on and wraps around. Returns bytes done, 0 with errno set if the disk refuses. */
uint64_t disk_churn(const struct disk *disk, uint64_t position, uint64_t bytes, bool write);

#endif
