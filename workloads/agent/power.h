/* The ACPI power button, read as an input event device. */
#ifndef DENSITY_POWER_H
#define DENSITY_POWER_H

#include <stdbool.h>

#define POWER_DEVICES 4

struct power {
    int fds[POWER_DEVICES];
    int count;
};

/* Opens every /dev/input/event* that has KEY_POWER. False if there is none. */
bool power_open(struct power *power);

/* Reads what is waiting on `fds[index]`. True if the button was pressed (not released). A dead device is closed. */
bool power_pressed(struct power *power, int index);

#endif
