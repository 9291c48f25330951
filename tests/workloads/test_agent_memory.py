"""What the agent holds, checked from outside it."""

from __future__ import annotations

import itertools
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workloads.agent import HostAgent, fields

CAPACITY = 96 << 20
MIB = 1 << 20
PAGE = 4096


@pytest.fixture
def talk(agent: Path) -> Iterator[HostAgent]:
    with HostAgent(agent, "--capacity", str(CAPACITY)) as host:
        yield host


def anonymous(agent: HostAgent) -> int:
    """Bytes of anonymous memory of the process, as the host's kernel counts them."""
    text = Path(f"/proc/{agent.process.pid}/smaps_rollup").read_text()
    return int(text.split("\nAnonymous:")[1].split()[0]) * 1024


def test_grow_and_shrink_hold_exactly_what_was_asked(talk: HostAgent) -> None:
    talk.stat()  # buffers of its own are touched
    before = anonymous(talk)
    for step, (verb, to, pages) in enumerate(
        [
            ("grow", 1, 1),
            ("grow", 4096, 1),
            ("grow", 4097, 2),
            ("grow", 33 * MIB + 5, 33 * 256 + 1),
            ("grow", 33 * MIB + 5, 33 * 256 + 1),
            ("shrink", 20 * MIB + 4095, 20 * 256 + 1),
            ("grow", 21 * MIB, 21 * 256),
            ("shrink", 0, 0),
        ],
        start=1,
    ):
        assert fields(talk.ask(f"{step} {verb} to={to}"))["held"] == to
        stat = talk.stat()
        assert (stat["held"], stat["resident"]) == (to, pages * PAGE)
        assert (
            abs(anonymous(talk) - before - pages * PAGE) <= 32 * PAGE
        )  # the agent's own: stack, page of libc


