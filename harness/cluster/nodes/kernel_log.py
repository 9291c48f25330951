"""The kernel log of the machine under the nodes: which kills were in one of them, and whose.

Records arrive as /dev/kmsg gives them, on the standard error of the program that reads a node (`looks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.base import Reading
from harness.cluster.nodes.looks import Owner, pod_uid
from harness.embedded.machine.linux import oom


class Kmsg:
    """Turns raw records of /dev/kmsg into kernel readings. Only kills in one of the cluster's nodes are ours to tell.

    `nodes`: container id → node name. `since`: a sequence number; records up to it were there before us (times would
    not do: the log's clock and the uptime drift apart, and part when a machine was suspended or restored). Reading
    again from the start (after the log overtook us) repeats records: they are known by their sequence numbers.
    """

    def __init__(self, nodes: Mapping[str, str], owners: Mapping[str, Owner]) -> None:
        self._nodes = nodes
        self._owners = owners
        self._parser = oom.Parser()
        self._last = -1
        self.since: int | None = None
        """Told before the first record; nothing is fed before it is."""

    def feed(self, record: str) -> Reading | None:
        """Take one record; return the kill it completes."""
        head, separator, _ = record.partition(";")
        fields = head.split(",")
        if not separator or len(fields) < 3 or not fields[1].isdigit():
            return None  # a continuation line (` KEY=value`)
        sequence = int(fields[1])
        if sequence <= max(self._last, self.since if self.since is not None else -1):
            return None
        self._last = sequence
        report = self._parser.feed(oom.message(record))
        return self._reading(report) if report is not None else None

    def _reading(self, report: oom.Report) -> Reading | None:
        node = self._node(report.task_memcg) or self._node(report.oom_memcg or "")
        whole_machine = report.oom_memcg in {None, "/"}
        if not node and not whole_machine:
            return None
        uid = _pod_in(report.task_memcg)
        owner = self._owners.get(uid)
        fields: dict[str, Any] = {
            "source": "kmsg",
            "node": node,
            "scope": scope(report.oom_memcg, self._nodes),
            "vmi": owner.vmi if owner else "",
            "pid": report.pid,
            "process": report.process,
            "oomMemcg": report.oom_memcg or "",
            "taskMemcg": report.task_memcg,
            "lines": list(report.lines),
        }
        if report.oom_score_adj is not None:
            fields["oomScoreAdj"] = report.oom_score_adj
        if report.rss is not None:
            fields["rss"] = report.rss
        return Reading(stream="kernel", fields=fields)

    def _node(self, memcg: str) -> str:
        return next((name for identity, name in self._nodes.items() if identity in memcg), "")


def scope(memcg: str | None, nodes: Mapping[str, str]) -> str:
    """Return whose limit was hit: container, pod, kubepods, node, or global (the machine ran out)."""
    if memcg is None or not any(identity in memcg for identity in nodes):
        return "global"
    parts = [part for part in memcg.split("/") if part]
    last = parts[-1].removesuffix(".slice")
    if _is_pod(last):
        return "pod"
    if any(_is_pod(part.removesuffix(".slice")) for part in parts[:-1]):
        return "container"
    return "kubepods" if "kubepods" in last or last in {"burstable", "besteffort"} else "node"


def _pod_in(memcg: str) -> str:
    names = (part.removesuffix(".slice") for part in memcg.split("/"))
    return next((pod_uid(name) for name in names if _is_pod(name)), "")


def _is_pod(name: str) -> bool:
    _, found, uid = name.rpartition("pod")
    return bool(found) and len(uid) == 36 and uid.count("-") + uid.count("_") == 4
