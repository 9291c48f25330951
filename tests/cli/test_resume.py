"""`density run --resume`: what counts as run already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cli import errors
from harness.cli.resume import finished, split
from harness.cli.run import Request, find_scenarios, load, run_command
from harness.cli.run import left as to_run
from harness.judge.judge import to_bytes
from harness.judge.model import Finding, Findings
from harness.records.model import Provenance
from harness.records.rundir import RunDirectory
from harness.spec.loader import source_for_run
from harness.spec.model import Scenario
from tests.run.scenarios import HEAD, write

BODY = "requires: [{survives: {fleet: calm}}]\n"
MATRIX = "matrix: {request: [64Mi, 96Mi]}\nrepeats: 2\n"
HOG = "{name: hog, manifest: agent.yaml}"


def scenarios(tmp_path: Path, *overrides: str, body: str = BODY) -> list[Scenario]:
    hog = "{name: hog, manifest: agent.yaml, set: {spec.domain.resources.requests.memory: $(request)}}"
    file = write(tmp_path, body, head=HEAD.replace(HOG, hog) + MATRIX)
    return load(Request(paths=(file,), overrides=overrides))[1]


def ran(
    runs: Path,
    scenario: Scenario,
    *,
    outcome: str = "holds",
    cluster: str = "local",
    judged: bool = True,
    **changes: Any,
) -> RunDirectory:
    made = RunDirectory.create(
        runs,
        Provenance(
            schema=1,
            run="",
            scenario={"name": scenario.name, "title": scenario.title, **source_for_run(scenario.source)},
            cluster=cluster,
            evidence="kernel",
            started="2026-01-01T00:00:00Z",
            outcome="complete",
        ),
    )
    made.update(**changes)
    if judged:
        found = Finding(check="requires/0", kind="survives", expected="", seen="", outcome=outcome)  # type: ignore[arg-type]
        made.write_findings(
            to_bytes(Findings(schema=1, run=made.id, complete=True, valid=True, findings=[found]))
        )
    return made


def left(tmp_path: Path, *overrides: str, cluster: str = "local") -> list[str]:
    return [s.name for s in split(scenarios(tmp_path, *overrides), tmp_path / "runs", cluster)[0]]


def test_only_what_is_missing_is_left(tmp_path: Path) -> None:
    first, _, _, last = scenarios(tmp_path)
    ran(tmp_path / "runs", first)
    ran(tmp_path / "runs", last)
    assert left(tmp_path) == ["squeeze-96mi-r1", "squeeze-64mi-r2"]


def test_a_part_of_the_matrix_counts_for_the_whole(tmp_path: Path) -> None:
    (part,) = scenarios(tmp_path, "matrix.request=[96Mi]", "repeats=1")
    assert part.repeat == 0  # a file of one run has no repeats, and is another
    part, _ = scenarios(tmp_path, "matrix.request=[96Mi]")
    ran(tmp_path / "runs", part)
    assert left(tmp_path) == ["squeeze-64mi-r1", "squeeze-64mi-r2", "squeeze-96mi-r2"]


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "interrupted"},
        {"outcome": "failed"},
        {"outcome": ""},
        {"judged": False},
        {"cluster": "kind"},
        {"control_of": "another"},
    ],
)
def test_what_was_cut_short_or_is_something_else_is_run_again(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    first = scenarios(tmp_path)[0]
    outcome = changes.pop("outcome", "complete")
    ran(tmp_path / "runs", first, **changes).update(outcome=outcome)
    assert len(left(tmp_path)) == 4


def test_another_text_or_setting_is_another_scenario(tmp_path: Path) -> None:
    ran(tmp_path / "runs", scenarios(tmp_path)[0])
    assert len(left(tmp_path, "nodes.target.memory=2Gi")) == 4
    assert len(left(tmp_path, cluster="kind")) == 4
    assert len(left(tmp_path)) == 3


def test_a_run_without_the_control_it_should_have_is_run_again(tmp_path: Path) -> None:
    body = BODY + "control: {nodes.target.memory: 2Gi}\n"
    first = scenarios(tmp_path, body=body)[0]
    made = ran(tmp_path / "runs", first)
    assert finished(tmp_path / "runs") == {}
    made.update(control="its-control")
    assert [d.path for d in finished(tmp_path / "runs").values()] == [made.path]


def test_unreadable_directories_are_no_runs(tmp_path: Path) -> None:
    broken = tmp_path / "runs" / "broken"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{")
    assert finished(tmp_path / "runs") == {}


def test_the_exit_code_is_that_of_all_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for scenario in scenarios(tmp_path):
        ran(tmp_path / "runs", scenario)
    request = Request(paths=(tmp_path / "squeeze.yaml",), runs=tmp_path / "runs", resume=True)
    assert run_command(request) == errors.OK
    assert capsys.readouterr().out.splitlines()[-1] == "4 of 4 done before, 0 to run"
    for scenario in scenarios(tmp_path)[:1]:
        ran(tmp_path / "runs", scenario, outcome="refuted", run="z")
    (tmp_path / "runs" / "later").mkdir()
    newest = max((tmp_path / "runs").glob("*/findings.json"), key=lambda p: p.stat().st_mtime)
    newest.parent.rename(tmp_path / "runs" / "z")
    assert run_command(request) == errors.NOT_SEEN


def test_a_study_runs_only_where_it_is_named() -> None:
    suites = Path(__file__).parents[2] / "suites"
    assert not [p for p in find_scenarios([suites]) if "study" in p.parts]
    assert [p.name for p in find_scenarios([suites / "study"])] == ["density.yaml", "load.yaml"]


def test_a_study_can_be_gone_on_with_bit_by_bit(tmp_path: Path) -> None:
    made = scenarios(tmp_path)
    ran(tmp_path / "runs", made[0])
    request = Request(paths=(), runs=tmp_path / "runs", resume=True, at_most=2)
    assert [s.name for s in to_run(request, made)[0]] == ["squeeze-96mi-r1", "squeeze-64mi-r2"]
    assert [s.name for s in to_run(Request(paths=(), at_most=1), made)[0]] == ["squeeze-64mi-r1"]
