"""The command line as a process: help at once, one line for each error, the right exit code."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import main

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "recordings"


def density(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(cwd / "state"), **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_help_is_instant_and_imports_nothing_heavy(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = density("--help", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "Commands:" in done.stdout
    assert (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6
    )  # 0.3 s, on a busy machine
    code = (
        "import sys; import harness.cli.main;"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'kubernetes','rich','numpy','aiohttp','matplotlib','structlog'}))"
    )
    seen = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "nothing.yaml"], 2, "density: nothing.yaml:1:1: no such file"),
        (["run", "empty"], 2, "density: empty: no scenario files (*.yaml) in it"),
        (["run", "bad.yaml"], 2, "density: bad.yaml:3:1: unknown key 'fleets'"),
        (["run", "--cluster", "moon", "bad.yaml"], 2, "'moon' is not one of"),
        (
            ["run", str(ROOT / "suites" / "recorded" / "hard-eviction.yaml")],
            2,
            "use: density import RECORDING",
        ),
        (
            [
                "run",
                str(ROOT / "suites" / "road" / "hard-eviction.yaml"),
                "--set",
                "nodes.target.memory=256Mi",
            ],
            2,
            "preflight:",
        ),
        (["run"], 2, "density: missing argument 'PATH…'"),
        (["replay", "nothing"], 2, "density: nothing: no such run"),
        (["report", "nothing"], 2, "density: nothing: no such run"),
        (
            ["import", "nothing.ndjson", "--scenario", "bad.yaml"],
            2,
            "density: nothing.ndjson: no such recording",
        ),
        (["fly"], 2, "density: no such command 'fly'"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.yaml").write_text("apiVersion: density/v1\nkind: Scenario\nfleets: []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["density", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not out
    assert not (tmp_path / "runs").exists()


def test_a_recording_is_imported_judged_and_judged_again_to_the_same_bytes(tmp_path: Path) -> None:
    done = density(
        "import",
        str(RECORDINGS / "kind-1.36-kubevirt-hard-eviction.ndjson.gz"),
        "--scenario",
        str(ROOT / "suites" / "recorded" / "hard-eviction.yaml"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    before = (run / "findings.json").read_bytes()
    (run / "findings.json").unlink()
    again = density("replay", run.name, cwd=tmp_path, TZ="Asia/Kathmandu", LC_ALL="C", PYTHONHASHSEED="7")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (run / "findings.json").read_bytes() == before
    assert {"report.html", "report.md", "junit.xml"} <= {p.name for p in run.iterdir()}
    listed = density("runs", cwd=tmp_path)
    assert run.name in listed.stdout
    assert "real" in listed.stdout


def test_clean_with_nothing_to_clean_says_so(tmp_path: Path) -> None:
    done = density("clean", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "nothing to clean\n")


def test_doctor_tells_and_mends(tmp_path: Path) -> None:
    done = density("doctor", cwd=tmp_path)
    assert done.returncode in {0, 3}
    for name in ("cgroup-write", "cgroup-v2", "kvm", "ksm", "swap", "qemu"):
        assert name in done.stdout
