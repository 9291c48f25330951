"""Units that stand in types: bytes and seconds. A leaf below every room; holds names only, no logic."""

from typing import NewType

Bytes = NewType("Bytes", int)
"""An amount of memory in bytes. Never kibibytes, never pages."""

Seconds = NewType("Seconds", float)
"""A duration, or seconds since the start of a run."""

KIB = Bytes(1 << 10)
MIB = Bytes(1 << 20)
GIB = Bytes(1 << 30)
