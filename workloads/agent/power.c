#include "power.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EVENT_DEVICES 32

static bool has_power_key(int fd)
{
    unsigned char keys[KEY_MAX / 8 + 1] = {0};

    if (ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) < 0)
        return false;
    return (keys[KEY_POWER / 8] >> (KEY_POWER % 8) & 1) != 0;
}

bool power_open(struct power *power)
{
    power->count = 0;
    for (int i = 0; i < EVENT_DEVICES && power->count < POWER_DEVICES; i++) {
        char path[32];

        (void)snprintf(path, sizeof path, "/dev/input/event%d", i);
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (has_power_key(fd))
            power->fds[power->count++] = fd;
        else
            (void)close(fd);
    }
    return power->count > 0;
}

bool power_pressed(struct power *power, int index)
{
    struct input_event events[16];
    bool pressed = false;
    ssize_t bytes;

    while ((bytes = read(power->fds[index], events, sizeof events)) > 0)
        for (size_t i = 0; i < (size_t)bytes / sizeof *events; i++)
            pressed = pressed || (events[i].type == EV_KEY && events[i].code == KEY_POWER && events[i].value == 1);
    if (bytes == 0 || (errno != EAGAIN && errno != EINTR)) {
        (void)close(power->fds[index]);
        power->fds[index] = -1; /* poll skips it */
    }
    return pressed;
}
