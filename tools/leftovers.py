#!/usr/bin/env python3
"""Compare this machine before and after: is anything left of a run?

    tools/leftovers.py snapshot > before.json
    …
    tools/leftovers.py compare before.json        # prints differences, exit 1 if there are any

Looks at processes (QEMU, and whatever has kubevirt-density in its command line or working directory), cgroups of all
controllers with our name or the kubelet's in them, mounts, swap areas, zram devices, KSM and THP settings, memory
sysctls, our sockets and directories in temporary places, and undo files. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

OURS = re.compile(r"(kubevirt-density|density-)")
CGROUP = re.compile(r"(kubevirt-density|kubepods|/density)")
TEMPORARY = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108 - looked at, not written to
KSM = Path("/sys/kernel/mm/ksm")
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
THP = Path("/sys/kernel/mm/transparent_hugepage")
SYSCTLS = ("swappiness", "overcommit_memory", "overcommit_ratio", "min_free_kbytes", "watermark_scale_factor")

Snapshot = dict[str, dict[str, str]]


def text(path: Path) -> str:
    """Read a small file; '' when it can't be."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def ancestors() -> set[int]:
    """Ourselves and the processes above us: the shell in the checkout is no leftover."""
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        fields = text(Path(f"/proc/{pid}/stat")).rpartition(") ")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return found


def processes() -> dict[str, str]:
    """Pid → command line, of QEMU and of whatever is ours."""
    found: dict[str, str] = {}
    above = ancestors()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in above:
            continue
        comm = text(entry / "comm")
        command = text(entry / "cmdline").replace("\0", " ").strip()
        state = text(entry / "stat").rpartition(") ")[2][:1]
        try:
            cwd = str((entry / "cwd").readlink())
        except OSError:
            cwd = ""
        if state == "Z" and not comm.startswith("qemu"):
            continue
        if comm.startswith("qemu") or OURS.search(command) or OURS.search(cwd):
            start = text(entry / "stat").rpartition(") ")[2].split()
            found[f"{entry.name}@{start[19] if len(start) > 19 else '?'}"] = (
                f"{comm} [{state}]: {command[:300]}"
            )
    return found


def cgroups() -> dict[str, str]:
    """Directories of ours, or kubelet-like ones, under every cgroup mount."""
    found: dict[str, str] = {}
    for line in text(Path("/proc/self/mountinfo")).splitlines():
        left, _, right = line.partition(" - ")
        if right.split(" ")[0] not in {"cgroup", "cgroup2"}:
            continue
        for directory, _, _ in os.walk(left.split(" ")[4]):
            if CGROUP.search(directory):
                found[directory] = "cgroup"
    return found


def mounts() -> dict[str, str]:
    """Mount point → type and source."""
    found: dict[str, str] = {}
    for line in text(Path("/proc/self/mountinfo")).splitlines():
        left, _, right = line.partition(" - ")
        key = left.split(" ")[4]
        while key in found:  # stacked mounts
            key += "+"
        found[key] = " ".join(right.split(" ")[:2])
    return found


def swaps() -> dict[str, str]:
    """Swap area → its size in KiB."""
    rows = [line.split() for line in text(Path("/proc/swaps")).splitlines()[1:]]
    return {row[0]: row[2] for row in rows if len(row) > 2}


def zram() -> dict[str, str]:
    """Zram device → size and algorithm."""
    return {
        str(device): f"{text(device / 'disksize')} {text(device / 'comp_algorithm')}"
        for device in sorted(Path("/sys/block").glob("zram*"))
    }


def thp() -> dict[str, str]:
    """Settings of transparent huge pages."""
    names = ("enabled", "defrag", "shmem_enabled", "use_zero_page")
    daemon = ("defrag", "pages_to_scan", "scan_sleep_millisecs", "alloc_sleep_millisecs", "max_ptes_none")
    paths = [THP / name for name in names] + [THP / "khugepaged" / name for name in daemon]
    return {str(path): text(path) for path in paths if path.exists()}


def temporary() -> dict[str, str]:
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

    found = {str(path): "file" for folder in TEMPORARY for path in under(Path(folder), 2)}
    for line in text(Path("/proc/net/unix")).splitlines()[1:]:
        path = line.split()[-1]
        if path.startswith(("/", "@")) and "kubevirt-density" in path:
            found[path] = "socket in use"
    return found


def undo_files() -> dict[str, str]:
    """Undo files: a run that has not been undone."""
    folders = {Path("/var/lib/kubevirt-density/undo"), Path.home() / ".local/state/kubevirt-density/undo"}
    if os.environ.get("XDG_STATE_HOME"):
        folders.add(Path(os.environ["XDG_STATE_HOME"]) / "kubevirt-density/undo")
    found: dict[str, str] = {}
    for folder in folders:
        try:
            found.update({str(path): "undo file" for path in folder.glob("*.ndjson")})
        except OSError:
            continue
    return found


def snapshot() -> Snapshot:
    """Look at everything."""
    return {
        "processes": processes(),
        "cgroups": cgroups(),
        "mounts": mounts(),
        "swaps": swaps(),
        "zram": zram(),
        "ksm": {name: text(KSM / name) for name in KSM_SETTINGS if (KSM / name).exists()},
        "thp": thp(),
        "sysctl": {name: text(Path("/proc/sys/vm") / name) for name in SYSCTLS},
        "temporary": temporary(),
        "undo": undo_files(),
    }


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Return one line a difference: `+` new, `-` gone, `~` changed. A QEMU that was there and is gone is none."""
    lines: list[str] = []
    for area in sorted(before.keys() | after.keys()):
        old, new = before.get(area, {}), after.get(area, {})
        for key in sorted(old.keys() | new.keys()):
            if key not in old:
                lines.append(f"+ {area} {key} {new[key]}")
            elif key not in new:
                if area not in {"processes", "temporary", "undo"}:
                    lines.append(f"- {area} {key} {old[key]}")
            elif old[key] != new[key] and area != "processes":
                lines.append(f"~ {area} {key} {old[key]} -> {new[key]}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 1 if something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("snapshot", help="print what is there, as JSON")
    compare = commands.add_parser(
        "compare", help="print what differs from a snapshot; exit 1 if anything does"
    )
    compare.add_argument("before", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "snapshot":
        json.dump(snapshot(), sys.stdout, indent=1, sort_keys=True)
        sys.stdout.write("\n")
        return 0
    found = differences(json.loads(options.before.read_bytes()), snapshot())
    for line in found:
        print(line)  # noqa: T201 - its output
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
