"""One pass over a run's records for everything a report shows: the judge's index, the picture's lanes, touch latencies.

Memory stays bounded however much guests write: of console lines that say nothing, only the last one before each
record of another kind is kept, which is all that dating a death needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.judge.availability import kubelet_config
from harness.judge.console import parse
from harness.judge.judge import timeline_of
from harness.judge.seen import Run
from harness.records import model
from harness.records.errors import RecordsError
from harness.records.rundir import RunDirectory
from harness.report.errors import ReportError
from harness.report.text import clean
from harness.report.timeline import Timeline, TimelineReader
from harness.report.touch import TouchReader
from harness.spec.errors import SpecError
from harness.spec.loader import load_from_source, source_from_run
from harness.spec.model import Scenario

LONGEST = 64 << 20
"""Bytes of one record beyond which a run directory is refused: nothing we write comes near."""
LINE = 4096
"""Characters of a console line that are looked at."""


@dataclass(slots=True)
class Ksm:
    """What the host's KSM did."""

    ran: bool = False
    sharing: int = 0
    """Greatest number of pages that did without memory of their own (`pages_sharing`)."""
    line: int = 0
    cpu_first: float | None = None
    cpu_last: float | None = None
    """Seconds of CPU of ksmd, where the recorder kept them (`ksmdCpu`)."""
    samples: int = 0
    span: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Observed:
    """What one pass over the records yields."""

    run: Run
    timeline: Timeline
    touch: TouchReader
    ksm: Ksm
    problems: list[str] = field(default_factory=list)
    """What is missing or unreadable, in words."""


def scenario_of(provenance: model.Provenance) -> tuple[Scenario, str]:
    """Return the run's scenario, and '' or why it can't be read again (then one without fleets)."""
    try:
        return load_from_source(source_from_run(provenance.scenario)), ""
    except SpecError as error:
        why = f"its scenario can't be loaded again: {clean(str(error), most=300)}"
    except (KeyError, TypeError, ValueError):
        why = "its scenario was not kept in run.json"
    name = str(provenance.scenario.get("name") or provenance.run)
    return Scenario.bare(name), why


def check_sizes(directory: RunDirectory) -> None:
    """Refuse records with a line longer than `LONGEST`. Raises ReportError."""
    path = directory.records_path
    if path.suffix == ".gz" or not path.exists() or path.stat().st_size <= LONGEST:
        return
    length, number = 0, 1
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            first, *more = chunk.split(b"\n")
            length += len(first)
            number += len(more)
            if length > LONGEST:
                raise ReportError(f"{path}: line {number - len(more)} is longer than 64 MiB: not a record")
            length = len(more[-1]) if more else length


def thinned(records: Iterable[tuple[int, model.Record]]) -> Iterator[tuple[int, model.Record]]:
    """Yield records, dropping console lines that say nothing and are followed by more of them."""
    pending: dict[str, tuple[int, model.Guest]] = {}
    for number, record in records:
        if not isinstance(record, model.Guest):
            yield from sorted(pending.values(), key=lambda item: item[0])
            pending.clear()
            yield number, record
            continue
        kept = (
            record if len(record.line) <= LINE else msgspec.structs.replace(record, line=record.line[:LINE])
        )
        if parse(kept.line).word == "other":
            pending[kept.vmi] = (number, kept)
        else:
            if kept.vmi in pending:
                yield pending.pop(kept.vmi)
            yield number, kept
    yield from sorted(pending.values(), key=lambda item: item[0])


def observe(directory: RunDirectory) -> Observed:
    """Read a run directory's records once. Raises ReportError, RecordsError."""
    check_sizes(directory)
    provenance = directory.provenance
    scenario, problem = scenario_of(provenance)
    problems = [problem] if problem else []
    if not directory.records_path.exists():
        problems.append("there is no record file: numbers and pictures are missing")
    try:
        index = timeline_of(provenance, scenario)
    except RecordsError as error:
        raise ReportError(f"{directory.path / 'run.json'}: {error}") from error
    lanes, touch, ksm = TimelineReader(provenance), TouchReader(), Ksm()
    for number, record in thinned(directory.records()):
        index.add(number, record)
        lanes.read(number, record)
        if index.window_end is not None:
            continue
        if isinstance(record, model.Guest):
            touch.add(number, record.vmi, record.line)
        elif isinstance(record, model.Sample) and record.source == "ksm":
            _ksm(ksm, number, record)
    if index.unreadable:
        shown = ", ".join(map(str, index.unreadable[:5]))
        problems.append(f"{len(index.unreadable)} lines are not records (line {shown} …)")
    if lanes.malformed:
        problems.append(
            f"{len(lanes.malformed)} records are not of their kind's shape (line {lanes.malformed[0]} …)"
        )
    run = Run(timeline=index, provenance=provenance, scenario=scenario)

    def settings(node: str) -> Mapping[str, Any]:
        return kubelet_config(index, provenance, scenario, node)

    return Observed(run=run, timeline=lanes.timeline(settings), touch=touch, ksm=ksm, problems=problems)


def _ksm(ksm: Ksm, number: int, record: model.Sample) -> None:
    data: dict[str, Any] = record.data
    ksm.samples += 1
    ksm.span = (ksm.span[0] if ksm.samples > 1 else record.t, record.t)
    ksm.ran = ksm.ran or data.get("run") == 1
    sharing = data.get("pages_sharing")
    if isinstance(sharing, int) and sharing >= ksm.sharing:
        ksm.sharing, ksm.line = sharing, number
    cpu = data.get("ksmdCpu")
    if isinstance(cpu, int | float):
        ksm.cpu_first = cpu if ksm.cpu_first is None else ksm.cpu_first
        ksm.cpu_last = cpu
