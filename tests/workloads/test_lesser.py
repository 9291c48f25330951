"""The lesser guest's agent as it ships: the script that cloud-init would run, run on this host and spoken to."""

from __future__ import annotations

import ast
import gzip
import random
import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workloads.agent import HostAgent, fields
from workloads.lesser import LACKS, LIMIT, user_data

NONCE = "0123456789abcdef"
PAGE = 4096


def script(tmp_path: Path, *, nonce: str = NONCE, deaf: bool = False) -> Path:
    path = tmp_path / f"{nonce}.py"
    path.write_bytes(gzip.decompress(user_data(nonce=nonce, deaf=deaf)))
    return path


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[HostAgent]:
    with HostAgent(script(tmp_path), under=(sys.executable,)) as agent:
        yield agent


def capacity(agent: HostAgent) -> int:
    return agent.stat()["memtotal"] & -PAGE


def test_it_fits_into_what_kubevirt_admits_whatever_the_nonce() -> None:
    dice = random.Random(4)
    sizes = [
        len(user_data(nonce=f"{dice.getrandbits(64):016x}", deaf=deaf))
        for deaf in (True, False)
        for _ in range(200)
    ]
    assert LIMIT == 2048
    assert max(sizes) <= 2048


def test_it_is_a_script_of_old_pythons_with_its_nonce(tmp_path: Path) -> None:
    text = script(tmp_path, deaf=True).read_text()
    assert text.startswith("#!/usr/bin/env python3\n")
    ast.parse(text, feature_version=(3, 8))
    assert f"NONCE,DEAF,SETUP='{NONCE}','1'," in text
    assert "HandlePowerKey=ignore" in text
    assert "HandlePowerKey" not in script(tmp_path).read_text()


def test_hello_is_repeated_until_the_first_command(talk: HostAgent) -> None:
    first, second = talk.line(), talk.line(within=3.0)
    assert first.startswith(f"@ hello proto=1 nonce={NONCE} kernel=")
    assert second == first
    assert fields(first)["deaf"] == 0
    assert fields(first)["memtotal"] > fields(first)["memavailable"] > 0
    assert talk.ask("1 stat").startswith("@ ok id=1 held=0 ms=")
    assert talk.line(within=3.0).startswith("@ stat up=")
    talk.send("2 hello\n")
    assert talk.until("@ ok id=2 ")[-2].startswith("@ hello proto=1 ")


def test_it_holds_exactly_what_it_is_told_to(talk: HostAgent) -> None:
    assert talk.ask("1 grow to=5000001 rate=0 pages=unique seed=1").startswith("@ ok id=1 held=5000001 ")
    data = talk.held_memory(capacity(talk))
    pages = [data[at : at + PAGE] for at in range(0, 5000001, PAGE)]
    assert len(data) == 5000001
    assert len(set(pages)) == len(pages)
    assert len(zlib.compress(data[: 1 << 20])) > 1 << 20, "unique pages do not compress"
    assert talk.ask("2 rewrite bytes=8192").startswith("@ ok id=2 held=5000001 ")
    again = talk.held_memory(capacity(talk))
    assert again[:8192] != data[:8192]
    assert again[8192:] == data[8192:]
    assert talk.ask("3 shrink to=4097").startswith("@ ok id=3 held=4097 ")
    assert talk.held_memory(capacity(talk)) == again[:4097]
    assert talk.ask("4 touch pages=100").startswith("@ ok id=4 held=4097 ")


def test_what_is_given_back_is_given_back(talk: HostAgent) -> None:
    def resident() -> int:
        rows = Path(f"/proc/{talk.process.pid}/statm").read_text().split()
        return int(rows[1]) * PAGE

    talk.ask("1 stat")
    before = resident()
    talk.ask("2 grow to=67108864 rate=0 pages=zero seed=1")
    full = resident()
    talk.ask("3 shrink to=0")
    assert 67108864 - (1 << 20) <= full - before <= 67108864 + (4 << 20)
    assert resident() - before <= 4 << 20


