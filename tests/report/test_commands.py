"""`density report`, `compare` and `site` as people type them."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import errors
from harness.cli.main import app
from harness.cli.site_cmd import build
from harness.records.rundir import RunDirectory
from harness.report.errors import ReportError
from harness.spec.loader import load_scenario, source_for_run
from tests.report import directories as made

ROOT = Path(__file__).parents[2]


def density(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(w) for w in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def runs(root: Path, count: int, *, held: int, fit: int = 4) -> Path:
    """A set of runs; `held` shifts nothing but how many are evicted."""
    for n in range(count):
        made.write(root, made.fleet(fit, taken=held), run=f"20260101T00000{n}Z-made-local-{held:06}")
    return root


def test_report_writes_the_forms_asked_for_where_asked(tmp_path: Path) -> None:
    run = made.write(tmp_path / "runs", made.fleet(2, taken=1))
    code, said = density("report", run, "--form", "csv", "--form", "json", "--into", tmp_path / "out")
    assert code == 0
    out = tmp_path / "out" / run.name
    assert sorted(p.name for p in out.iterdir()) == ["report.csv", "report.json"]
    assert str(out / "report.csv") in said
    assert not (run / "report.csv").exists()
    assert json.loads((out / "report.json").read_text())["schema"] == 1


def test_a_run_that_was_never_judged_is_a_usage_error(tmp_path: Path) -> None:
    run = made.write(tmp_path, made.fleet(2))
    (run / "findings.json").unlink()
    with pytest.raises(ReportError) as caught:
        density("report", run)
    assert errors.explain(caught.value)[0] == 2


def test_compare_prints_and_writes(tmp_path: Path) -> None:
    sets = runs(tmp_path / "runs", 5, held=1)
    code, said = density("compare", sets, "--by", "cluster", "--into", tmp_path / "out")
    assert code == 0
    assert "VMIs that fit" in said
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "comparison.csv",
        "comparison.html",
        "comparison.json",
        "comparison.md",
    ]


CURVE = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: curve, title: A curve}
matrix: {share: [few, most]}
nodes: [{name: target, memory: "1024Mi"}]
fleet: [{name: few, match: {names: [vm-0]}}, {name: most, match: {names: [vm-1]}}]
requires: [{survives: {fleet: $(share)}}]
"""


def test_an_axis_of_the_matrix_makes_groups(tmp_path: Path) -> None:
    (tmp_path / "curve.yaml").write_text(CURVE)
    for share, taken in (("few", 0), ("most", 2)):
        source = load_scenario(tmp_path / "curve.yaml", matrix={"share": share}).source
        name = f"20260101T000000Z-curve-{share}-local-abc123"
        made.write(tmp_path / "runs", made.fleet(4, taken=taken), scenario=source_for_run(source), run=name)
    code, said = density(
        "compare", tmp_path / "runs", "--by", "share", "--to", "few", "--into", tmp_path / "out"
    )
    assert code == 0
    assert said.startswith("by share, 2 runs; reference: few\n")
    groups = json.loads((tmp_path / "out" / "comparison.json").read_text())["groups"]
    assert [group["name"] for group in groups] == ["few", "most"]
    with pytest.raises(
        ReportError, match=r"--by sahre: curve-few has no such axis; one of technique, .*, share$"
    ):
        density("compare", tmp_path / "runs", "--by", "sahre")


def test_a_regression_against_a_baseline_set_exits_1_and_an_improvement_0(tmp_path: Path) -> None:
    good, bad = runs(tmp_path / "good", 6, held=0), runs(tmp_path / "bad", 6, held=3)
    code, said = density("compare", bad, "--against", good)
    assert code == 1
    assert "regression: baseline: VMIs that survive the load: −75 %" in said.replace("\n", " ")
    assert density("compare", good, "--against", bad)[0] == 0


def test_a_control_is_left_out_of_a_directory_of_runs(tmp_path: Path) -> None:
    sets = runs(tmp_path, 2, held=1)
    first = RunDirectory.open(min(sets.iterdir()))
    first.update(control_of="another")
    assert "1 runs" in density("compare", sets)[1]


