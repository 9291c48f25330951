"""The study in small: one guest that fits, interrupted, gone on with, and found done."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.driver import ROOT, Place

pytestmark = [pytest.mark.guest, pytest.mark.timeout(300), pytest.mark.usefixtures("limits")]

# 1 GiB without 250Mi: 774 MiB, so one VMI of 577 MiB fits, and the second finds no node.
SMALL = (
    "run",
    ROOT / "suites" / "study" / "density.yaml",
    "--resume",
    "--set=matrix.technique=[baseline]",
    "--set=repeats=2",
    "--set=nodes.target.memory=1Gi",
    "--set=fleet.guest.count=3",
    "--set=workload.load.plateau.for=1s",
    "--set=workload.load.plateau.rate=50Mi/s",
)


def actions(run: Path, what: str) -> list[dict[str, object]]:
    records = [json.loads(line) for line in (run / "records.ndjson").read_bytes().splitlines()]
    return [r for r in records if r["stream"] == "action" and r["what"] == what]


def test_a_study_is_interrupted_gone_on_with_and_found_done(here: Place) -> None:
    started = here.start(*SMALL)
    started.until("running the workload", within=90)
    started.send(signal.SIGINT)
    assert started.wait(within=60).code == 130

    done = here.density(*SMALL, "--at-most", "1", within=120)
    assert done.code == 0, done
    assert "0 of 2 done before, 2 to run" in done.out
    cut, whole = here.run_directories()
    assert json.loads((cut / "run.json").read_text())["outcome"] == "interrupted"
    (over,) = actions(whole, "fill-over")
    args = over["args"]
    assert isinstance(args, dict)
    assert (args["fitted"], str(args["why"])[:44]) == (1, "0/1 nodes are available: 1 Insufficient memo")

    again = here.density(*SMALL, "--at-most", "1", within=120)
    assert "1 of 2 done before, 1 to run" in again.out
    last = here.density(*SMALL, within=60)
    assert last.code == 0
    assert "2 of 2 done before, 0 to run" in last.out
    assert len(here.run_directories()) == 3
    assert here.left() == []

    compared = here.density("compare", here.runs / whole.name, "--where", "load=90%", within=60)
    assert "VMIs that fit: 1 in every run" in compared.out, compared
