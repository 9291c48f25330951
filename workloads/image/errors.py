"""Errors of the image builder. Messages are one line and end with the command that mends it."""

from __future__ import annotations


class ImageError(Exception):
    """The guest image could not be built."""


class CompilerError(ImageError):
    """No C compiler, no static C library, or the agent does not compile."""


class KernelError(ImageError):
    """No guest kernel could be had, or the given one is not usable."""
