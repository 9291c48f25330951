"""The protocol as the harness meets it, spoken to the sanitized agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.workloads.agent import HostAgent, fields, press

CAPACITY = 64 << 20
SYNTAX = (
    "id is not a decimal number",
    "no verb",
    "unknown verb",
    "not key=value",
    "unknown key",
    "key given twice",
    "bad value for key",
    "missing key",
    "line too long",
)


@pytest.fixture
def talk(sanitized_agent: Path) -> Iterator[HostAgent]:
    with HostAgent(sanitized_agent, "--nonce", "c0ffee", "--capacity", str(CAPACITY)) as agent:
        yield agent


def test_hello_tells_nonce_and_is_repeated_until_the_first_command(talk: HostAgent) -> None:
    first, second = talk.line(), talk.line(within=3.0)
    assert first.startswith("@ hello proto=1 nonce=c0ffee kernel=")
    assert second.startswith("@ hello proto=1 nonce=c0ffee ")
    assert fields(first)["deaf"] == 0
    assert fields(first)["memtotal"] > fields(first)["memavailable"] > 0
    assert talk.ask("1 stat") == "@ ok id=1 held=0 ms=0"
    assert talk.line(within=3.0).startswith("@ stat up=")  # the periodic line, in hello's place
    talk.send("2 hello\n")
    assert talk.until("@ ok id=2 ")[-2].startswith("@ hello proto=1 nonce=c0ffee ")


def test_hello_comes_first_even_if_a_command_was_waiting(sanitized_agent: Path) -> None:
    for _ in range(5):
        with HostAgent(sanitized_agent) as agent:
            agent.send("1 hold\n")
            assert agent.line().startswith("@ hello ")


def test_garbage_does_not_stop_hello(talk: HostAgent) -> None:
    talk.send("login: \n")
    lines = [talk.line(within=3.0) for _ in range(4)]
    assert sum(line.startswith("@ hello ") for line in lines) == 3
    assert sum(line.startswith("@ err id=0 ") for line in lines) == 1


@pytest.mark.parametrize("nonce", ["", "xyz", "12 34", "a" * 65])
def test_a_nonce_that_is_not_hexadecimal_is_not_echoed(sanitized_agent: Path, nonce: str) -> None:
    with HostAgent(sanitized_agent, "--nonce", nonce) as agent:
        assert " nonce=0 " in agent.line()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("x hello", "@ err id=0 msg=id is not a decimal number: x"),
        ("-1 hello", "@ err id=0 msg=id is not a decimal number: -1"),
        ("18446744073709551616 hello", "@ err id=0 msg=id is not a decimal number: 18446744073709551616"),
        ("7", "@ err id=7 msg=no verb: "),
        ("7 explode", "@ err id=7 msg=unknown verb: explode"),
        ("7 grow", "@ err id=7 msg=missing key: to"),
        ("7 grow to=", "@ err id=7 msg=bad value for key: to"),
        ("7 grow to=1e6", "@ err id=7 msg=bad value for key: to"),
        ("7 grow to=1 to=2", "@ err id=7 msg=key given twice: to"),
        ("7 grow to=1 pages=odd", "@ err id=7 msg=bad value for key: pages"),
        ("7 grow to=1 bytes=1", "@ err id=7 msg=unknown key: bytes"),
        ("7 grow now", "@ err id=7 msg=not key=value: now"),
        ("7 grow to=1 force=2", "@ err id=7 msg=bad value for key: force"),
        ("7 deaf", "@ err id=7 msg=missing key: on"),
        ("7 touch pages=unique", "@ err id=7 msg=bad value for key: pages"),
        ("7 touch pages=1", "@ err id=7 msg=nothing is held (held 0)"),
        ("7 shrink to=1", "@ err id=7 msg=shrink above what is held, use grow (held 0)"),
        ("7 rewrite bytes=1", "@ err id=7 msg=more than is held (held 0)"),
        ("7 cache bytes=1", "@ err id=7 msg=no disk with serial density (held 0)"),
        (f"7 grow to={CAPACITY + 1}", "@ err id=7 msg=more than the guest has (held 0)"),
        ("7 h\x01\x7f", "@ err id=7 msg=unknown verb: h??"),
    ],
)
def test_what_is_wrong_is_said(talk: HostAgent, command: str, answer: str) -> None:
    talk.send(command + "\n")
    assert talk.until("@ err ")[-1] == answer


def test_carriage_returns_and_blank_lines_are_ignored(talk: HostAgent) -> None:
    talk.send("\r\n  \n\t\n1 sta\rt\r\n")
    assert not any(line.startswith("@ err") for line in talk.until("@ ok id=1 "))


def test_a_line_that_is_too_long_is_one_error_and_the_next_is_heard(talk: HostAgent) -> None:
    talk.send("1 grow to=" + "9" * 100_000 + "\n2 stat\n")
    lines = [line for line in talk.until("@ ok id=2 ") if line.startswith("@ err")]
    assert lines == ["@ err id=0 msg=line too long"]


@pytest.mark.parametrize(("length", "fits"), [(256, True), (257, False)])
def test_the_longest_line_has_256_bytes(talk: HostAgent, length: int, fits: bool) -> None:
    talk.send("1 stat".ljust(length) + "\n2 stat\n")
    assert any(line.startswith("@ ok id=1 ") for line in talk.until("@ ok id=2 ")) is fits


NUMBER = {"to", "rate", "seed", "bytes"}
FLAG = {"on", "force", "fsync", "write"}
GRAMMAR: dict[str, tuple[set[str], set[str]]] = {
    "hello": (set(), set()),
    "grow": ({"to"}, {"rate", "pages", "seed", "force"}),
    "shrink": ({"to"}, set()),
    "rewrite": ({"bytes"}, set()),
    "touch": ({"pages"}, set()),
    "hold": (set(), set()),
    "stop": (set(), set()),
    "stat": (set(), set()),
    "deaf": ({"on"}, set()),
    "cache": ({"bytes"}, {"rate", "write"}),
    "record": ({"rate"}, {"fsync", "bytes"}),
    "vram": ({"bytes"}, set()),
}


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 1 << 64


def is_legal(line: bytes) -> bool:
    """The grammar of docs/architecture.md, written a second time."""
    if len(line.replace(b"\r", b"")) > 256:
        return False
    text = line.replace(b"\r", b"").decode("latin-1")
    words = [word for word in text.replace("\t", " ").split(" ") if word]
    if len(words) < 2 or not _number(words[0]) or words[1] not in GRAMMAR:
        return False
    required, optional = GRAMMAR[words[1]]
    seen = set()
    for word in words[2:]:
        key, equals, value = word.partition("=")
        if not equals or key in seen or key not in required | optional:
            return False
        seen.add(key)
        if key in NUMBER or (key, words[1]) == ("pages", "touch"):
            good = _number(value)
        elif key == "pages":
            good = value in {"unique", "shared", "zero"}
        else:
            assert key in FLAG
            good = _number(value) and int(value) < 2
        if not good:
            return False
    return required <= seen


_VALUES = st.sampled_from(
    ["0", "1", "2", "4097", "18446744073709551615", "18446744073709551616", "", "-1", "unique"]
)
_PAIR = st.tuples(
    st.sampled_from(["to", "rate", "pages", "seed", "bytes", "on", "force", "fsync", "write", "", "x"]),
    _VALUES,
).map("=".join)
_NEARLY = st.tuples(
    st.sampled_from(["1", "18446744073709551615", "a", ""]),
    st.sampled_from([*GRAMMAR, "Grow", "held"]),
    st.lists(_PAIR, max_size=4),
).map(lambda parts: " ".join([parts[0], parts[1], *parts[2]]).encode())
_BYTES = st.binary(max_size=400).map(lambda data: data.replace(b"\n", b""))


@pytest.fixture(scope="module")
def fuzzed(sanitized_agent: Path) -> Iterator[HostAgent]:
    with HostAgent(sanitized_agent, "--capacity", str(CAPACITY)) as agent:
        yield agent
        assert agent.process.poll() is None, "the agent ended"


@settings(max_examples=300, deadline=None)
@example(line=b"1 grow to=18446744073709551615 rate=18446744073709551615 force=1")
@example(line=b"1 grow to=4097 rate=1 seed=18446744073709551615 pages=shared")
@example(line=b"\x00\x00\xff 1 stat")
@example(line=b"=" * 256)
@example(line=b"1 stat " + b" " * 248 + b"\r\r")
@example(line=b"1 record rate=18446744073709551615 fsync=1 bytes=512")
@example(line=b"1 cache bytes=18446744073709551615 rate=0 write=1")
@example(line=b"1 vram bytes=0")
@given(line=st.one_of(_NEARLY, _BYTES))
def test_any_line_is_obeyed_or_refused_as_the_grammar_says(fuzzed: HostAgent, line: bytes) -> None:
    fuzzed.send(line + b"\n77 hold\n")
    answers = fuzzed.until("@ ok id=77 ")
    refused = any(
        text.startswith("@ err ") and text.partition("msg=")[2].startswith(SYNTAX) for text in answers
    )
    blank = not line.replace(b"\r", b"").strip(b" \t")
    assert refused == (not blank and not is_legal(line)), answers


def test_bye_says_ok_then_bye_and_ends_well(talk: HostAgent) -> None:
    assert talk.ask("1 grow to=12345").startswith("@ ok id=1 held=12345 ")
    talk.send("2 bye\n")
    lines = talk.until("@ bye ")
    assert lines[-2].startswith("@ ok id=2 held=12345 ")
    assert lines[-1].endswith(" held=12345 reason=command")
    assert talk.process.wait(5) == 0


def test_the_end_of_input_ends_it(talk: HostAgent) -> None:
    assert talk.process.stdin is not None
    talk.process.stdin.close()
    assert talk.process.wait(5) == 0


def test_a_guest_without_address_space_refuses_to_grow(agent: Path) -> None:
    with HostAgent(agent, "--capacity", str(1 << 30), under=("prlimit", f"--as={64 << 20}")) as small:
        assert small.ask("1 grow to=4096") == "@ err id=1 msg=more than the guest has (held 0)"


@pytest.fixture
def button(tmp_path: Path) -> Path:
    fifo = tmp_path / "event0"
    os.mkfifo(fifo)
    return fifo


def test_the_power_button_powers_off(sanitized_agent: Path, button: Path) -> None:
    with HostAgent(sanitized_agent, "--events", str(button)) as agent:
        agent.ask("1 grow to=5000")
        press(button, code=30)
        press(button, value=0)  # a release is not a press
        assert agent.ask("2 stat").startswith("@ ok")
        press(button)
        power, bye = agent.until("@ bye ")[-2:]
        assert power.startswith("@ power up=")
        assert bye.endswith(" held=5000 reason=power")
        assert agent.process.wait(5) == 0


def test_a_deaf_guest_sees_the_button_and_goes_on(sanitized_agent: Path, button: Path) -> None:
    with HostAgent(sanitized_agent, "--deaf", "--events", str(button)) as agent:
        assert agent.line().endswith(" deaf=1")
        press(button)
        agent.until("@ power up=")
        assert agent.ask("1 deaf on=0") == "@ ok id=1 held=0 ms=0"
        press(button)
        assert agent.until("@ bye ")[-1].endswith(" reason=power")


def test_a_slow_guest_says_bye_only_when_its_shutdown_is_over(sanitized_agent: Path, button: Path) -> None:
    with HostAgent(sanitized_agent, "--shutdown", "700", "--events", str(button)) as agent:
        agent.ask("1 grow to=5000")
        press(button)
        power = fields(agent.until("@ power up=")[-1])
        press(button)  # again, as virt-handler does: the shutdown goes on, it does not begin anew
        assert agent.ask("2 stat").startswith("@ ok")
        bye = agent.until("@ bye ")[-1]
        assert bye.endswith(" held=5000 reason=power")
        assert 690 <= fields(bye)["up"] - power["up"] <= 1200
        assert agent.process.wait(5) == 0


def test_a_console_nobody_reads_does_not_hide_the_power_button(sanitized_agent: Path, button: Path) -> None:
    with HostAgent(sanitized_agent, "--events", str(button)) as agent:
        for number in range(1500):  # 300 kB of answers, more than pipe and queue hold
            agent.send(f"{number} hello\n")
        press(button)
        assert agent.process.wait(5) == 0


def test_the_refusal_line_is_drawn_from_the_last_hello(talk: HostAgent) -> None:
    # What boot still uses is free a moment later; a guest said 444 MB at hello and refused beyond 90 % of 314.
    before = [fields(talk.line(within=3.0))["memavailable"] for _ in range(3)]
    talk.send(f"1 grow to={1 << 60}\n")
    refused = talk.until("@ err id=1 ")[-1]
    assert f" of {before[-1]} available at hello" in refused, before
    talk.send("2 hello\n")
    talk.until("@ ok id=2 ")
    talk.send(f"3 grow to={1 << 60}\n")
    assert (
        f" of {before[-1]} available at hello" in talk.until("@ err id=3 ")[-1]
    )  # one that is asked for moves nothing
