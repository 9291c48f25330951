"""Signs of memory pressure, for samples: PSI, reclaim and OOM counters of the machine and of one group.

Sources: Documentation/accounting/psi.rst, admin-guide/cgroup-v2.rst (memory.events, memory.stat), cgroup-v1/memory.rst.
Averages in percent; `total` of PSI in microseconds; the rest are counts since boot or since the group was made.
"""

from __future__ import annotations

from pathlib import Path

from harness.embedded.machine.linux.cgroup import Group

Numbers = dict[str, int | float]

VMSTAT = (
    "pgmajfault",
    "pswpin",
    "pswpout",
    "workingset_refault_anon",
    "workingset_refault_file",
    "workingset_activate_anon",
    "workingset_activate_file",
    "pgscan_kswapd",
    "pgscan_direct",
    "pgsteal_kswapd",
    "pgsteal_direct",
    "oom_kill",
    "thp_fault_alloc",
    "thp_split_page",
    "cow_ksm",
    "ksm_swpin_copy",
)
_STALLS = "allocstall_"
"""One row a zone; their sum is what is meant."""
_GROUP = ("pgmajfault", "workingset_refault_anon", "workingset_refault_file", "thp_fault_alloc")


def parse_psi(text: str) -> Numbers:
    """Parse `some avg10=… avg60=… avg300=… total=…` and `full …` to `someAvg10`, …, `fullTotal`."""
    found: Numbers = {}
    for line in text.splitlines():
        kind, *pairs = line.split() or [""]
        for pair in pairs:
            name, _, value = pair.partition("=")
            try:
                found[f"{kind}{name.capitalize()}"] = int(value) if name == "total" else float(value)
            except ValueError:
                continue
    return found


def host_psi(*, root: Path = Path("/")) -> Numbers:
    """Return the machine's memory PSI; {} where the kernel has none (or psi=0)."""
    return parse_psi(_text(root / "proc/pressure/memory"))


def host_vmstat(*, root: Path = Path("/")) -> Numbers:
    """Return the rows of /proc/vmstat that tell of pressure, and `allocstall` summed over zones."""
    rows = _rows(_text(root / "proc/vmstat"))
    found: Numbers = {name: rows[name] for name in VMSTAT if name in rows}
    stalls = [value for name, value in rows.items() if name.startswith(_STALLS)]
    if stalls:
        found["allocstall"] = sum(stalls)
    return found


def of_group(group: Group) -> Numbers:
    """Return what a group tells of its own pressure. v1 has no PSI; what is missing is left out."""
    return _v2(group.path) if group.version == "v2" else _v1(group.path)


def _v2(path: Path) -> Numbers:
    stat = _rows(_text(path / "memory.stat"))
    return {
        **parse_psi(_text(path / "memory.pressure")),
        **{f"events.{name}": value for name, value in _rows(_text(path / "memory.events")).items()},
        **{f"swap.{name}": value for name, value in _rows(_text(path / "memory.swap.events")).items()},
        **{name: stat[name] for name in _GROUP if name in stat},
    }


def _v1(path: Path) -> Numbers:
    stat = _rows(_text(path / "memory.stat"))
    control = _rows(_text(path / "memory.oom_control"))
    found: Numbers = {name: stat[f"total_{name}"] for name in _GROUP if f"total_{name}" in stat}
    if "under_oom" in control:
        found["underOom"] = control["under_oom"]
    if "oom_kill" in control:
        found["oomKill"] = control["oom_kill"]
    for key, name in (("failcnt", "memory.failcnt"), ("memswFailcnt", "memory.memsw.failcnt")):
        text = _text(path / name).strip()
        if text.isdigit():
            found[key] = int(text)
    return found


def _rows(text: str) -> dict[str, int]:
    rows: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdigit():
            rows[name] = int(value)
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:  # not offered (EOPNOTSUPP: psi=0), or gone
        return ""
