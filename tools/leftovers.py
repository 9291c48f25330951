#!/usr/bin/env python3
"""Compare this machine before and after: is anything left of a run?

    tools/leftovers.py snapshot > before.json
    …
    tools/leftovers.py compare before.json        # prints differences, exit 1 if there are any

Looks at processes (a QEMU of ours, and whatever has kubevirt-density in its command line or working directory), cgroups
of all controllers with our name or the kubelet's in them, mounts, swap areas, zram devices, KSM and THP settings, memory
sysctls, our sockets and directories in temporary places, and undo files. Standard library only.

On a machine that others use too, what is provably theirs is left out (and told on standard error): processes that have
an ancestor which was there before and is not above this one, as a leaked process has none: it is adopted by init; and
cgroups, directories and undo files that such processes are in, use or own. Settings of the machine are always compared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

OURS = re.compile(r"(kubevirt-density|density-)")
QEMU = re.compile(r"(kubevirt-density|density-|\bdensity\.nonce=)")
RUNNER = re.compile(r"(python|pytest|density)")
"""Names of what starts our guests."""
CGROUP = re.compile(r"(kubevirt-density|kubepods|/density)")
RUN_CGROUP = re.compile(r".*?/kubevirt-density/[^/]+")
TEMPORARY = ("tmp", "var/tmp", "run", "dev/shm")
KSM = "sys/kernel/mm/ksm"
KSM_SETTINGS = (
    "run",
    "pages_to_scan",
    "sleep_millisecs",
    "merge_across_nodes",
    "use_zero_pages",
    "max_page_sharing",
    "smart_scan",
    "stable_node_chains_prune_millisecs",
    "advisor_mode",
    "advisor_max_cpu",
    "advisor_min_pages_to_scan",
    "advisor_max_pages_to_scan",
    "advisor_target_scan_time",
)
THP = "sys/kernel/mm/transparent_hugepage"
SYSCTLS = ("swappiness", "overcommit_memory", "overcommit_ratio", "min_free_kbytes", "watermark_scale_factor")
REAPERS = {"systemd", "init", "tini", "dumb-init", "docker-init", "catatonit", "runit", "s6-svscan"}
"""Names of processes that adopt orphans besides pid 1; containerd-shim… too."""

Snapshot = dict[str, dict[str, str]]


def text(path: Path) -> str:
    """Read a small file; '' when it can't be."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


