"""Records, page-cache churn and display memory: the sanitized agent on files, seen from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.embedded.machine.linux.disk import integrity, read_records, slots
from tests.workloads.agent import HostAgent, fields

MIB = 1 << 20
HALF = 2 * MIB
LIMITED = ("prlimit", "--fsize=8192", "env", "--ignore-signal=XFSZ")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as image:
        image.truncate(2 * HALF)
    return path


@pytest.fixture
def talk(sanitized_agent: Path, disk: Path, tmp_path: Path) -> Iterator[HostAgent]:
    (tmp_path / "vram").write_bytes(bytes(MIB))
    options = ("--disk", str(disk), "--vram", str(tmp_path / "vram"), "--capacity", str(64 * MIB))
    with HostAgent(sanitized_agent, *options) as agent:
        yield agent


def recorded(agent: HostAgent, *, least: int) -> dict[str, int]:
    """The first progress line with that many records."""
    while True:
        seen = fields(agent.until("@ rec ")[-1])
        if seen["n"] >= least:
            return seen


@pytest.mark.parametrize("size", [512, 4096])
def test_fsynced_records_are_whole_on_the_disk_when_they_are_told(
    talk: HostAgent, disk: Path, size: int
) -> None:
    assert talk.ask(f"1 record rate=200 fsync=1 bytes={size}").startswith("@ ok id=1 ")
    seen = recorded(talk, least=20)
    assert seen["n"] - seen["synced"] in {0, 1}
    talk.process.kill()
    talk.process.wait()
    found = read_records(disk)
    result = integrity(found, run=seen["run"], written=seen["n"], synced=seen["synced"])
    assert (result.lost_synced, result.lost_unsynced, result.torn) == ((), (), 0)
    assert result.intact >= 20
    assert max(found.of(seen["run"])) == result.intact


def test_records_keep_their_pace_and_go_on_counting(talk: HostAgent) -> None:
    talk.ask("1 record rate=100")
    began = recorded(talk, least=1)
    later = recorded(talk, least=50)
    rate = (later["n"] - began["n"]) * 1000 / (later["up"] - began["up"])
    assert 85 <= rate <= 110
    assert later["synced"] == 0
    assert talk.ask("2 record rate=0").startswith("@ ok id=2 ")
    talk.ask("3 record rate=10 fsync=1")
    again = recorded(talk, least=later["n"] + 1)
    assert again["run"] == later["run"]
    assert again["synced"] >= later["n"]  # one fsync covers what was written before


def test_stopping_tells_the_last_number_and_then_nothing_is_written(talk: HostAgent, disk: Path) -> None:
    talk.ask("1 record rate=500")
    recorded(talk, least=10)
    talk.send("2 record rate=0\n")
    last = [fields(line) for line in talk.until("@ ok id=2 ") if line.startswith("@ rec ")][-1]
    time.sleep(0.05)
    assert read_records(disk).of(last["run"]) == frozenset(range(1, last["n"] + 1))


@pytest.mark.parametrize("ending", ["9 bye\n", "9 record rate=0\n10 bye\n"])
def test_an_orderly_end_has_everything_on_the_disk(talk: HostAgent, ending: str) -> None:
    talk.ask("1 record rate=300 fsync=0")
    recorded(talk, least=5)
    talk.send(ending)
    last = [fields(line) for line in talk.until("@ bye ") if line.startswith("@ rec ")][-1]
    assert last["n"] == last["synced"] >= 5
    assert talk.process.wait(5) == 0


def test_old_records_are_overwritten_when_the_half_is_full(talk: HostAgent, disk: Path) -> None:
    talk.ask("1 record rate=100000 bytes=4096")
    assert slots(2 * HALF, 4096) == 512
    recorded(talk, least=700)
    talk.send("2 record rate=0\n")
    last = [fields(line) for line in talk.until("@ ok id=2 ") if line.startswith("@ rec ")][-1]
    held = read_records(disk).of(last["run"])
    assert held == frozenset(range(last["n"] - 511, last["n"] + 1))
    assert disk.read_bytes()[HALF:] == bytes(HALF)
    found = integrity(read_records(disk), run=last["run"], written=last["n"], synced=0, slots=512)
    assert found.lost_unsynced == ()


def test_recording_does_not_stop_for_a_ramp_nor_a_ramp_for_recording(talk: HostAgent) -> None:
    talk.ask("1 record rate=100 fsync=1")
    before = recorded(talk, least=1)["n"]
    assert fields(talk.ask(f"2 grow to={4 * MIB} rate={8 * MIB}"))["held"] == 4 * MIB
    talk.ask("3 stop")
    assert recorded(talk, least=before + 20)["id"] == 1


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("7 record rate=1 bytes=1024", "@ err id=7 msg=a record has 512 or 4096 bytes"),
        ("7 record rate=1 fsync=2", "@ err id=7 msg=bad value for key: fsync"),
        ("7 record", "@ err id=7 msg=missing key: rate"),
        ("7 vram bytes=1048577", "@ err id=7 msg=more than the display has (held 0)"),
        ("7 cache bytes=1 fsync=1", "@ err id=7 msg=unknown key: fsync"),
    ],
)
def test_what_is_wrong_is_said(talk: HostAgent, command: str, answer: str) -> None:
    assert talk.ask(command) == answer


def test_records_of_two_sizes_are_refused(talk: HostAgent) -> None:
    talk.ask("1 record rate=10 bytes=512")
    assert talk.ask("2 record rate=10 bytes=4096") == "@ err id=2 msg=records of another size are on the disk"
    assert talk.ask("3 record rate=20").startswith("@ ok id=3 ")


def test_a_device_without_a_size_is_no_disk(sanitized_agent: Path) -> None:
    with HostAgent(sanitized_agent, "--disk", "/dev/full") as agent:
        assert agent.ask("1 record rate=10") == "@ err id=1 msg=no disk with serial density"


def test_a_disk_that_refuses_a_write_ends_the_recording_with_its_reason(
    sanitized_agent: Path, disk: Path
) -> None:
    # RLIMIT_FSIZE below the disk's size makes pwrite fail with EFBIG, as a broken disk would with EIO
    with HostAgent(sanitized_agent, "--disk", str(disk), under=LIMITED) as agent:
        agent.ask("1 record rate=100")
        lines = agent.until("@ err id=1 ")
        assert lines[-1] == "@ err id=1 msg=File too large"
        assert fields(next(line for line in reversed(lines) if line.startswith("@ rec ")))["n"] == 2
        assert agent.ask("2 stat").startswith("@ ok id=2 ")


@pytest.mark.parametrize("write", [0, 1])
def test_churn_goes_through_the_second_half_only(talk: HostAgent, disk: Path, write: int) -> None:
    end = fields(talk.ask(f"1 cache bytes={3 * HALF + 1000} write={write}"))
    assert end["held"] == 0
    content = disk.read_bytes()
    assert content[:HALF] == bytes(HALF)
    assert (content[HALF:] == bytes(HALF)) is (write == 0)
    if write:
        pages = {content[at : at + 4096] for at in range(HALF, 2 * HALF, 4096)}
        assert len(pages) == HALF // 4096


def test_churn_keeps_a_pace_and_can_be_cut(talk: HostAgent) -> None:
    assert 495 <= fields(talk.ask(f"1 cache bytes={2 * MIB} rate={4 * MIB}"))["ms"] <= 900
    talk.send(f"2 cache bytes={100 * MIB} rate={MIB}\n")
    talk.until("@ held ")
    talk.send("3 stop\n")
    cut = fields(next(line for line in talk.until("@ ok id=3 ") if line.startswith("@ ok id=2 ")))
    assert cut["cut"] == 1


def test_a_read_that_fails_is_an_error_of_the_command(talk: HostAgent, disk: Path) -> None:
    talk.ask("1 cache bytes=4096")
    os.truncate(disk, HALF)
    assert talk.ask("2 cache bytes=4096") == "@ err id=2 msg=Input/output error"


@pytest.mark.parametrize("count", [0, 1, 4097, MIB])
def test_vram_is_written_for_exactly_that_many_bytes(talk: HostAgent, tmp_path: Path, count: int) -> None:
    assert talk.ask(f"1 vram bytes={count}").startswith("@ ok id=1 ")
    content = (tmp_path / "vram").read_bytes()
    assert 0 not in content[:count]
    assert content[count:] == bytes(MIB - count)


def test_without_disk_and_display_the_commands_are_refused(sanitized_agent: Path) -> None:
    with HostAgent(sanitized_agent) as agent:
        assert agent.ask("1 record rate=1") == "@ err id=1 msg=no disk with serial density"
        assert agent.ask("2 record rate=0") == "@ ok id=2 held=0 ms=0"


@settings(max_examples=60, deadline=None)
@given(
    flips=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 4095), st.integers(1, 255)), max_size=4),
)
def test_any_changed_byte_of_a_record_is_noticed(
    eight_records: tuple[bytes, int],
    tmp_path_factory: pytest.TempPathFactory,
    flips: list[tuple[int, int, int]],
) -> None:
    content, run = bytearray(eight_records[0]), eight_records[1]
    hit = set()
    for record, byte, value in {flip[:2]: flip for flip in flips}.values():
        content[record * 4096 + byte] ^= value
        hit.add(record + 1)
    path = tmp_path_factory.mktemp("flipped") / "disk.raw"
    path.write_bytes(content)
    assert read_records(path).of(run) == frozenset(range(1, 9)) - hit


@pytest.fixture(scope="module")
def eight_records(sanitized_agent: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    path = tmp_path_factory.mktemp("eight") / "disk.raw"
    path.write_bytes(bytes(256 << 10))
    with HostAgent(sanitized_agent, "--disk", str(path)) as agent:
        agent.ask("1 record rate=10 fsync=1")
        run = recorded(agent, least=8)["run"]
        agent.ask("2 record rate=0")
    content = path.read_bytes()
    return content[: 8 * 4096] + bytes((256 << 10) - 8 * 4096), run
