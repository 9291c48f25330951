"""Deadlines end programs with everything they started, however far that has gone from them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cluster.kind.processes import (
    Call,
    CallError,
    CallTimeout,
    family,
    last_words,
    run,
    run_blocking,
    streaming,
)
from tests.cluster.kind.world import alive, until

RUNAWAYS = (
    "sleep 3607.25 & setsid sleep 3608.25 & (setsid sh -c 'sleep 3609.25' &) ; trap '' TERM; sleep 3610.25"
)


def runaways() -> list[int]:
    return [pid for number in (3607.25, 3608.25, 3609.25, 3610.25) for pid in alive(f"sleep {number}")]


async def test_nothing_is_left_after_a_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(CallTimeout, match=r"^sh did not end within 0.4 s; it was stopped$"):
        await run(Call(arguments=["sh", "-c", RUNAWAYS], seconds=0.4))
    assert time.monotonic() - began < 5.0
    assert runaways() == []


def test_nothing_is_left_after_a_deadline_without_a_loop() -> None:
    with pytest.raises(CallTimeout):
        run_blocking(Call(arguments=["sh", "-c", RUNAWAYS], seconds=0.4))
    assert runaways() == []


async def test_cancelling_ends_the_tree() -> None:
    task = asyncio.create_task(run(Call(arguments=["sh", "-c", RUNAWAYS], seconds=60.0)))
    await until(lambda: len(runaways()) == 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runaways() == []


async def test_cancelling_while_it_is_being_started_ends_the_tree_too() -> None:
    """Found under load: the loop was busy while the program already ran."""
    for _ in range(3):
        task = asyncio.create_task(run(Call(arguments=["sh", "-c", RUNAWAYS], seconds=60.0)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        end = time.monotonic() + 10.0
        while len(runaways()) < 4 and time.monotonic() < end:
            time.sleep(0.01)  # noqa: ASYNC251
        task.cancel()
        async with asyncio.timeout(15):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert runaways() == []


async def test_output_that_a_grandchild_keeps_open_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.kind.processes.LEFT_OPEN", 0.1)
    text = await run(Call(arguments=["sh", "-c", "sleep 30 & echo $!"], seconds=20.0))
    os.kill(int(text), signal.SIGKILL)


async def test_input_reaches_the_program_and_output_comes_back() -> None:
    assert await run(Call(arguments=["cat"], seconds=5.0, stdin=b"x" * 300_000)) == "x" * 300_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nonexistent/kind"], "/nonexistent/kind: No such file or directory"),
        (["sh", "-c", "echo oops >&2; exit 3"], "sh: oops"),
        (["sh", "-c", "exit 3"], "sh: exit code 3"),
        (["sh", "-c", "kill -9 $$"], "sh: ended by signal 9"),
    ],
)
async def test_failures_are_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(CallError) as caught:
        await run(Call(arguments=arguments, seconds=5.0))
    assert str(caught.value) == message
    with pytest.raises(CallError) as caught:
        run_blocking(Call(arguments=arguments, seconds=5.0))
    assert str(caught.value) == message


async def test_a_binary_of_another_architecture_is_called_that(tmp_path: Path) -> None:
    program = tmp_path / "kind"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(200))
    program.chmod(0o755)
    with pytest.raises(CallError, match="not a program for this machine's architecture"):
        await run(Call(arguments=[str(program)], seconds=5.0))


def test_the_line_that_says_most_is_chosen() -> None:
    said = (
        'Creating cluster "x" ...\n ✗ Ensuring node image\n'
        'ERROR: failed to create cluster: failed to pull image "kindest/node:v9": exit status 1\n'
        "Command Output: Error response from daemon: manifest unknown\n"
        "CalledProcessError: Command '['kind']' returned non-zero exit status 1.\n"
    )
    assert last_words(said, "", 1) == (
        'ERROR: failed to create cluster: failed to pull image "kindest/node:v9": exit status 1 '
        "Command Output: Error response from daemon: manifest unknown"
    )


async def test_a_stream_is_read_while_it_runs_and_ends_with_its_input() -> None:
    program = "read -r _ <&0 & wait; true"
    call = Call(arguments=["sh", "-c", f"echo one; exec cat; {program}"], seconds=2.0)
    async with streaming(call) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"one\n"
    assert process.returncode == 0


async def test_a_stream_that_does_not_end_is_ended() -> None:
    call = Call(arguments=["sh", "-c", "setsid sleep 3611.25 & sleep 3612.25"], seconds=0.1)
    async with streaming(call):
        await asyncio.sleep(0.2)
    assert alive("sleep 3611.25") == []
    assert alive("sleep 3612.25") == []


def test_the_blocking_child_ends_with_its_parent(tmp_path: Path) -> None:
    """SIGKILL of the harness: nobody is left to end the child, so it ends itself and what it started."""
    kind = tmp_path / "kind"
    kind.write_text("#!/bin/sh\nexec sleep 3613.25\n")
    kind.chmod(0o755)
    stand_in = tmp_path / "pytest_kind"
    stand_in.mkdir()
    (stand_in / "__init__.py").write_text(
        "import subprocess\nclass KindCluster:\n"
        "    def __init__(self, *a, kind_path, **k): self.kind = kind_path\n"
        "    def create(self, config_file): subprocess.run([str(self.kind)])\n"
    )
    asked = (
        b'{"do": "create", "name": "n", "kubeconfig": "k", "kind": "%s", "kubectl": "k", "config": "c"}\n'
        % str(kind).encode()
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "harness.cluster.kind.blocking"],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"},
    )
    assert child.stdin is not None
    child.stdin.write(asked)
    child.stdin.flush()
    end = time.monotonic() + 10
    while not alive("sleep 3613.25") and time.monotonic() < end:
        time.sleep(0.02)
    assert alive("sleep 3613.25")
    child.stdin.close()
    assert child.wait(5) == -signal.SIGKILL
    time.sleep(0.1)
    assert alive("sleep 3613.25") == []


def test_a_family_is_a_group_and_those_with_the_token() -> None:
    with subprocess.Popen(["sleep", "30"], env={**os.environ, "DENSITY_CALL": "feed"}) as child:
        try:
            time.sleep(0.05)
            assert list(family(0x7FFFFFF0, "feed")) == [child.pid]
            assert list(family(0x7FFFFFF0, "fee")) == []
        finally:
            child.kill()
