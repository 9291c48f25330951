#include "vram.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define VGA_CLASS "0x0300" /* display controller, VGA compatible */

static bool is_display(const char *device)
{
    char path[320], class[16] = "";

    (void)snprintf(path, sizeof path, DEVICES "/%s/class", device);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t count = read(fd, class, sizeof class - 1);
    (void)close(fd);
    return count > 0 && strncmp(class, VGA_CLASS, strlen(VGA_CLASS)) == 0;
}

static int open_display(void)
{
    DIR *devices = opendir(DEVICES);
    const struct dirent *entry;
    int fd = -1;

    if (devices == NULL)
        return -1;
    while (fd < 0 && (entry = readdir(devices)) != NULL) {
        char path[320];

        if (entry->d_name[0] == '.' || !is_display(entry->d_name))
            continue;
        (void)snprintf(path, sizeof path, DEVICES "/%s/resource0", entry->d_name);
        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    (void)closedir(devices);
    return fd;
}

bool vram_open(struct vram *vram)
{
    struct stat info;

    if (vram->base != NULL)
        return true;
    int fd = vram->path != NULL ? open(vram->path, O_RDWR | O_CLOEXEC) : open_display();
    if (fd < 0)
        return false;
    if (fstat(fd, &info) == 0 && info.st_size > 0) {
        void *base = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base != MAP_FAILED) {
            vram->base = base;
            vram->bytes = (uint64_t)info.st_size;
        }
    }
    (void)close(fd);
    return vram->base != NULL;
}

void vram_write(const struct vram *vram, uint64_t first, uint64_t count)
{
    for (uint64_t at = first; at < first + count; at++)
        ((volatile unsigned char *)vram->base)[at] = (unsigned char)(at % 251 + 1);
}
