"""The live path at a pace of its own judges like the offline path: recordings served 20 times faster, recorded, judged.

tests/run/test_record_replay.py does the same in lock step; here nothing waits for the recorder, watches are closed
meanwhile, and times are as exact as a machine twenty times as slow would have them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.judge.model import Finding, Findings
from harness.records.model import Note
from harness.records.rundir import RunDirectory
from harness.run.importing import import_recording
from harness.run.interrupt import Interrupt
from harness.run.judging import judge_directory
from harness.run.record import Replayed, Request, record
from tests.judge.recorded import CLAIMS, FILES, judged, recording, scenario
from tests.paced_server import WATCH_LIFE, Paced
from tests.recorded_api import FIRST

TIMES_20 = 20.0
STATS = 0.5
"""Seconds of the recording's time between two fetches: a quarter of what is between two samples in it."""
FAST = ("container-oom", "soft-eviction-default-cap")
"""The shortest one without an eviction, and the shortest one with: 30 and 64 s."""
JITTER = 0.5
"""Seconds of the recording's time by which a moment may be told later: 25 ms of the wall's for one delivery."""


async def live(name: str, speed: float, runs: Path) -> tuple[RunDirectory, Paced]:
    """Serve a recording at a pace and record what is served."""
    paced, interrupt = Paced.of(recording(name), speed=speed), Interrupt()
    async with paced.served() as document:
        request = Request(
            runs=runs,
            kubeconfig=document,
            consoles=True,
            stats_period=STATS / speed,
            probe=paced.probe(),
            listen=paced.wrote,
            replayed=Replayed(started=paced.started, now=paced.pace.now),
        )
        async with asyncio.TaskGroup() as tasks:
            recorded = tasks.create_task(record(request, interrupt=interrupt))
            await paced.play()
            interrupt.request()
        return recorded.result().directory, paced


def bare(finding: Finding) -> tuple[str, ...]:
    """What a finding says, without its numbers."""
    return (finding.check, finding.kind, finding.claim, finding.expected, finding.outcome, *finding.subjects)


def numbers(found: Findings) -> list[float]:
    return [n for f in found.findings for n in (f.low, f.high) if n is not None]


CASES = [
    *(pytest.param(n, TIMES_20, marks=() if n in FAST else (pytest.mark.soak,)) for n in sorted(FILES)),
    pytest.param("container-oom", 1.0, marks=(pytest.mark.soak,)),
]


@pytest.mark.parametrize(("name", "speed"), CASES)
async def test_a_recording_served_at_a_pace_is_judged_as_when_imported(
    name: str, speed: float, tmp_path: Path
) -> None:
    directory, paced = await live(name, speed, tmp_path / "live")
    assert directory.complete
    notes = [r.what for _, r in directory.records() if isinstance(r, Note)]
    assert not {"gap", "lost-sample", "throttled"} & set(notes)
    assert (paced.reconnects > 0) == (paced.records[-1].t > WATCH_LIFE + FIRST)

    run = import_recording(directory.path, scenario(name), tmp_path / "imported")
    assert run.provenance.evidence == "real"
    found = judge_directory(RunDirectory.open(run.path), CLAIMS)
    offline: Findings = judged(name)
    assert [bare(f) for f in found.findings] == [bare(f) for f in offline.findings]
    assert (found.valid, found.complete) == (offline.valid, offline.complete)
    assert numbers(found) == pytest.approx(numbers(offline), abs=JITTER, rel=0)
