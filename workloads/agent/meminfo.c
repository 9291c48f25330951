#include "meminfo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t field(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024u;
}

struct meminfo meminfo_read(void)
{
    static int fd = -1;
    char text[512]; /* both stand in the first three lines */

    if (fd < 0)
        fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    if (bytes <= 0)
        return (struct meminfo){0};
    text[bytes] = '\0';
    return (struct meminfo){.total = field(text, "MemTotal:"), .available = field(text, "MemAvailable:")};
}
