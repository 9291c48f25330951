"""The recordings of real clusters and their scenarios, imported once."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from harness.judge.judge import judge
from harness.judge.model import Findings
from harness.records.model import Provenance, Record
from harness.run.importing import import_recording
from harness.spec.claims import load_claims
from harness.spec.loader import load_scenario
from harness.spec.model import Scenario

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "recordings"
SCENARIOS = ROOT / "suites" / "recorded"
FILES = {
    "hard-eviction-pods": "kind-1.36-hard-eviction-pods",
    **{
        name: f"kind-1.36-kubevirt-{name}"
        for name in (
            "hard-eviction",
            "soft-eviction",
            "load-without-crossing",
            "hard-eviction-deaf",
            "deaf-vmi-stays-running",
            "daemon-evicts-guaranteed",
            "soft-eviction-default-cap",
            "vm-always-evicted",
            "container-oom",
            "reserved",
            "ksm-by-kubevirt",
        )
    },
}
"""Scenario → recording."""
CLAIMS = load_claims(ROOT / "suites" / "claims.yaml")


def recording(name: str) -> Path:
    """The file of a recording."""
    return RECORDINGS / f"{FILES[name]}.ndjson.gz"


@cache
def scenario(name: str) -> Scenario:
    """The scenario written for a recording."""
    return load_scenario(SCENARIOS / f"{name}.yaml", claims=CLAIMS)


@cache
def imported(name: str) -> tuple[Provenance, tuple[tuple[int, Record], ...]]:
    """A recording as a run of ours."""
    with tempfile.TemporaryDirectory() as root:
        run = import_recording(recording(name), scenario(name), Path(root))
        return run.provenance, tuple(run.records())


def judged(name: str, records: tuple[tuple[int, Record], ...] | None = None) -> Findings:
    """The findings of a recording, or of an altered one."""
    provenance, whole = imported(name)
    return judge(provenance, whole if records is None else records, scenario(name), CLAIMS)