class Machine:
    """What there is, read under `root`; `me`: the process whose own ancestors are no leftovers."""

    def __init__(self, root: Path = Path("/"), me: int | None = None) -> None:
        self.root = root
        self.me = os.getpid() if me is None else me

    def _stat(self, pid: int) -> list[str]:
        """Fields of /proc/pid/stat from the third on: state, parent and so on."""
        return text(self.root / f"proc/{pid}/stat").rpartition(") ")[2].split()

    def parent(self, pid: int) -> int:
        """Pid of a process's parent; 0 for none."""
        fields = self._stat(pid)
        return int(fields[1]) if len(fields) > 1 else 0

    def identity(self, pid: int) -> str:
        """`<pid>@<start time>`: pids are used again."""
        fields = self._stat(pid)
        return f"{pid}@{fields[19] if len(fields) > 19 else '?'}"

    def name(self, pid: int) -> str:
        """Short name of a process."""
        return text(self.root / f"proc/{pid}/comm")

    def command(self, pid: int) -> str:
        """Command line; '' for a zombie."""
        return text(self.root / f"proc/{pid}/cmdline").replace("\0", " ").strip()

    def chain(self, pid: int) -> list[int]:
        """A process and those above it, up to pid 1."""
        found: list[int] = []
        while pid > 0 and pid not in found:
            found.append(pid)
            pid = self.parent(pid)
        return found

    @cached_property
    def ancestors(self) -> set[int]:
        """Ourselves and the processes above us: the shell in the checkout is no leftover."""
        return set(self.chain(self.me))

    def pids(self) -> list[int]:
        """Whoever is there, ourselves and those above us left out."""
        found = (int(entry.name) for entry in (self.root / "proc").iterdir() if entry.name.isdigit())
        return [pid for pid in found if pid not in self.ancestors]

    def reaper(self, pid: int) -> bool:
        """Whether a process adopts orphans."""
        comm = self.name(pid)
        return pid <= 1 or comm in REAPERS or comm.startswith("containerd-shim")

    def alive(self) -> dict[str, str]:
        """Everyone, by pid and start: who was there before can't be left by what came after."""
        return {self.identity(pid): self.name(pid) for pid in self.pids()}

    def processes(self) -> dict[str, str]:
        """Pid → command line, of QEMUs of ours and of whatever else is ours."""
        found: dict[str, str] = {}
        for pid in self.pids():
            entry = self.root / f"proc/{pid}"
            comm, command, state = self.name(pid), self.command(pid), "".join(self._stat(pid)[:1])
            try:
                cwd = str((entry / "cwd").readlink())
            except OSError:
                cwd = ""
            qemu = comm.startswith("qemu")
            if state == "Z" and not qemu:
                continue
            mine = OURS.search(command) or OURS.search(cwd)
            if mine or (qemu and (state == "Z" or QEMU.search(command))):
                found[self.identity(pid)] = f"{comm} [{state}]: {command[:300]}"
        return found

    def cgroups(self) -> dict[str, str]:
        """Directories of ours, or kubelet-like ones, under every cgroup mount."""
        found: dict[str, str] = {}
        for line in text(self.root / "proc/self/mountinfo").splitlines():
            left, _, right = line.partition(" - ")
            if right.split(" ")[0] not in {"cgroup", "cgroup2"}:
                continue
            top = self.root / left.split(" ")[4].lstrip("/")
            for directory, _, _ in os.walk(top):
                below = directory.removeprefix(str(self.root).rstrip("/"))
                if CGROUP.search(below):
                    found[below] = "cgroup"
        return found

    def mounts(self) -> dict[str, str]:
        """Mount point → type and source."""
        found: dict[str, str] = {}
        for line in text(self.root / "proc/self/mountinfo").splitlines():
            left, _, right = line.partition(" - ")
            key = left.split(" ")[4]
            while key in found:  # stacked mounts
                key += "+"
            found[key] = " ".join(right.split(" ")[:2])
        return found

    def swaps(self) -> dict[str, str]:
        """Swap area → its size in KiB."""
        rows = [line.split() for line in text(self.root / "proc/swaps").splitlines()[1:]]
        return {row[0]: row[2] for row in rows if len(row) > 2}

    def zram(self) -> dict[str, str]:
        """Zram device → size and algorithm."""
        return {
            str(device): f"{text(device / 'disksize')} {text(device / 'comp_algorithm')}"
            for device in sorted((self.root / "sys/block").glob("zram*"))
        }

    def thp(self) -> dict[str, str]:
        """Settings of transparent huge pages."""
        folder = self.root / THP
        names = ("enabled", "defrag", "shmem_enabled", "use_zero_page")
        daemon = ("defrag", "pages_to_scan", "scan_sleep_millisecs", "alloc_sleep_millisecs", "max_ptes_none")
        paths = [folder / name for name in names] + [folder / "khugepaged" / name for name in daemon]
        return {str(path): text(path) for path in paths if path.exists()}

    def temporary(self) -> dict[str, str]:
        """Our sockets and directories in temporary places, deep enough to find them."""

        def under(folder: Path, depth: int) -> Iterator[Path]:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if OURS.search(entry.name):
                            yield Path(entry.path)
                        elif depth > 1 and entry.is_dir(follow_symlinks=False):
                            yield from under(Path(entry.path), depth - 1)
            except OSError:
                return

        found = {str(path): "file" for folder in TEMPORARY for path in under(self.root / folder, 2)}
        for line in text(self.root / "proc/net/unix").splitlines()[1:]:
            path = line.split()[-1]
            if path.startswith(("/", "@")) and "kubevirt-density" in path:
                found[path] = "socket in use"
        return found

    def undo_files(self) -> dict[str, str]:
        """Undo files: a run that has not been undone."""
        folders = {self.root / "var/lib/kubevirt-density/undo"}
        if self.root == Path("/"):
            folders.add(Path.home() / ".local/state/kubevirt-density/undo")
            if os.environ.get("XDG_STATE_HOME"):
                folders.add(Path(os.environ["XDG_STATE_HOME"]) / "kubevirt-density/undo")
        found: dict[str, str] = {}
        for folder in folders:
            try:
                found.update({str(path): "undo file" for path in folder.glob("*.ndjson")})
            except OSError:
                continue
        return found

    def snapshot(self) -> Snapshot:
        """Look at everything."""
        ksm = self.root / KSM
        return {
            "alive": self.alive(),
            "processes": self.processes(),
            "cgroups": self.cgroups(),
            "mounts": self.mounts(),
            "swaps": self.swaps(),
            "zram": self.zram(),
            "ksm": {name: text(ksm / name) for name in KSM_SETTINGS if (ksm / name).exists()},
            "thp": self.thp(),
            "sysctl": {name: text(self.root / "proc/sys/vm" / name) for name in SYSCTLS},
            "temporary": self.temporary(),
            "undo": self.undo_files(),
        }