def test_resident_is_what_the_kernel_says_of_the_region(talk: HostAgent) -> None:
    talk.ask(f"1 grow to={8 * MIB + 1}")
    smaps = Path(f"/proc/{talk.process.pid}/smaps").read_text()
    found = re.search(rf"^Size: +{CAPACITY // 1024} kB$.*?^Rss: +(\d+) kB$", smaps, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert talk.stat()["resident"] == int(found[1]) * 1024


def test_unique_pages_do_not_compress_and_are_all_different(agent: Path) -> None:
    contents = []
    for _ in range(2):  # two guests with the same nonce
        with HostAgent(agent, "--nonce", "ab", "--capacity", str(CAPACITY)) as host:
            host.ask(f"1 grow to={2 * MIB} pages=unique seed=1")
            contents.append(host.held_memory(CAPACITY))
    pages = [content[at : at + PAGE] for content in contents for at in range(0, 2 * MIB, PAGE)]
    assert len(set(pages)) == 1024
    assert all(len(zlib.compress(page, 1)) > 4000 for page in pages)


def test_shared_pages_are_the_same_in_all_guests_with_that_seed(agent: Path) -> None:
    contents = []
    for nonce, seed in (("a", 7), ("b", 7), ("b", 8)):
        with HostAgent(agent, "--nonce", nonce, "--capacity", str(CAPACITY)) as host:
            host.ask(f"1 grow to={MIB} pages=shared seed={seed}")
            contents.append(host.held_memory(CAPACITY))
    assert contents[0] == contents[1]
    assert contents[1] != contents[2]
    assert len({contents[0][at : at + PAGE] for at in range(0, MIB, PAGE)}) == 256
    assert len(zlib.compress(contents[0], 1)) > MIB


def test_zero_pages_are_zero_and_touched(talk: HostAgent) -> None:
    talk.ask(f"1 grow to={MIB} pages=zero")
    assert talk.stat()["resident"] == MIB
    assert talk.held_memory(CAPACITY) == bytes(MIB)


def test_a_mix_keeps_what_was_there(talk: HostAgent) -> None:
    talk.ask(f"1 grow to={MIB} pages=zero")
    talk.ask(f"2 grow to={2 * MIB} pages=unique")
    talk.ask(f"3 shrink to={MIB + PAGE}")
    content = talk.held_memory(CAPACITY)
    assert content[:MIB] == bytes(MIB)
    assert len(zlib.compress(content[MIB:], 1)) > 4000


def test_rewrite_changes_that_many_bytes_and_nothing_else(talk: HostAgent) -> None:
    talk.ask(f"1 grow to={4 * PAGE} pages=shared seed=1")
    before = talk.held_memory(CAPACITY)
    talk.ask(f"2 rewrite bytes={2 * PAGE}")
    once = talk.held_memory(CAPACITY)
    talk.ask(f"3 rewrite bytes={2 * PAGE}")
    twice = talk.held_memory(CAPACITY)
    for page in range(4):
        part = slice(page * PAGE, (page + 1) * PAGE)
        assert len({before[part], once[part], twice[part]}) == (3 if page < 2 else 1)


def test_a_ramp_keeps_its_pace(talk: HostAgent) -> None:
    rate = 10 * MIB
    talk.send(f"1 grow to={8 * MIB} rate={rate}\n")
    lines = [line for line in talk.until("@ ok id=1 ") if not line.startswith(("@ hello", "@ stat"))]
    end = fields(lines.pop())
    assert (end["id"], end["held"]) == (1, 8 * MIB)
    assert 795 <= end["ms"] <= 1000  # 800 asked; a loaded machine may be late, never early
    held = [fields(line) for line in lines]
    assert {line.split()[1] for line in lines} == {"held"}
    assert held[-1]["bytes"] == 8 * MIB
    assert len(held) >= 4
    gaps = [b["up"] - a["up"] for a, b in itertools.pairwise(held)]
    assert max(gaps) <= 400  # 250 on an idle machine
    began = held[0]["up"] - held[0]["bytes"] * 1000 / rate
    for each in held[:-1]:
        assert abs((each["up"] - began) * rate / 1000 - each["bytes"]) <= 2 * MIB


def test_a_slow_ramp_moves_by_single_bytes(talk: HostAgent) -> None:
    talk.send("1 grow to=100 rate=100\n")
    lines = [fields(line)["bytes"] for line in talk.until("@ ok id=1 ") if line.startswith("@ held")]
    assert lines == sorted(lines)
    assert any(0 < value < 100 for value in lines)
    assert lines[-1] == 100


def test_commands_are_answered_during_a_ramp(talk: HostAgent) -> None:
    talk.send(f"1 grow to={CAPACITY} rate={20 * MIB}\n")
    talk.until("@ held ")
    waited = []
    for number in range(2, 12):
        began = time.monotonic()
        assert talk.ask(f"{number} deaf on=1").startswith("@ ok")
        waited.append(time.monotonic() - began)
        time.sleep(0.01)
    assert sorted(waited)[5] < 0.1


def test_a_second_ramp_cuts_the_first(talk: HostAgent) -> None:
    talk.send(f"1 grow to={CAPACITY} rate={MIB}\n")
    talk.until("@ held ")
    talk.send("2 shrink to=0\n")
    first, second = (line for line in talk.until("@ ok id=2 ") if line.startswith("@ ok"))
    assert first.startswith("@ ok id=1 held=")
    assert first.endswith(" cut=1")
    assert fields(first)["held"] < MIB
    assert second.startswith("@ ok id=2 held=0 ")


@pytest.mark.parametrize("verb", ["hold", "stop"])
def test_hold_and_stop_end_a_ramp_and_keep_the_bytes(talk: HostAgent, verb: str) -> None:
    talk.send(f"1 grow to={CAPACITY} rate={20 * MIB}\n")
    talk.until("@ held ")
    time.sleep(0.1)
    talk.send(f"2 {verb}\n")
    cut = fields(next(line for line in talk.until("@ ok id=2 ") if line.startswith("@ ok id=1 ")))
    assert cut["cut"] == 1
    assert 0 < cut["held"] < 20 * MIB
    assert talk.stat()["held"] == cut["held"]


def test_a_refused_command_leaves_the_ramp_running(talk: HostAgent) -> None:
    talk.send(f"1 grow to={2 * MIB} rate={4 * MIB}\n")
    assert talk.ask(f"2 shrink to={CAPACITY}").startswith("@ err id=2 msg=shrink above what is held")
    end = talk.until("@ ok id=1 ")[-1]
    assert fields(end)["held"] == 2 * MIB
    assert "cut" not in end


@pytest.mark.parametrize(
    ("available", "line"),
    [
        (100 * MIB, 90 * MIB),  # 10 MiB are more than 10 %
        (200_000_000, 180_000_000),
        (5 * MIB, 0),
    ],
)
def test_a_grow_into_the_guests_own_oom_is_refused(agent: Path, available: int, line: int) -> None:
    with HostAgent(agent, "--capacity", str(256 * MIB), "--available", str(available)) as talk:
        refusal = f"@ err id=1 msg=more than {line} of {available} available at hello, force=1 overrides"
        assert talk.ask(f"1 grow to={line + 1}") == refusal
        assert talk.ask(f"2 grow to={min(line, 4096)}").startswith("@ ok id=2 ")
        assert talk.ask(f"3 grow to={line + 1} force=1 pages=zero").startswith(f"@ ok id=3 held={line + 1} ")


def test_touch_latencies_are_reported_and_forgotten_after_a_second(talk: HostAgent) -> None:
    assert (talk.stat()["p50"], talk.stat()["max"]) == (0, 0)
    talk.ask(f"1 grow to={16 * MIB}")
    assert talk.ask("2 touch pages=50000").startswith("@ ok id=2 ")
    stat = talk.stat()
    assert 0 < stat["p50"] <= stat["p99"] <= stat["max"]
    talk.ask("3 shrink to=0")
    time.sleep(1.3)
    assert talk.stat()["p50"] == 0
