/* The display's memory: BAR 0 of the VGA device, which counts on the host only once the guest writes it. */
#ifndef DENSITY_VRAM_H
#define DENSITY_VRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vram {
    const char *path; /* host mode: a file to use instead; NULL: look for a PCI display */
    unsigned char *base;
    uint64_t bytes;
};

/* Maps it if it is not mapped yet. False if there is none. */
bool vram_open(struct vram *vram);

/* Writes [first, first + count) so that no page of it is zero. */
void vram_write(const struct vram *vram, uint64_t first, uint64_t count);

#endif
