"""The live path judges like the offline path: recordings served as an API, recorded live, imported and judged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.judge.model import Finding, Findings
from harness.records.model import Note
from harness.records.rundir import RunDirectory
from harness.run.importing import import_recording
from harness.run.interrupt import Interrupt
from harness.run.judging import judge_directory
from harness.run.record import Replayed, Request, record
from tests.judge.recorded import CLAIMS, FILES, judged, recording, scenario
from tests.replay_server import Replay


async def live(name: str, runs: Path) -> RunDirectory:
    """Serve a recording and record what is served, with all that a recorder can be given."""
    replay, interrupt = Replay.of(recording(name)), Interrupt()
    async with replay.served() as document:
        request = Request(
            runs=runs,
            kubeconfig=document,
            consoles=True,
            stats_period=0.0,
            probe=replay.probe(),
            listen=replay.wrote,
            replayed=Replayed(started=replay.started, now=replay.now),
        )
        async with asyncio.TaskGroup() as tasks:
            recorded = tasks.create_task(record(request, interrupt=interrupt))
            await replay.play()
            interrupt.request()
        return recorded.result().directory


def bare(finding: Finding) -> dict[str, Any]:
    """A finding without the numbers of its lines, and with times as they are told to people."""
    found: dict[str, Any] = msgspec.to_builtins(finding)
    found.pop("proof", None)
    return found


@pytest.mark.parametrize("name", sorted(FILES))
async def test_a_recording_served_and_recorded_live_is_judged_as_when_imported(
    name: str, tmp_path: Path
) -> None:
    directory = await live(name, tmp_path / "live")
    assert directory.complete
    notes = [r.what for _, r in directory.records() if isinstance(r, Note)]
    assert not {"gap", "lost-sample", "throttled"} & set(notes)

    run = import_recording(directory.path, scenario(name), tmp_path / "imported")
    assert run.provenance.evidence == "real"
    found = judge_directory(RunDirectory.open(run.path), CLAIMS)
    offline: Findings = judged(name)
    assert [bare(f) for f in found.findings] == [bare(f) for f in offline.findings]
    assert (found.valid, found.complete) == (offline.valid, offline.complete)
