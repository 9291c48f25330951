"""The index of a run: who was there, what happened to whom and when, built record by record in one pass.

Times are seconds of the run. What arrives after the window's end is not looked at: the harness deletes its VMIs then, and
that says nothing about density. The watched objects are followed in judge.objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.judge.console import Line, parse
from harness.judge.kmsg import OomReader
from harness.judge.objects import Objects
from harness.judge.samples import MemorySample, cgroup_sample, limit, stats_sample, subject_pod
from harness.judge.tracks import Answer, Mark, Row
from harness.records import served
from harness.records.model import Action, End, Guest, Kernel, Note, Record, Sample, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Mark):
    """One line of a guest."""

    text: str
    parsed: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(Mark):
    """A note of the harness about its own lateness or loss: it spoilt `[begin, until]` by `seconds`."""

    what: str
    text: str
    seconds: float
    begin: float
    until: float
    """A step of the wall clock spoils everything after it: objects' own times no longer compare with ours."""


HEALTH = frozenset({"loop-lag", "late-pass", "lost-sample", "gap", "throttled", "clock-step"})


class Timeline(Objects):
    """The index. Feed it with `add`; read its attributes at any time."""

    def __init__(
        self, *, started: str, window: tuple[float, float | None] = (0.0, None), cut_short: bool = False
    ) -> None:
        super().__init__(served.epoch(started))
        self.cut_short = cut_short
        """The run was interrupted or failed: its records end properly, but before what was to be seen."""
        self.window_start = window[0]
        self._stated_end = window[1]
        self.window_end: float | None = None
        self.last_t = 0.0
        self.answers: list[Answer] = []
        self.process_rows: dict[str, list[Row]] = {}
        """VMI key → its QEMU's rows."""
        self.host_rows: dict[str, list[Row]] = {}
        """Source (`ksm`, `swap`, `meminfo`) → rows of the whole machine."""
        self.configz: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self.console: dict[str, list[Said]] = {}
        self.node_cgroup: dict[str, list[MemorySample]] = {}
        self.node_stats: dict[str, list[MemorySample]] = {}
        self.pod_cgroup: dict[str, list[MemorySample]] = {}
        self.processes: dict[str, list[tuple[float, int, int | None]]] = {}
        """VMI key → `(t, line, pid)`."""
        self.actions: list[tuple[int, Action]] = []
        self.oom = OomReader()
        self.health: list[Health] = []
        self.unreadable: list[int] = []
        self.ended = False

    # -- reading -----------------------------------------------------------------------------------------------

    def extend(self, records: Iterable[tuple[int, Record]]) -> Timeline:
        """Add many records and return self."""
        for number, record in records:
            self.add(number, record)
        return self

    def add(self, number: int, record: Record) -> None:
        """Take the record of one line."""
        self.ended = False
        if isinstance(record, End):
            self.ended = sum(record.counts.values()) == number - 1
            return
        if isinstance(record, Note):
            self._note(number, record)
            return
        if self._stated_end is not None and record.t > self._stated_end:
            return
        if self.window_end is not None:
            return
        self.last_t = max(self.last_t, record.t)
        if isinstance(record, Watch):
            self._watch(number, record)
        elif isinstance(record, Sample):
            self._sample(number, record)
        elif isinstance(record, Guest):
            said = Said(t=record.t, line=number, text=record.line, parsed=parse(record.line))
            self.console.setdefault(record.vmi, []).append(said)
        elif isinstance(record, Action):
            self.actions.append((number, record))
            if record.what == "answer":
                self._answer(number, record)
            if record.what == "window-end":
                self.window_end = record.t
        elif isinstance(record, Kernel):
            self.oom.add(number, record)

    @property
    def end(self) -> float:
        """The end of the window in seconds of the run."""
        if self.window_end is not None:
            return self.window_end
        return self.last_t if self._stated_end is None else self._stated_end

    @property
    def complete(self) -> bool:
        """Whether the record file is whole, or at least the window was closed before it was cut."""
        return self.ended and not self.unreadable

    @property
    def closed(self) -> bool:
        """Whether nothing more can happen inside the window."""
        stated = self._stated_end is not None and self.last_t >= self._stated_end
        if self.unreadable:
            return False
        return stated or ((self.window_end is not None or self.ended) and not self.cut_short)

    # -- streams -----------------------------------------------------------------------------------------------

    def _note(self, number: int, note: Note) -> None:
        if note.what == "unreadable":
            self.unreadable.append(number)
        if note.what in HEALTH:
            value = note.data.get("seconds", 0.0)
            seconds = abs(float(value)) if isinstance(value, int | float) and math.isfinite(value) else 0.0
            self.health.append(
                Health(
                    t=note.t,
                    line=number,
                    what=note.what,
                    text=note.text,
                    seconds=seconds,
                    begin=note.t - seconds,
                    until=math.inf if note.what == "clock-step" else note.t,
                )
            )

    def _answer(self, number: int, record: Action) -> None:
        code, warnings = record.args.get("code"), record.args.get("warnings")
        self.answers.append(
            Answer(
                t=record.t,
                line=number,
                request=str(record.args.get("request") or ""),
                target=record.target,
                code=code if isinstance(code, int) else 0,
                message=str(record.args.get("message") or ""),
                warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
            )
        )

    def _sample(self, number: int, record: Sample) -> None:
        data = record.data
        if record.source == "configz":
            config = data.get("kubeletconfig", data)
            if isinstance(config, Mapping):
                self.configz[record.node] = (number, config)
        elif record.source == "stats/summary":
            self._stats(number, record)
        elif record.source == "process":
            pid = data.get("pid")
            item = (record.t, number, pid if isinstance(pid, int) else None)
            self.processes.setdefault(record.subject, []).append(item)
            row = Row(t=record.t, line=number, node=record.node, data=data)
            self.process_rows.setdefault(record.subject, []).append(row)
        elif record.source in {"ksm", "swap", "meminfo"}:
            row = Row(t=record.t, line=number, node=record.node, data=data)
            self.host_rows.setdefault(record.source, []).append(row)
        elif record.source == "cgroup":
            self._cgroup(number, record)

    def _cgroup(self, number: int, record: Sample) -> None:
        sample = cgroup_sample(number, record)
        if sample is None:
            return
        if record.subject == "/":
            self.node_cgroup.setdefault(record.node, []).append(sample)
            size = limit(record)
            if size is not None and record.node not in self.node_memory:
                self.node_memory.setdefault(record.node, []).append((record.t, size))
            return
        uid = subject_pod(record.subject)
        if uid:
            self.pod_cgroup.setdefault(uid, []).append(sample)

    def _stats(self, number: int, record: Sample) -> None:
        memory = served.dig(record.data, "node", "memory")
        when = self.own(served.maybe_instant(served.dig(memory, "time")), record.t)
        if when is None:
            return
        sample = stats_sample(number, record, when)
        node = record.node or str(served.dig(record.data, "node", "nodeName") or "")
        samples = self.node_stats.setdefault(node, [])
        if sample is not None and not (samples and samples[-1].when.low == when.low):
            samples.append(sample)
