"""The lesser guest's agent: console protocol 1 in Python, run by a stock distribution. Ships in cloud-init user data.

It runs on Python 3.8 (Ubuntu 20.04) and is small: KubeVirt takes 2048 bytes of user data, compressed or not. `userdata`
strips docstrings and annotations, so nothing here depends on them. What it can't do is said in `workloads.lesser`.
Whoever starts this has switched the guest's swap off.
"""
# ruff: noqa: PLW0603 - a class would cost 200 of the 2048 bytes

import hashlib
import mmap
import os
import select
import signal
import sys
import time
from typing import Any, Iterator  # noqa: UP035 - Python 3.8

NONCE, DEAF, SETUP = "0", "0", ""
"""`userdata` writes them anew for each guest. SETUP: shell commands that make the console ours."""

source, sink = 0, 1
if sys.argv[1:] != ["--stdio"]:
    if not sys.argv[1:]:  # run by cloud-init, whose boot must not wait for us
        os.system(SETUP)  # noqa: S605
        os.execvp("systemd-run", ["systemd-run", sys.executable, os.path.abspath(__file__), "x"])  # noqa: PTH100, S606, S607
    source = sink = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
os.set_blocking(sink, False)


def now() -> int:
    """Milliseconds since boot."""
    return int(time.monotonic() * 1000)


def memory(row: str) -> int:
    """Bytes of a row of /proc/meminfo."""
    for line in open("/proc/meminfo"):  # noqa: PTH123, SIM115 - shorter
        if line.startswith(row):
            return int(line.split()[1]) << 10
    return 0


out = rest = b""
number, heard, held, began = "0", False, 0, 0
job: Any = None
total, free = memory("MemTotal"), memory("MemAvailable")
# Private, anonymous, not reserved: pages come when they are written and go with MADV_DONTNEED.
area = mmap.mmap(-1, total & -4096, 0x4022)
area.madvise(15)  # MADV_NOHUGEPAGE: exactly the pages that were written


def say(text: str, routine: Any = 0) -> None:
    """Write a line. Routine ones are dropped while nobody reads."""
    global out
    if not (routine and out):
        out += b"@ %s\n" % text.encode()
        flush()


def flush() -> None:
    """Write what can be written."""
    global out
    try:  # noqa: SIM105 - another import
        out = out[os.write(sink, out) :]
    except BlockingIOError:
        pass


def hello() -> None:
    """Say who we are."""
    say(
        f"hello proto=1 nonce={NONCE} kernel={os.uname().release} memtotal={total} memavailable={free} deaf={DEAF}"
    )


def stat(more: str = "") -> None:
    """Say how things are."""
    say(f"stat{more} up={now()} held={held} memtotal={total} memavailable={memory('MemAvailable')}", not more)


def end(more: str = "") -> None:
    """Say that the command has ended."""
    global job
    job = None
    say(f"ok id={number} held={held} ms={now() - began}{more}")


def fill(at: int, to: int, pages: str, seed: str) -> None:
    """Write pages: unique (random), shared (of seed and place alone) or zero."""
    first = at & -4096
    if pages == "shared":
        data = b"".join(
            hashlib.shake_128(f"{seed}.{page}".encode()).digest(4096) for page in range(first, to, 4096)
        )
        area[at:to] = data[at - first : to - first]
    else:
        area[at:to] = os.urandom(to - at) if pages == "unique" else bytes(to - at)


def grow(to: int, rate: int, *how: str) -> Iterator[float]:
    """Hold more, a MiB at a time; yields the seconds to wait before it goes on."""
    global held
    base, start = held, time.monotonic()
    while held < to:
        at = held
        due = min(to, at + 1048576, base + int((time.monotonic() - start) * rate) if rate else to)
        if due > at:
            fill(at, due, *how)
            held = due
        yield 0.01 if due - at < 1048576 else 0


def rewrite(to: int) -> Iterator[float]:
    """Write new unique data over what is held."""
    for at in range(0, to, 1048576):
        fill(at, min(to, at + 1048576), "unique", "")
        yield 0


def command(line: str) -> None:
    """Carry out a line."""
    global number, heard, job, held, began
    words = line.split()
    verb, heard = words[1], int(words[0]) >= 0
    values = dict(word.split("=") for word in words[2:])
    to = int(values.get("to") or values.get("bytes") or 0)
    wrong = ""
    if verb == "grow":
        if to < held:
            wrong = "less than is held"
        elif to > free - max(free // 10, 10485760):
            wrong = "more than the guest has"
    elif verb not in ("hello", "stat", "hold", "stop", "bye", "shrink", "rewrite", "touch"):
        wrong = "a lesser guest can't " + verb
    elif to > held:
        wrong = "more than is held"
    if wrong:
        say(f"err id={words[0]} msg={wrong} (held {held})")
        return
    if verb == "hello":
        hello()
    elif verb == "stat":
        stat(" id=" + words[0])
    elif job:
        end(" cut=1")
    before = number, began, job
    number, began = words[0], now()
    if verb == "grow":
        how = values.get("pages", "unique"), values.get("seed", "0")
        job = grow(to, int(values.get("rate", 0)), *how)
    elif verb == "rewrite":
        job = rewrite(to)
    else:
        if verb == "shrink":
            held = to
            edge = to + 4095 & -4096
            if edge < len(area):
                area.madvise(4, edge)  # MADV_DONTNEED
        elif verb == "touch":
            for page in range(int(values["pages"])):
                area[page * 4294955008 % (held or 1)]
        end()
        number, began, job = before
    if verb == "bye":
        say(f"bye up={now()} held={held} reason=command")
        if sink != 1:
            os.system("sync;poweroff -f")  # noqa: S605, S607
        sys.exit()


signal.signal(15, lambda *_: sys.exit(say(f"power up={now()}")))  # type: ignore[func-returns-value]
hello()
due, told = now() + 1000, 0
while True:
    wait = 0.1
    if job:
        try:
            wait = next(job)
            if now() - told > 200:
                told = now()
                say(f"held up={told} id={number} bytes={held}", 1)
        except StopIteration:
            end()
    if now() >= due:
        due += 1000
        if heard:
            stat()
        else:
            hello()
    if select.select([source], [sink] if out else [], [], wait)[0]:
        data = os.read(source, 4096)
        if not data and sink == 1:
            break
        *lines, rest = (rest + data).replace(b"\r", b"").split(b"\n")
        for text in lines:
            if text.strip():
                try:
                    command(text.decode())
                except (ValueError, LookupError):  # noise on the line
                    say("err id=0 msg=no command")
    flush()
