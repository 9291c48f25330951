"""Kernel samepage merging: its knobs, taken and given back as one, and what it did.

Source: Documentation/admin-guide/mm/ksm.rst and mm/ksm.c of Linux 6.18. Counters are pages of 4096 bytes except
`general_profit` (bytes, may be negative) and `full_scans`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.embedded.machine.base import Undo
from harness.embedded.machine.errors import HostLack, MachineError
from harness.embedded.machine.linux.hostlock import HostLock
from harness.embedded.machine.linux.procfs import parse_stat, write_once

DIRECTORY = Path("sys/kernel/mm/ksm")
KNOBS = (
    "advisor_mode",
    "advisor_max_cpu",
    "advisor_min_pages_to_scan",
    "advisor_max_pages_to_scan",
    "advisor_target_scan_time",
    "pages_to_scan",
    "sleep_millisecs",
    "smart_scan",
    "use_zero_pages",
    "stable_node_chains_prune_millisecs",
    "run",
)
"""In the order they are written: the advisor first, since it owns pages_to_scan while it is on; `run` last."""
READ_ONLY = ("merge_across_nodes", "max_page_sharing")
"""The kernel changes them only while nothing on the machine is merged."""
COUNTERS = (
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "pages_scanned",
    "pages_skipped",
    "ksm_zero_pages",
    "full_scans",
    "general_profit",
    "stable_node_chains",
    "stable_node_dups",
)
_UNMERGE = "2"


@dataclass(slots=True, kw_only=True)
class Ksm:
    """KSM of the machine under `root`."""

    root: Path = Path("/")
    _ksmd: int | None = field(default=None, init=False)

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self.root / DIRECTORY

    def settings(self) -> dict[str, str]:
        """Return the knobs this kernel has and their values. Raises HostLack without KSM."""
        found = {name: text for name in (*KNOBS, *READ_ONLY) if (text := self._text(name)) is not None}
        if "run" not in found:
            raise HostLack("this kernel has no KSM: use a kernel with CONFIG_KSM=y")
        return found

    def counters(self) -> dict[str, int]:
        """Return the counters this kernel has; {} without KSM."""
        found: dict[str, int] = {}
        for name in COUNTERS:
            with contextlib.suppress(ValueError):
                if (text := self._text(name)) is not None:
                    found[name] = int(text)
        return found

    def _text(self, name: str) -> str | None:
        try:
            text = (self.directory / name).read_text(encoding="ascii").strip()
        except OSError:
            return None
        return chosen(text)

    def apply(self, wanted: Mapping[str, int | str], *, undo: Undo, lock: HostLock) -> None:
        """Write knobs, after an undo entry with all of them stands. Raises HostLack, MachineError with none half set.

        `run: 2` unmerges everything and stops.
        """
        now = self.settings()
        values = {name: str(value) for name, value in wanted.items()}
        for name in values:
            if name in READ_ONLY:
                raise MachineError(
                    f"KSM {name} can't be set: the kernel changes it only while nothing is merged"
                )
            if name not in KNOBS:
                raise MachineError(f"KSM has no knob {name!r}: {', '.join(KNOBS)}")
            if name not in now:
                raise HostLack(f"KSM of this kernel has no knob {name}: use a newer kernel")
        before = {name: now[name] for name in KNOBS if name in now}
        undo(
            {
                "op": "ksm",
                "path": str(self.directory),
                "values": before,
                "merged": self.counters().get("pages_shared", 0),
                **lock.mark,
            }
        )
        # an advisor that is to be switched on goes after the knobs it would refuse
        last = {"advisor_mode"} if values.get("advisor_mode", "none") != "none" else set()
        order = [*(n for n in KNOBS[:-1] if n not in last), *last, "run"]
        for name in (name for name in order if name in values):
            try:
                write_once(self.directory / name, values[name])
            except OSError as error:
                _restore(self.directory, before)
                hint = (
                    ": the advisor sets it, so set advisor_mode: none too"
                    if _is_advisors(name, before)
                    else ""
                )
                raise MachineError(f"KSM {name}={values[name]} refused: {error.strerror}{hint}") from error

    def ksmd_cpu(self) -> float | None:
        """CPU seconds ksmd has used since boot; None where it can't be seen (a pid namespace)."""
        proc = self.root / "proc"
        for pid in [self._ksmd] if self._ksmd else _kernel_threads(proc):
            try:
                text = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            who = parse_stat(text)
            if who is not None and who.name == "ksmd":
                self._ksmd = pid
                ticks = text.rpartition(") ")[2].split()[11:13]  # utime, stime: fields 14 and 15 (proc(5))
                return sum(int(tick) for tick in ticks) / os.sysconf("SC_CLK_TCK")
        return None


def chosen(text: str) -> str:
    """Return the choice of a file that shows all of them, like `[none] scan-time`; other texts as they are."""
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket and "]" in rest else text


def process(pid: int, *, proc: Path = Path("/proc")) -> dict[str, int]:
    """Return `merging` and `profit` of a process in bytes (since 6.1); {} where the kernel does not tell."""
    rows: dict[str, int] = {}
    try:
        for line in (proc / str(pid) / "ksm_stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            with contextlib.suppress(ValueError):
                rows[name] = int(value)
    except OSError:
        return {}
    found: dict[str, int] = {}
    if "ksm_merging_pages" in rows:
        found["merging"] = rows["ksm_merging_pages"] * 4096
    if "ksm_process_profit" in rows:
        found["profit"] = rows["ksm_process_profit"]
    return found


def give_back(entry: Mapping[str, Any]) -> str | None:
    """Undo `ksm`: the knobs as they were. Pages merged meanwhile are unmerged where KSM was off and had merged none.

    What somebody else had merged before stays merged: unmerging is for the whole machine.
    """
    directory = Path(entry["path"])
    values = {str(name): str(value) for name, value in entry["values"].items()}
    if not (directory / "run").exists():
        return None
    did: list[str] = []
    shared = int((directory / "pages_shared").read_text(encoding="ascii") or 0)
    if values.get("run") != "1" and not entry.get("merged") and shared:
        write_once(directory / "run", _UNMERGE)
        did.append("unmerged")
    if _restore(directory, values):
        did.append("knobs restored")
    return ", ".join(did) or None


def _restore(directory: Path, values: Mapping[str, str]) -> bool:
    """Write what differs; whether anything did. The advisor is off while the others are written, `run` is last."""
    now = {}
    for name in values:
        with contextlib.suppress(OSError):
            now[name] = chosen((directory / name).read_text(encoding="ascii").strip())
    differing = [name for name in KNOBS if name in now and now[name] != values[name]]
    if "advisor_mode" in now and set(differing) - {"run", "advisor_mode"} and now["advisor_mode"] != "none":
        write_once(directory / "advisor_mode", "none")
        differing = [*(name for name in differing if name != "advisor_mode"), "advisor_mode"]
    elif "advisor_mode" in differing and values["advisor_mode"] != "none":
        differing = [*(name for name in differing if name != "advisor_mode"), "advisor_mode"]
    for name in sorted(differing, key=lambda name: name == "run"):
        write_once(directory / name, values[name])
    return bool(differing)


def _is_advisors(name: str, before: Mapping[str, str]) -> bool:
    return name == "pages_to_scan" and before.get("advisor_mode", "none") != "none"


def _kernel_threads(proc: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in proc.iterdir() if path.name.isdigit())
    except FileNotFoundError:
        return []
