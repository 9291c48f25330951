#include "output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

void output_line(struct output *output, bool routine, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t bytes = (size_t)length < sizeof line - 1 ? (size_t)length : sizeof line - 2;
    line[bytes++] = '\n';

    size_t limit = routine ? sizeof output->bytes / 2 : sizeof output->bytes;
    if (output->used + 2 + bytes > limit)
        return;
    memcpy(output->bytes + output->used, "@ ", 2);
    memcpy(output->bytes + output->used + 2, line, bytes);
    output->used += 2 + bytes;
}

void output_flush(struct output *output)
{
    /* At most PIPE_BUF bytes: a blocking pipe that polls writable takes them without waiting. */
    size_t bytes = output->used < 4096 ? output->used : 4096;
    ssize_t written = bytes == 0 ? 0 : write(output->fd, output->bytes, bytes);

    if (written > 0) {
        output->used -= (size_t)written;
        memmove(output->bytes, output->bytes + written, output->used);
    } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
        output->used = 0; /* the reader is gone */
    }
}

void output_drain(struct output *output, int ms)
{
    uint64_t deadline = now_ns() + (uint64_t)ms * NS_PER_MS;

    while (output->used > 0) {
        uint64_t now = now_ns();
        struct pollfd waiting = {.fd = output->fd, .events = POLLOUT};

        if (now >= deadline || poll(&waiting, 1, (int)((deadline - now) / NS_PER_MS) + 1) < 0)
            return;
        if (waiting.revents != 0)
            output_flush(output);
    }
}
