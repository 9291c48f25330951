"""What guests write on their consoles: proto 1 (docs/architecture.md) and the agents of the older recordings.

Recordings (tests/recordings/README.md): `ALIVE <uptime> held=<MiB>`, `OK …`, `READY`, `MemTotal: <n> kB`,
`ACPI-POWER <uptime>`, `BYE`. Kernel: `reboot: Power down` (kernel/reboot.c), `Kernel panic` (kernel/panic.c),
`Out of memory: Killed process` (mm/oom_kill.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Word = Literal[
    "hello",
    "stat",
    "held",
    "ok",
    "err",
    "rec",
    "power",
    "bye",
    "power-down",
    "panic",
    "oom",
    "memtotal",
    "other",
]

_KERNEL = re.compile(r"^\s*(?:<\d+>)?\[\s*(\d+\.\d+)\]\s?(.*)$")
_PAIR = re.compile(r"([A-Za-z0-9]+)=(\S*)")
_PROTO_WORDS: dict[str, Word] = {
    "hello": "hello",
    "stat": "stat",
    "held": "held",
    "ok": "ok",
    "err": "err",
    "rec": "rec",
    "power": "power",
    "bye": "bye",
}
_MEMTOTAL = re.compile(r"^\s*MemTotal:\s+(\d+)\s*kB")
_OLDER_HELD = re.compile(r"^\s*(?:ALIVE \d+(?:\.\d+)?|OK) held=(\d+)\b")
"""Agents of the recordings: MiB."""
_ACPI = re.compile(r"^\s*ACPI-POWER(?:\s+(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class Line:
    """One console line, understood."""

    word: Word
    uptime: float | None = None
    """Seconds since the guest's boot by its own clock, where the line says so."""
    memtotal: int | None = None
    """Bytes."""
    reason: str = ""
    nonce: str = ""
    held: int | None = None
    """Bytes the guest says it holds."""
    latency: tuple[int, int, int] | None = None
    """p50, p99 and maximum touch latency of the last second, in nanoseconds."""
    record: tuple[int, int, int] | None = None
    """Run, last number written, last number fsynced, of the records on its disk."""


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _proto(rest: str) -> Line:
    word, _, tail = rest.partition(" ")
    fields = dict(_PAIR.findall(tail))
    milliseconds = _integer(fields.get("up"))
    return Line(
        _PROTO_WORDS.get(word, "other"),
        uptime=None if milliseconds is None else milliseconds / 1000,
        memtotal=_integer(fields.get("memtotal")),
        reason=fields.get("reason", ""),
        nonce=fields.get("nonce", ""),
        held=_integer(fields.get("bytes" if word == "held" else "held")),
        latency=_three(fields, "p50", "p99", "max"),
        record=_three(fields, "run", "n", "synced"),
    )


def _three(fields: dict[str, str], *names: str) -> tuple[int, int, int] | None:
    found = [value for name in names if (value := _integer(fields.get(name))) is not None]
    return (found[0], found[1], found[2]) if len(found) == len(names) == 3 else None


def _kernel(text: str, uptime: float | None) -> Line | None:
    if "reboot: Power down" in text or text.strip() == "Power down." or "reboot: System halted" in text:
        return Line("power-down", uptime)
    if "Kernel panic" in text:
        return Line("panic", uptime, reason="out of memory" if "memory" in text else "")
    if "Out of memory: Killed process" in text or "Memory cgroup out of memory: Killed process" in text:
        return Line("oom", uptime)
    return None


def parse(text: str) -> Line:
    """Understand one console line; what nobody knows is `other` (and still a sign of life)."""
    text = text.replace("\r", "").rstrip("\n")
    at = text.find("@ ")
    if at == 0 or (at > 0 and not text[:at].strip("\x00\x1b[0123456789;m ")):
        return _proto(text[at + 2 :])
    stamped = _KERNEL.match(text)
    known = _kernel(stamped[2], float(stamped[1])) if stamped else _kernel(text, None)
    if known is not None:
        return known
    if match := _ACPI.match(text):
        return Line("power", float(match[1]) if match[1] else None)
    if text.strip() == "BYE":
        return Line("bye", reason="power")
    if match := _MEMTOTAL.match(text):
        return Line("memtotal", memtotal=int(match[1]) * 1024)
    if match := _OLDER_HELD.match(text):
        return Line("other", held=int(match[1]) << 20)
    return Line("other")
