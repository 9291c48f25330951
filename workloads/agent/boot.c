#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

void boot_mount(void)
{
    (void)mkdir("/proc", 0555);
    (void)mkdir("/sys", 0555);
    (void)mkdir("/dev", 0755);
    (void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    (void)mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    (void)mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL);
}

static size_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t count;

    text[0] = '\0';
    if (fd < 0)
        return 0;
    while (used < size - 1 && (count = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)count;
    text[used] = '\0';
    (void)close(fd);
    return used;
}

bool boot_argument(const char *name, char *value, size_t size)
{
    static char line[4096];
    char *rest = line;
    size_t length = strlen(name);

    value[0] = '\0';
    (void)read_file("/proc/cmdline", line, sizeof line);
    for (char *word = strtok_r(rest, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
        if (strncmp(word, name, length) == 0 && word[length] == '=') {
            (void)snprintf(value, size, "%s", word + length + 1);
            return true;
        }
    }
    return false;
}

static void load_module(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
        (void)dprintf(STDERR_FILENO, "agent: module %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

void boot_modules(void)
{
    static char list[4096];
    char *rest = list;

    (void)read_file(MODULE_LIST, list, sizeof list);
    for (char *path = strtok_r(rest, "\n", &rest); path != NULL; path = strtok_r(NULL, "\n", &rest))
        load_module(path);
}

int boot_console(void)
{
    struct termios tio;
    int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        fd = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (tcgetattr(fd, &tio) == 0) {
        cfmakeraw(&tio);
        tio.c_cflag |= CLOCAL | CREAD; /* no modem lines: the line never hangs up */
        (void)tcsetattr(fd, TCSANOW, &tio);
    }
    return fd;
}