def test_shared_pages_are_of_seed_and_place_alone(tmp_path: Path, talk: HostAgent) -> None:
    talk.ask("1 grow to=100000 rate=0 pages=shared seed=7")
    mine = talk.held_memory(capacity(talk))
    with HostAgent(script(tmp_path, nonce="ff"), under=(sys.executable,)) as other:
        # in two steps: where a page lies counts, not how it came there
        other.ask("1 grow to=5000 rate=0 pages=shared seed=7")
        other.ask("2 grow to=100000 rate=0 pages=shared seed=7")
        assert other.held_memory(capacity(other)) == mine
        other.ask("3 shrink to=0")
        other.ask("4 grow to=100000 rate=0 pages=shared seed=8")
        assert other.held_memory(capacity(other)) != mine
    assert len({mine[at : at + PAGE] for at in range(0, 100000, PAGE)}) == 25


def test_a_ramp_keeps_its_rate_tells_where_it_is_and_can_be_cut(talk: HostAgent) -> None:
    talk.send("1 grow to=400000000 rate=20000000 pages=zero seed=1\n")
    told = [fields(line)["bytes"] for line in (talk.until("@ held ")[-1] for _ in range(4))]
    assert told == sorted(told)
    stopped = talk.ask("2 stop")
    assert stopped.startswith("@ ok id=2 ")
    held = fields(stopped)["held"]
    # some 0.8 s at 20 MB/s; a busy machine is late, never early
    assert 1_000_000 < held < 60_000_000
    assert talk.stat()["held"] == held


def test_a_ramp_that_is_cut_says_so(talk: HostAgent) -> None:
    talk.send("1 grow to=400000000 rate=20000000 pages=zero seed=1\n")
    talk.until("@ held ")
    talk.send("2 hold\n")
    assert " cut=1" in talk.until("@ ok id=1 ")[-1]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("7 cache bytes=1", "@ err id=7 msg=a lesser guest can't cache (held 0)"),
        ("7 record rate=1 fsync=1 bytes=512", "@ err id=7 msg=a lesser guest can't record (held 0)"),
        ("7 shrink to=1", "@ err id=7 msg=more than is held (held 0)"),
        ("7 grow to=99999999999999", "@ err id=7 msg=more than the guest has (held 0)"),
        ("login: ", "@ err id=0 msg=no command"),
        ("7", "@ err id=0 msg=no command"),
        ("7 grow to=many", "@ err id=0 msg=no command"),
        ("7 grow now", "@ err id=0 msg=no command"),
        ("\x1b[0m \xff", "@ err id=0 msg=no command"),
    ],
)
def test_what_it_can_not_do_is_said_and_noise_does_not_end_it(
    talk: HostAgent, command: str, answer: str
) -> None:
    talk.send(command.encode("latin-1") + b"\r\n")
    assert talk.until("@ err ")[-1] == answer
    assert talk.ask("8 stat").startswith("@ ok id=8 ")


def test_every_verb_that_is_said_to_be_lacking_is(talk: HostAgent) -> None:
    assert {"cache", "record", "vram", "deaf"} == LACKS
    for number, verb in enumerate(sorted(LACKS), start=1):
        assert talk.ask(f"{number} {verb} on=1").startswith(
            f"@ err id={number} msg=a lesser guest can't {verb}"
        )


def test_a_shutdown_of_the_distribution_is_the_power_button(talk: HostAgent) -> None:
    talk.until("@ hello ")
    talk.process.send_signal(signal.SIGTERM)
    assert talk.until("@ power ")[-1].startswith("@ power up=")
    assert talk.process.wait(5) == 0


def test_bye_is_its_last_line(talk: HostAgent) -> None:
    talk.send("9 bye\n")
    lines = talk.until("@ bye ")
    assert lines[-1].endswith(" held=0 reason=command")
    assert talk.line() == ""
