"""What can go wrong with judging, each with one clear line for people."""

from __future__ import annotations


class JudgeError(Exception):
    """Base of this room's errors."""


class BadLiteral(JudgeError):
    """A claim's `today` does not make an expectation."""
