"""`density why` on run directories and recordings, and what it says when asked for what is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import errors
from harness.cli.main import app
from harness.cli.why_cmd import look_at
from harness.embedded.cluster import EmbeddedCluster
from harness.explain.why import why
from harness.explain.why_served import records
from harness.run.importing import import_recording
from tests.embedded.fakes import FakeMachine
from tests.embedded.scene import Scene, manifest, mi
from tests.judge.recorded import ROOT, recording, scenario


def answer(*args: str) -> str:
    result = CliRunner().invoke(app, ["why", *args], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_a_run_directory_by_path_and_by_id(tmp_path: Path) -> None:
    run = import_recording(recording("soft-eviction"), scenario("soft-eviction"), tmp_path)
    by_path = answer(str(run.path))
    assert by_path.startswith("default/hog-2: soft-eviction\n")
    assert "The kubelet's configuration is as stated for this recording" in by_path
    assert answer(run.id, "--runs-dir", str(tmp_path)) == by_path
    assert answer("soft-eviction", "hog-2", "--runs-dir", str(tmp_path)) == by_path


def test_a_run_directory_whose_scenario_cannot_be_read_any_more(tmp_path: Path) -> None:
    run = import_recording(recording("hard-eviction-pods"), scenario("hard-eviction-pods"), tmp_path)
    run.update(scenario={"path": "gone.yaml", "text": "kind: [", "files": {}, "set": []})
    assert answer(str(run.path)).startswith("default/hog-a: hard-eviction\n")


def test_a_recording_with_what_is_stated_of_it() -> None:
    file = str(recording("soft-eviction"))
    assert answer(file).startswith("default/hog-2: soft-eviction (inferred)\n")
    stated = str(ROOT / "suites" / "recorded" / "soft-eviction.yaml")
    assert answer(file, "--scenario", stated).startswith("default/hog-2: soft-eviction\n")


def test_one_vmi_as_json() -> None:
    data = json.loads(answer(str(recording("hard-eviction")), "default/calm", "-o", "json"))
    assert (data["dead"], [post["cause"] for post in data["alive"]]) == ([], ["alive"])
    assert data["evidence"] == "real"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nowhere",), "nowhere: no such run"),
        (
            (str(recording("hard-eviction")), "hog-9"),
            "hog-9: no VMI of that name in this run; there are default/calm",
        ),
        (("a/b", "c", "--kubeconfig", "k"), "--kubeconfig takes one NAMESPACE/NAME"),
        (("a/", "--kubeconfig", "k"), "NAMESPACE/NAME of a VMI is wanted"),
    ],
)
def test_what_is_not_there(args: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["why", *args])
    assert isinstance(result.exception, errors.UsageError)
    code, message = errors.explain(result.exception)
    assert code == 2
    assert said in message


async def test_our_own_api_server_is_asked_like_any_other(tmp_path: Path) -> None:
    machine = FakeMachine()
    async with machine, EmbeddedCluster(machine, cpus=8) as cluster:
        await cluster.add_node("n", mi(2048), {"evictionHard": {"memory.available": "300Mi"}})
        s = Scene(cluster, machine)
        s.create(manifest("vm"))
        await s.until_phase("vm", "Running")
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(cluster.server.kubeconfig_yaml, encoding="utf-8")
        looked = await look_at(kubeconfig, None, "default")
        now = cluster.clock.now()
    assert looked.missing == []
    report = why(*records(looked, now=now), vmi="vm", served_now=True)
    assert (report.evidence, report.dead, [post.subject for post in report.alive]) == (
        "kernel",
        (),
        ["default/vm"],
    )
