"""Which scenarios `density run` takes, and how a held run is shown and let go."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from harness.cli import errors
from harness.cli.hold import AtTheKeyboard
from harness.cli.run import Request, find_scenarios, load, run_command
from harness.resources import data_dir
from tests.run.scenarios import HEAD, write

BODY = "requires: [{survives: {fleet: calm}}]\n"
MATRIX = "matrix: {request: [64Mi, 96Mi]}\nrepeats: 2\n"


def names(tmp_path: Path, head: str, **request: object) -> list[str]:
    file = write(tmp_path, BODY, head=head)
    (tmp_path / "agent.yaml").rename(tmp_path / "agent.yml")
    text = file.read_text().replace("agent.yaml", "agent.yml")
    file.write_text(text)
    made = Request(paths=(tmp_path,), **request)  # type: ignore[arg-type]
    return [scenario.name for scenario in load(made)[1]]


def with_matrix() -> str:
    hog = "{name: hog, manifest: agent.yaml, set: {spec.domain.resources.requests.memory: $(request)}}"
    return HEAD.replace("{name: hog, manifest: agent.yaml}", hog) + MATRIX


def test_a_matrix_and_repeats_are_several_runs_of_one_invocation(tmp_path: Path) -> None:
    assert names(tmp_path, with_matrix()) == [
        "squeeze-64mi-r1",
        "squeeze-96mi-r1",
        "squeeze-64mi-r2",
        "squeeze-96mi-r2",
    ]


def test_repeats_may_be_given(tmp_path: Path) -> None:
    assert names(tmp_path, with_matrix(), repeats=1) == ["squeeze-64mi", "squeeze-96mi"]


@pytest.mark.parametrize(("tier", "count"), [("", 0), ("quick", 0), ("full", 1)])
def test_full_scenarios_of_a_directory_are_asked_for(tmp_path: Path, tier: str, count: int) -> None:
    head = HEAD + "tier: full\n"
    if count:
        assert len(names(tmp_path, head, tier=tier)) == count
    else:
        with pytest.raises(errors.UsageError, match="no scenario of tier quick there; --tier full runs all"):
            names(tmp_path, head, tier=tier)


def test_a_full_scenario_that_is_named_runs(tmp_path: Path) -> None:
    file = write(tmp_path, BODY, head=HEAD + "tier: full\n")
    assert len(load(Request(paths=(file,)))[1]) == 1
    with pytest.raises(errors.UsageError):
        load(Request(paths=(file,), tier="quick"))


def test_what_a_run_can_not_be_held_on_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="--hold-on evict is not one of evicted, oom, ended"):
        run_command(Request(paths=(tmp_path,), hold_on="evict"))


async def held(monkeypatch: pytest.MonkeyPatch, typed: bytes, *, interrupt: bool = False) -> list[str]:
    """Hold with a pipe for a keyboard."""
    said: list[str] = []
    read, write_ = os.pipe()
    released = asyncio.Event()
    with os.fdopen(read, encoding="utf-8") as keyboard, os.fdopen(write_, "wb", buffering=0) as fingers:
        monkeypatch.setattr(sys, "stdin", keyboard)
        loop = asyncio.get_running_loop()
        if typed:
            loop.call_later(0.05, fingers.write, typed)
        else:
            loop.call_soon(fingers.close)
        if interrupt:
            loop.call_later(0.2, released.set)
        async with asyncio.timeout(5):
            await AtTheKeyboard(said.append).hold(("kubectl get vmi",), released)
    return said


async def test_enter_lets_a_held_run_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await held(monkeypatch, b"\n"))[0] == "  kubectl get vmi"


async def test_the_end_of_a_pipe_does_not_but_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    began = asyncio.get_running_loop().time()
    said = await held(monkeypatch, b"", interrupt=True)
    assert asyncio.get_running_loop().time() - began >= 0.2
    assert said[-1] == "Ctrl-C takes it down"


def test_suites_are_scenarios_and_registries() -> None:
    suites = data_dir("suites")
    taken = find_scenarios([suites])
    assert {path.name for path in suites.glob("*.yaml")} & {path.name for path in taken} == set()
    for path in taken:
        assert "kind: Scenario" in path.read_text(encoding="utf-8"), path