def test_site_takes_kept_runs_judges_them_anew_and_says_what_is_stale(tmp_path: Path) -> None:
    (tmp_path / "suites" / "recorded").mkdir(parents=True)
    for name in ("page.md", "claims.yaml"):
        shutil.copy(ROOT / "suites" / name, tmp_path / "suites")
    scenario = load_scenario(ROOT / "suites" / "road" / "hard-eviction.yaml")
    made.write(
        tmp_path / "reports" / "data",
        [
            *(made.vmi(0.1, name, "Running") for name in ("small-request", "large-request", "bystander")),
            *(made.cgroup(t, "/", 1024 - available) for t, available in ((1, 500), (12, 300), (18, 150))),
            made.evicted(20.5, "small-request"),
        ],
        scenario=source_for_run(scenario.source),
        run="20260101T000000Z-kept",
    )
    kept = tmp_path / "reports" / "data" / "20260101T000000Z-kept"
    (kept / "records.ndjson.gz").write_bytes(gzip.compress((kept / "records.ndjson").read_bytes(), mtime=0))
    (kept / "records.ndjson").unlink()
    (kept / "findings.json").unlink()
    pages = build(tmp_path)
    assert sorted(pages) == [
        "docs/upstream.md",
        "reports/README.md",
        "reports/index.html",
        "reports/runs/20260101T000000Z-kept.html",
    ]
    assert "✓ HARD-5" not in pages["reports/README.md"], "the kernel alone does not settle it"
    assert "~ HARD-5 unsettled (indicates holds)" in pages["reports/README.md"]
    assert (
        "zcat reports/data/20260101T000000Z-kept/records.ndjson.gz"
        in pages["reports/runs/20260101T000000Z-kept.html"]
    )
    assert density("site", "--root", tmp_path, "--check")[0] == 1
    assert density("site", "--root", tmp_path)[0] == 0
    assert density("site", "--root", tmp_path, "--check")[0] == 0
    (tmp_path / "reports" / "runs" / "gone.html").write_text("")
    assert "not current: reports/runs/gone.html" in density("site", "--root", tmp_path, "--check")[1]
    with pytest.raises(errors.UsageError, match="not a checkout"):
        density("site", "--root", tmp_path / "reports")


EVIL = "b<img src=x onerror=alert(1)>\x1b[31m"


def test_a_hostile_name_of_a_run_directory_is_printed_without_control_characters(tmp_path: Path) -> None:
    run = made.write(tmp_path / "runs", made.fleet(2, taken=1)).rename(tmp_path / EVIL)
    for words in (("report", run), ("report", run, "--into", tmp_path / "out"), ("compare", run)):
        code, said = density(*words)
        assert code == 0
        assert "\x1b" not in said
    said = density("runs", "--runs-dir", tmp_path)[1]
    assert "alert(1)" in said
    assert "\x1b" not in said
    with pytest.raises(errors.UsageError, match="no such run"):
        density("report", "**", "--runs-dir", tmp_path / "runs")
    with pytest.raises(errors.UsageError, match="its name is no run id"):
        density("site", "--root", ROOT, "--add", run)
    assert not (ROOT / "reports" / "data" / EVIL).exists()


def newer(run: Path) -> None:
    data = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(data | {"schema": 99}))


def no_file(run: Path) -> None:
    (run / "records.ndjson").unlink()
    (run / "records.ndjson").mkdir()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda run: (run / "run.json").unlink(), "not a run directory: no run.json in it"),
        (lambda run: (run / "run.json").write_bytes(b"\xff\xfe{"), "run.json"),
        (newer, "use a newer kubevirt-density"),
        (no_file, "records.ndjson: not a file"),
    ],
)
@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_broken_run_directory_is_one_line_and_exit_2(
    tmp_path: Path, command: str, harm: Callable[[Path], object], said: str
) -> None:
    run = made.write(tmp_path / "runs", made.fleet(2))
    harm(run)
    with pytest.raises(Exception, match=said) as caught:
        density(command, run)
    code, message = errors.explain(caught.value)
    assert code == 2
    assert "\n" not in message
