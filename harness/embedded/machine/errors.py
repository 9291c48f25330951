"""Errors of a machine. Messages are one line and name what mends it."""


class MachineError(Exception):
    """The machine can't do what was asked: no QEMU, no guest kernel, no writable cgroup, too small, disk full."""


class ConsoleClosed(MachineError):
    """The guest behind a console is gone."""
