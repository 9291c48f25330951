"""The command: output on standard output, one line per mistake on standard error, exit codes, speed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from harness.cli.explain_cmd import explain

_APP = typer.Typer(add_completion=False)
_APP.command()(explain)
_AGENT = Path(__file__).parents[2] / "suites" / "manifests" / "agent.yaml"


def _run(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(_APP, list(args), input=stdin)


def _vmi(tmp_path: Path, name: str = "a.yaml", *, guest: str = "128Mi", devices: str = "{}") -> Path:
    path = tmp_path / name
    path.write_text(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: a}\n"
        f"spec:\n  domain:\n    devices: {devices}\n    memory: {{guest: {guest}}}\n",
        encoding="utf-8",
    )
    return path


def test_table(tmp_path: Path) -> None:
    result = _run(str(_vmi(tmp_path)))
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "compute            main     416Mi" in result.stdout


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_data(tmp_path: Path, output: str) -> None:
    result = _run(str(_vmi(tmp_path)), "-o", output, "--kubevirt-version", "v1.9", "--node-memory", "2Gi")
    assert result.exit_code == 0
    (item,) = json.loads(result.stdout) if output == "json" else yaml.safe_load(result.stdout)
    assert item["admission"] == {"allowed": True, "message": "", "warnings": [], "status": None}
    assert item["pod"]["spec"]["containers"][0]["resources"]["requests"]["memory"] == "396Mi"
    assert item["pod"]["status"] == {"qosClass": "Burstable"}
    assert item["fit"]["count"] == 4
    assert {"term": "qemu", "bytes": 31457280} in item["overhead"]


def test_a_mistake_exits_2_and_the_answer_is_still_there(tmp_path: Path) -> None:
    good, bad = _vmi(tmp_path), _vmi(tmp_path, "b.yaml", devices="{autottachGraphicsDevice: false}")
    result = _run(str(good), str(bad), "-o", "json")
    assert result.exit_code == 2
    assert [item["admission"]["allowed"] for item in json.loads(result.stdout)] == [True, False]
    assert result.stderr.splitlines() == [
        (
            f'{bad}:6:15: unknown field "spec.domain.devices.autottachGraphicsDevice" '
            "(did you mean 'autoattachGraphicsDevice'?)"
        )
    ]


def test_standard_input(tmp_path: Path) -> None:
    result = _run("-", stdin=_vmi(tmp_path).read_text(encoding="utf-8"))
    assert result.exit_code == 0
    assert "<stdin>" in result.stdout
    empty = _run("-", stdin="")
    assert empty.exit_code == 2
    assert empty.stderr == "<stdin>:1:1: the file is empty\n"


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "cr.yaml").write_text("developerConfiguration: {memoryOvercommit: 200}\n", encoding="utf-8")
    (tmp_path / "kubelet.yaml").write_text("evictionHard: {nodefs.available: 0%}\n", encoding="utf-8")
    result = _run(
        str(_vmi(tmp_path, guest="1Gi")),
        "--kubevirt-config",
        str(tmp_path / "cr.yaml"),
        "--kubelet-config",
        str(tmp_path / "kubelet.yaml"),
    )
    assert result.exit_code == 0
    assert "800Mi" in result.stdout
    assert "! HARD-1b" in result.stdout


def test_a_quoted_percentage(tmp_path: Path) -> None:
    config = tmp_path / "cr.yaml"
    config.write_text('developerConfiguration: {memoryOvercommit: "150"}\n', encoding="utf-8")
    result = _run(str(_vmi(tmp_path)), "--kubevirt-config", str(config))
    assert result.exit_code == 2
    assert "! IMPL-4" in result.stdout
    assert result.stderr.startswith(
        f"{config}:1:44: developerConfiguration.memoryOvercommit must be of type integer"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--node-memory", "8GiB"], "--node-memory '8GiB' is no quantity"),
        (["--node-memory", "-8Gi"], "--node-memory '-8Gi' must be more than 0"),
        (["--node-swap", "0"], "--node-swap '0' must be more than 0"),
        (
            ["--kubevirt-version", "v1.2"],
            "no KubeVirt version column 'v1.2'; known are v1.6, v1.7, v1.8, v1.9, main",
        ),
        (["--diff"], "--diff takes two manifests, not 1"),
    ],
)
def test_bad_options(tmp_path: Path, args: list[str], message: str) -> None:
    result = _run(str(_vmi(tmp_path)), *args)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"density explain: {message}")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_a_kubelet_that_would_not_start(tmp_path: Path) -> None:
    config = tmp_path / "k.yaml"
    config.write_text("evictionHard: {memory.availible: 1Gi}\n", encoding="utf-8")
    result = _run(str(_vmi(tmp_path)), "--kubelet-config", str(config))
    assert result.exit_code == 2
    assert result.stderr == (
        f"density explain: {config}: the kubelet would not start: unsupported eviction signal memory.availible\n"
    )


def test_missing_files(tmp_path: Path) -> None:
    result = _run(str(tmp_path / "nobody.yaml"))
    assert result.exit_code == 2
    assert "nobody.yaml:1:1: no such file" in result.stderr


def test_diff(tmp_path: Path) -> None:
    headless = _vmi(tmp_path, "b.yaml", devices="{autoattachGraphicsDevice: false}")
    result = _run("--diff", str(_vmi(tmp_path)), str(headless))
    assert result.exit_code == 0
    assert "compute memory request" in result.stdout
    assert "-32Mi" in result.stdout
    rows = json.loads(_run("--diff", str(_vmi(tmp_path)), str(headless), "-o", "json").stdout)
    assert {"what": "fit", "before": 18, "after": 19, "delta": 1} in rows


def test_a_thousand_manifests_would_take_less_than_two_seconds(tmp_path: Path) -> None:
    text = _AGENT.read_text(encoding="utf-8")
    paths = []
    for index in range(250):
        path = tmp_path / f"{index}.yaml"
        path.write_text(text.replace("256Mi", f"{256 + index}Mi"), encoding="utf-8")
        paths.append(str(path))
    _run(paths[0])

    def once() -> float:
        started = time.process_time()
        assert _run(*paths).exit_code == 0
        return time.process_time() - started

    # the better of two: counters of a shared machine read high, never low
    assert min(once(), once()) < 2.0 / 4
