"""OOM reports of the kernel: parsed records, or raw kmsg lines put together again.

Grammar: mm/oom_kill.c and mm/memcontrol.c (`oom-kill:constraint=…,oom_memcg=…,task_memcg=…,task=…,pid=…`,
`Killed process <pid> (<comm>) … oom_score_adj:<n>`); cgroup names: kubelet `cm/pod_container_manager_linux.go`
(cgroupfs `pod<uid>`, systemd `kubepods-burstable-pod<uid with _>.slice`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.records.model import Kernel

OomScope = Literal["container", "pod", "node", ""]

_REPORT = re.compile(r"oom-kill:constraint=(?P<constraint>[A-Z_]+)(?P<rest>.*)")
_FIELD = re.compile(r"(oom_memcg|task_memcg|task|pid)=([^,]*)")
_KILLED = re.compile(
    r"(?P<what>Memory cgroup out of memory|Out of memory)[^:]*: Killed process (?P<pid>\d+) \((?P<comm>[^)]*)\)(?P<rest>.*)"
)
_UID = re.compile(
    r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?P<below>/[^/]+)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OomKill:
    """One process the kernel killed for memory."""

    t: float
    """Seconds of the run at which the report was seen (the kill was no later)."""
    lines: tuple[int, ...]
    scope: OomScope
    """'' where the report does not say."""
    pod_uid: str = ""
    vmi: str = ""
    pid: int | None = None
    node: str = ""
    event: bool = False
    """Only a SystemOOM event of the node tells of it."""


def pod_uid(memcg: str) -> str:
    """Return the pod UID in a cgroup path, or ''."""
    match = _UID.search(memcg)
    return match[1].replace("_", "-") if match else ""


def scope_of(memcg: str, constraint: str = "") -> OomScope:
    """Return whose limit was hit, told from the path of the cgroup that ran out."""
    if constraint in {"CONSTRAINT_NONE", "CONSTRAINT_CPUSET", "CONSTRAINT_MEMORY_POLICY"}:
        return "node"
    if not memcg:
        return ""
    match = _UID.search(memcg)
    if match is None:
        return "node"
    return "container" if match["below"] else "pod"


_SCOPES: Mapping[str, OomScope] = {
    "container": "container", "pod": "pod", "kubepods": "node", "node": "node", "global": "node",
}  # fmt: skip
"""What probes call whose limit was hit, in the judge's words."""


class OomReader:
    """Puts kernel records together into kills, in order of arrival."""

    def __init__(self) -> None:
        self.kills: list[OomKill] = []
        self.watched = False
        """Whether any kernel record was seen at all."""
        self._report: tuple[int, dict[str, str], str] | None = None

    def add(self, number: int, record: Kernel) -> None:
        """Take one kernel record."""
        self.watched = True
        parsed = record.pid is not None or record.scope or record.oomMemcg or record.taskMemcg
        if not parsed:
            for line in record.lines:
                self._raw(number, record, line)
            return
        self.kills.append(
            OomKill(
                t=record.t,
                lines=(number,),
                scope=_SCOPES.get(record.scope, "") or scope_of(record.oomMemcg),
                pod_uid=pod_uid(record.taskMemcg) or pod_uid(record.oomMemcg),
                vmi=record.vmi,
                pid=record.pid,
                node=record.node,
            )
        )

    def _raw(self, number: int, record: Kernel, line: str) -> None:
        if match := _REPORT.search(line):
            self._report = (number, dict(_FIELD.findall(match["rest"])), match["constraint"])
            return
        match = _KILLED.search(line)
        if match is None:
            return
        report, self._report = self._report, None
        fields: dict[str, str] = {}
        constraint = ""
        lines = [number]
        if report is not None and report[1].get("pid") == match["pid"]:
            fields, constraint = report[1], report[2]
            lines.insert(0, report[0])
        scope = scope_of(fields.get("oom_memcg", ""), constraint)
        if not scope and match["what"] == "Out of memory":
            scope = "node"
        self.kills.append(
            OomKill(
                t=record.t,
                lines=tuple(dict.fromkeys(lines)),
                scope=scope,
                pod_uid=pod_uid(fields.get("task_memcg", "")),
                vmi=record.vmi,
                pid=int(match["pid"]),
                node=record.node,
            )
        )
