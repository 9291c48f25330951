"""System calls the standard library does not have: prctl, swapon and swapoff."""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_THP_DISABLE = 41
_SWAP_FLAG_PREFER = 0x8000

# loaded at import: a child between fork and exec must not load libraries
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def set_parent_death_signal(signal: int) -> None:
    """Have the kernel send us `signal` when the *thread* that forked us ends (prctl(2))."""
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0))


def disable_transparent_huge_pages() -> None:
    """No transparent huge pages for this process and what it executes, whatever it madvises."""
    _check(_LIBC.prctl(_PR_SET_THP_DISABLE, ctypes.c_ulong(1), 0, 0, 0))


def swapon(path: str, priority: int) -> None:
    """Use a swap area, before those of a lower priority (swapon(2)). Raises OSError."""
    _check(_LIBC.swapon(os.fsencode(path), ctypes.c_int(_SWAP_FLAG_PREFER | priority)))


def swapoff(path: str) -> None:
    """Take a swap area out of use (swapoff(2)). Raises OSError."""
    _check(_LIBC.swapoff(os.fsencode(path)))