class Theirs:
    """What is provably of others: whose chain of parents leads to someone who was there before and is not above us."""

    def __init__(self, machine: Machine, before: Snapshot) -> None:
        self._machine = machine
        self._alive = before.get("alive", {})

    def process(self, pid: int) -> bool:
        """Whether a living process is someone else's."""
        machine = self._machine
        if machine.name(pid).startswith("qemu") and not RUNNER.match(machine.name(machine.parent(pid))):
            return False  # adopted: whoever started it is gone
        for above in machine.chain(pid):
            if above in machine.ancestors or machine.reaper(above):
                return False
            if machine.identity(above) in self._alive:
                return True
        return False

    @cached_property
    def pids(self) -> set[int]:
        """All of them."""
        return {pid for pid in self._machine.pids() if self.process(pid)}

    @cached_property
    def owned(self) -> tuple[str, ...]:
        """Undo files whose owner lives and is someone else, and the paths in them."""
        found: list[str] = []
        for path in self._machine.undo_files():
            lines = text(Path(path)).splitlines()
            try:
                header, *entries = [json.loads(line) for line in lines]
            except ValueError:
                continue  # cut: its owner died writing it
            owner = header.get("pid") if isinstance(header, dict) else None
            if owner in self.pids and self._machine.identity(owner) == f"{owner}@{header.get('start')}":
                found += [path, *(str(entry.get("path") or "") for entry in entries)]
        return tuple(path for path in found if path)

    @cached_property
    def said(self) -> str:
        """Their command lines, which name the directories they use."""
        return "\n".join(self._machine.command(pid) for pid in self.pids)

    def _cgroup(self, path: str) -> bool:
        """A run's tree of cgroups with someone of theirs in it, and nobody else."""
        match = RUN_CGROUP.match(path)
        top = self._machine.root / (match[0] if match else path).lstrip("/")
        inside = [int(pid) for file in top.rglob("cgroup.procs") for pid in text(file).split()]
        return bool(inside) and all(pid in self.pids for pid in inside)

    def has(self, area: str, key: str) -> bool:
        """Whether a new entry of an area is theirs."""
        if area == "processes":
            return int(key.partition("@")[0]) in self.pids
        if area in {"cgroups", "temporary", "undo"} and any(
            key == path or key.startswith(f"{path.rstrip('/')}/") or path.startswith(f"{key}/")
            for path in self.owned
        ):
            return True
        if area == "cgroups":
            return self._cgroup(key)
        path = key.removeprefix(str(self._machine.root).rstrip("/"))
        return (
            area == "temporary"
            and re.search(rf"{re.escape(path)}(?=[/,\s]|$)", self.said, re.MULTILINE) is not None
        )


def differences(before: Snapshot, after: Snapshot) -> list[tuple[str, str, str]]:
    """Return area, key and one line a difference: `+` new, `-` gone, `~` changed. A process that is gone is none."""
    lines: list[tuple[str, str, str]] = []
    for area in sorted((before.keys() | after.keys()) - {"alive"}):
        old, new = before.get(area, {}), after.get(area, {})
        for key in sorted(old.keys() | new.keys()):
            if key not in old:
                lines.append((area, key, f"+ {area} {key} {new[key]}"))
            elif key not in new:
                if area not in {"processes", "temporary", "undo", "cgroups"}:
                    lines.append((area, key, f"- {area} {key} {old[key]}"))
            elif old[key] != new[key] and area != "processes":
                lines.append((area, key, f"~ {area} {key} {old[key]} -> {new[key]}"))
    return lines


def compare(before: Snapshot, machine: Machine) -> tuple[list[str], list[str]]:
    """What differs now and could be ours, and what is new but provably someone else's."""
    theirs = Theirs(machine, before)
    ours: list[str] = []
    others: list[str] = []
    for area, key, line in differences(before, machine.snapshot()):
        new = line.startswith("+")
        (others if new and theirs.has(area, key) else ours).append(line)
    return ours, others


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 if something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("snapshot", help="print what is there, as JSON")
    told = "print what differs from a snapshot and could be ours; exit 1 if anything does"
    commands.add_parser("compare", help=told).add_argument("before", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "snapshot":
        json.dump(Machine().snapshot(), sys.stdout, indent=1, sort_keys=True)
        sys.stdout.write("\n")
        return 0
    ours, others = compare(json.loads(options.before.read_bytes()), Machine())
    for line in others:
        print(f"someone else's: {line}", file=sys.stderr)  # noqa: T201 - its output
    for line in ours:
        print(line)  # noqa: T201 - its output
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
