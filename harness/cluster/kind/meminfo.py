r"""The /proc/meminfo of a node that is smaller than its machine.

cAdvisor and the kubelet take a machine's memory from `MemTotal:\s*([0-9]+) kB` and its swap from `SwapTotal`
(google/cadvisor machine/machine.go); the other rows are for people and their tools. Every rendering has the same
length, so that overwriting in place never shows a reader a short file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.units import KIB, Bytes

FIELDS = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "SwapTotal", "SwapFree")
_FULL = frozenset({"MemTotal", "MemFree", "MemAvailable"})
_ROW = re.compile(r"^(\w+):\s*(\d+) kB$", re.MULTILINE)


def render(memory: Bytes) -> str:
    """Return the file for a machine of that much memory (a multiple of 1 KiB) without swap."""
    return "".join(f"{name + ':':<16}{memory // KIB if name in _FULL else 0:>12} kB\n" for name in FIELDS)


def parse(text: str) -> Mapping[str, int]:
    """Return the rows of a meminfo in bytes."""
    return {name: int(value) * KIB for name, value in _ROW.findall(text)}
