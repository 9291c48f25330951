"""The record types of `records.ndjson`, schema version 1.

A record is one JSON object a line: `t` (seconds since the start of the run), `at` (RFC 3339 UTC, when *we* saw
it) and `stream`, plus the fields of its stream. Objects carry their own times; both are kept apart on purpose.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from harness.units import Seconds

SCHEMA_VERSION = 1

WatchType = Literal["ADDED", "MODIFIED", "DELETED", "RELIST"]
Source = Literal["stats/summary", "configz", "cgroup", "meminfo", "ksm", "swap", "psi", "process"]


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="stream", omit_defaults=True):
    t: Seconds
    at: str


class Watch(_Record, frozen=True, kw_only=True, tag="watch"):
    """An object as a watch served it (`managedFields` dropped). RELIST: seen again by a list after a gap."""

    type: WatchType
    object: dict[str, Any]


class Sample(_Record, frozen=True, kw_only=True, tag="sample"):
    """A measurement: `data` in bytes and counters, of `subject` on `node`.

    source `cgroup`: subject `/` is the node, `/kubepods` all pods, `pod/<uid>` one pod; data has at least
    `usage`, `workingSet`, and where known `inactiveFile`, `rss`, `limit`, `swap`, `failcnt`, `oomKill`, and
    `mode` (`v1`, `v2`, `pss`). source `process`: subject is the VMI's `<namespace>/<name>`; data `pid`, `rss`, `pss`.
    """

    source: Source
    node: str = ""
    subject: str = ""
    data: dict[str, Any]


class Guest(_Record, frozen=True, kw_only=True, tag="guest"):
    """One line a guest wrote on its serial console. `vmi` is `<namespace>/<name>`."""

    vmi: str
    line: str


class Action(_Record, frozen=True, kw_only=True, tag="action"):
    """Something the harness did: create, configure-kubelet, step-start, grow, step-done, workload-done, window-end and so on."""

    what: str
    target: str = ""
    args: dict[str, Any] = {}


class Kernel(_Record, frozen=True, kw_only=True, tag="kernel"):
    """A parsed OOM report, or raw kmsg lines (`lines`) where a recorder only had those.

    `scope` as the kernel says it: `container`, `pod`, `kubepods`, `node`, `global`. `source`: `kmsg`,
    `memory.events` or `oom_control`. `vmi` is `<namespace>/<name>` where the victim could be attributed.
    """

    source: str = ""
    node: str = ""
    scope: str = ""
    vmi: str = ""
    pid: int | None = None
    process: str = ""
    oomScoreAdj: int | None = None  # noqa: N815 - JSON name
    oomMemcg: str = ""  # noqa: N815 - JSON name
    taskMemcg: str = ""  # noqa: N815 - JSON name
    rss: int | None = None
    lines: list[str] = []


class Note(_Record, frozen=True, kw_only=True, tag="note"):
    """Diagnostics of the harness itself: reconnect, gap, late-pass, loop-lag, lost-sample, throttled, header, end."""

    what: str
    text: str = ""
    data: dict[str, Any] = {}


class End(_Record, frozen=True, kw_only=True, tag="end"):
    """The last record of a complete run: how many records of each stream precede it. Absent: incomplete run."""

    counts: dict[str, int]


Record = Watch | Sample | Guest | Action | Kernel | Note | End


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """`run.json`: everything about a run that is not a record. Written at the start, completed at the end."""

    schema: int
    run: str
    scenario: dict[str, Any]
    """`{"path", "text", "files": {relative path: text}, "set": ["path=value"]}`: verbatim, enough to load it again."""
    cluster: str
    evidence: Literal["real", "kernel", "predicted"]
    started: str
    """RFC 3339 UTC of `t == 0`."""
    qualifiers: dict[str, str] = {}
    """Badge: `accelerator` kvm|tcg, `cgroup` v1|v2|pss, `kernel`, `qemu`, `guestKernel`, `kubernetes`, `kubevirt`."""
    versions: dict[str, str] = {}
    """`kubevirtColumn` (`v1.6` … `main`), `kubevirt`, `kubernetes`, `harness`."""
    capabilities: dict[str, str] = {}
    """Capability name → `yes`, or why not (the names `density doctor` prints)."""
    kubelet: dict[str, Any] = {}
    """Effective KubeletConfiguration per node name, as `/configz` served it."""
    nodes: dict[str, Any] = {}
    """Scenario node name → `{"name": cluster's node name, "memory": bytes}`."""
    seed: int = 0
    command: list[str] = []
    control_of: str = ""
    control: str = ""
    """Run id of this run's control, or '' ; `controlOf` is the reverse."""
    imported: dict[str, Any] = {}
    """For imports: `{"recording": name, "sha256": …, "stated": {…}}`."""
    outcome: str = ""
    """'' while running or after a crash; else complete, interrupted, failed."""
    reason: str = ""
    ended: str = ""
