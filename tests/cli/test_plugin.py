"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFTEST = """
import harness.cli.scenario_items as items
from harness.run.verdict import Item

def run_for_pytest(loaded, *, cluster, runs):
    print("ran", loaded.scenario.name, cluster, runs)
    return items.Outcome({outcome})

items.run_for_pytest = run_for_pytest
"""
ITEMS = (
    "items=(Item(name='HARD-2a', result='pass', text='differs: 2 s'), Item(name='HARD-2b', result='skip', "
    "text='not observable: no kvm'), Item(name='requires/0', result='fail', text='refuted: nobody was evicted')),"
    "directory='runs/x'"
)
SCENARIO = """
apiVersion: density/v1
kind: Scenario
metadata: {name: tiny, title: Tiny}
nodes: [{name: target, memory: 1Gi}]
fleet: [{name: hog, manifest: manifests/agent.yaml}]
promises:
  - {claim: HARD-2a, grace: {of: victim, max: 0s}}
  - {claim: HARD-2b, shutdown: {of: victim, clean: false}}
requires:
  - evicted: {from: [hog], count: 1}
"""
MANIFEST = """
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: agent}
spec: {domain: {devices: {}, memory: {guest: 256Mi}}}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "agent.yaml").write_text(MANIFEST)
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    (tmp_path / "claims.yaml").write_text("apiVersion: density/v1\nkind: Claims\n")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n")
    return tmp_path


def run_pytest(where: Path, *arguments: str, outcome: str = ITEMS) -> subprocess.CompletedProcess[str]:
    (where / "conftest.py").write_text(CONFTEST.format(outcome=outcome))
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
            "-p",
            "no:asyncio",
            "-rsf",
            *arguments,
        ],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_each_claim_and_requirement_is_a_test_of_one_run(suite: Path) -> None:
    done = run_pytest(
        suite,
        "-vs",
        "--density-cluster=kind",
        "--density-runs-dir=there",
        "--density-set=metadata.name=renamed",
        "--junitxml=j.xml",
    )
    assert done.returncode == 1
    assert "::HARD-2a " in done.stdout
    assert done.stdout.count("ran renamed kind there") == 1
    assert "2 passed, 1 skipped" in done.stdout.replace("1 failed, ", "")
    assert "not observable: no kvm" in done.stdout
    assert "refuted: nobody was evicted\nrun: runs/x" in done.stdout
    junit = (suite / "j.xml").read_text()
    assert 'name="HARD-2a"' in junit
    assert '<property name="seen" value="differs: 2 s"' in junit


def test_a_run_that_could_not_be_made_fails_every_item_with_its_reason(suite: Path) -> None:
    done = run_pytest(suite, "tiny.yaml", outcome="error='no QEMU: apt-get install qemu-system-x86'")
    assert "3 failed" in done.stdout
    assert "no QEMU: apt-get install qemu-system-x86" in done.stdout


def test_an_interrupted_run_ends_the_session_with_130(suite: Path) -> None:
    done = run_pytest(suite, "tiny.yaml", outcome="interrupted='the run was interrupted'")
    assert done.returncode == 130


def test_a_bad_scenario_is_a_collection_error_with_its_place(suite: Path) -> None:
    (suite / "tiny.yaml").write_text(SCENARIO.replace("promises:", "promisses:"))
    done = run_pytest(suite, "tiny.yaml")
    assert done.returncode == 2
    assert "tiny.yaml:7:1: unknown key 'promisses'" in done.stdout
    assert "Traceback" not in done.stdout


def test_other_runs_are_left_alone(suite: Path) -> None:
    done = run_pytest(suite, "test_mine.py", "-q")
    assert done.returncode == 0
    code = "import sys, harness.cli.pytest_plugin; print([m for m in sys.modules if m.startswith('harness.') and 'cli' not in m])"
    seen = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
