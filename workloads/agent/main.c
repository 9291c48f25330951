/* The guest memory agent. As PID 1 it is all there is in the guest; with --stdio it speaks the same protocol on a host. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "boot.h"
#include "clock.h"
#include "meminfo.h"
#include "session.h"

#define PRIMER_BYTES ((size_t)20 << 20)
#define MAX_SETTLE_MS 3600000u
#define MAX_SHUTDOWN_MS 3600000u
#define GRND_INSECURE_FLAG 4u /* linux/random.h: never waits for entropy, which early boot has not got */

static struct session session = {.devices.disk.fd = -1};

static uint64_t secret(const char *nonce)
{
    uint64_t value = 0;

    if (getrandom(&value, sizeof value, GRND_INSECURE_FLAG) != (ssize_t)sizeof value)
        value = now_ns();
    for (; *nonce != '\0'; nonce++) /* guests cloned from one entropy state still differ */
        value = (value ^ (uint64_t)(unsigned char)*nonce) * 0x100000001b3u;
    return value;
}

/* The nonce is echoed in every hello, so only its own alphabet gets through. */
static void set_nonce(const char *text)
{
    size_t length = strspn(text, "0123456789abcdefABCDEF");

    if (length == 0 || length >= NONCE_BYTES || text[length] != '\0')
        text = "0";
    (void)snprintf(session.nonce, sizeof session.nonce, "%s", text);
}

static void prepare(uint64_t capacity)
{
    if (!memory_reserve(&session.memory, capacity, secret(session.nonce)))
        (void)dprintf(STDERR_FILENO, "agent: no address space for %" PRIu64 " bytes\n", capacity);
}

static void run_as_init(void)
{
    char value[128];

    boot_mount();
    (void)boot_argument("density.nonce", value, sizeof value);
    set_nonce(value);
    session.deaf = boot_argument("density.deaf", value, sizeof value) && strcmp(value, "1") == 0;
    if (boot_argument("density.shutdown", value, sizeof value))
        session.shutdown_ms = strtoull(value, NULL, 10) % MAX_SHUTDOWN_MS;
    session.input = session.output.fd = boot_console();
    boot_modules();
    if (!power_open(&session.power)) {
        (void)dprintf(STDERR_FILENO, "agent: no power button device\n");
        session.deaf = true; /* what hello says must be what a power button would find */
    }
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    prepare(meminfo_read().total);
    if (!memory_primer(&session.memory, PRIMER_BYTES))
        (void)dprintf(STDERR_FILENO, "agent: no primer\n");
    if (boot_argument("density.settle", value, sizeof value))
        session.ready_at = now_ns() + strtoull(value, NULL, 10) % MAX_SETTLE_MS * NS_PER_MS;
    (void)dprintf(session.output.fd, "\n"); /* firmware and kernel may have left a line open */
    session_run(&session);
    for (;;) {
        (void)reboot(RB_POWER_OFF);
        (void)pause(); /* init must not return */
    }
}

static int usage(void)
{
    (void)fputs("usage: agent --stdio [--nonce HEX] [--deaf] [--shutdown MS] [--capacity BYTES] [--available BYTES] [--events PATH]\n"
                "             [--disk PATH] [--vram PATH]\n"
                "  --shutdown   how long ending takes after the power button\n"
                "  --capacity   what the guest is said to have (default: MemTotal)\n"
                "  --available  MemAvailable at hello, which the 90% line is drawn from\n"
                "  --events     read power button events (struct input_event) from this FIFO\n"
                "  --disk       write records to, and churn page cache on, this file\n"
                "  --vram       the display's memory\n"
                "Without --stdio it runs only as PID 1 of a guest.\n",
                stderr);
    return 2;
}

static int run_on_stdio(int argc, char **argv)
{
    static const struct option options[] = {
        {"stdio", no_argument, NULL, 's'},           {"nonce", required_argument, NULL, 'n'},
        {"deaf", no_argument, NULL, 'd'},            {"shutdown", required_argument, NULL, 'w'},
        {"capacity", required_argument, NULL, 'c'},
        {"available", required_argument, NULL, 'a'}, {"events", required_argument, NULL, 'e'},
        {"disk", required_argument, NULL, 'k'},      {"vram", required_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    uint64_t capacity = meminfo_read().total;
    bool stdio = false;
    int option;

    set_nonce("");
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            stdio = true;
            break;
        case 'n':
            set_nonce(optarg);
            break;
        case 'd':
            session.deaf = true;
            break;
        case 'w':
            session.shutdown_ms = strtoull(optarg, NULL, 10) % MAX_SHUTDOWN_MS;
            break;
        case 'c':
            capacity = strtoull(optarg, NULL, 10);
            break;
        case 'a':
            session.available_at_hello = strtoull(optarg, NULL, 10);
            break;
        case 'e':
            session.power.fds[0] = open(optarg, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* O_RDWR: never at its end */
            session.power.count = session.power.fds[0] >= 0;
            if (session.power.count == 0) {
                perror(optarg);
                return 2;
            }
            break;
        case 'k':
            session.devices.disk.path = optarg;
            break;
        case 'v':
            session.devices.vram.path = optarg;
            break;
        default:
            return usage();
        }
    }
    if (!stdio || optind != argc)
        return usage();
    session.input = STDIN_FILENO;
    session.output.fd = STDOUT_FILENO;
    session.input_ends = true;
    prepare(capacity);
    session_run(&session);
    return 0;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (getpid() != 1)
        return run_on_stdio(argc, argv);
    run_as_init();
}
