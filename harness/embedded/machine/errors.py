"""Errors of a machine. Messages are one line and name what mends it."""


class MachineError(Exception):
    """The machine can't do what was asked: no QEMU, no guest kernel, no writable cgroup, too small, disk full."""


class ConsoleClosed(MachineError):
    """The guest behind a console is gone."""


class HostBusy(MachineError):
    """Another harness has this machine's host-wide settings (KSM, swap), or left them without giving them back."""


class HostLack(MachineError):
    """This machine can't have the setting at all: no KSM, no swap. What needs it is not observable here."""
