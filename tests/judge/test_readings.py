"""The judge's own readings: intervals, consoles, kernel logs, availability."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge.availability import crossing, kubelet_config, series, threshold
from harness.judge.console import parse
from harness.judge.interval import Interval, Truth, every, seconds
from harness.judge.judge import timeline_of
from harness.judge.kmsg import OomReader, pod_uid, scope_of
from harness.judge.tracks import named_nanosecond, vmi_of_launcher
from harness.records.model import Kernel
from harness.spec.model import Stated
from harness.units import Seconds
from tests.judge.world import MI, PROVENANCE, World, scenario

numbers = st.floats(min_value=-1e6, max_value=1e6)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low, high = sorted((draw(numbers), draw(numbers)))
    return Interval(low, high)


@given(interval=intervals(), bound=numbers, where=st.floats(min_value=0, max_value=1))
def test_a_decided_bound_is_right_of_every_value_inside(
    interval: Interval, bound: float, where: float
) -> None:
    value = min(interval.high, interval.low + (interval.high - interval.low) * where)
    truth = interval.at_most(bound)
    if truth is not Truth.STRADDLES:
        assert (value <= bound) == (truth is Truth.TRUE)
    truth = interval.at_least(bound)
    if truth is not Truth.STRADDLES:
        assert (value >= bound) == (truth is Truth.TRUE)


@given(a=intervals(), b=intervals())
def test_a_difference_holds_the_difference_of_the_ends(a: Interval, b: Interval) -> None:
    difference = a.minus(b)
    assert difference.low <= a.low - b.low <= difference.high
    assert difference.low <= a.high - b.high <= difference.high


@given(interval=intervals(), least=numbers, most=numbers)
def test_the_sign_of_a_margin_is_the_truth(interval: Interval, least: float, most: float) -> None:
    least, most = sorted((least, most))
    margin = interval.margin(least, most)
    assert margin is not None
    truth = interval.within(least, most)
    assert (margin >= 0) if truth is Truth.TRUE else (margin <= 0)
    assert (margin < 0) or truth is not Truth.FALSE


@pytest.mark.parametrize(
    ("interval", "least", "most", "margin"),
    [
        (Interval(1.0, 2.0), None, 5.0, 3.0),
        (Interval(1.0, 2.0), None, 0.0, -1.0),
        (Interval(1.0, 2.0), 1.5, None, 0.0),
        (Interval(1.0, 2.0), 0.5, 2.5, 0.5),
        (Interval(0.2, math.inf), None, 0.0, -0.2),
        (Interval(0.2, math.inf), None, None, None),
    ],
)
def test_margins(interval: Interval, least: float | None, most: float | None, margin: float | None) -> None:
    assert interval.margin(least, most) == margin


def test_three_valued_and() -> None:
    assert every([]) is Truth.TRUE
    assert every([Truth.TRUE, Truth.STRADDLES]) is Truth.STRADDLES
    assert every([Truth.STRADDLES, Truth.FALSE]) is Truth.FALSE


def test_intervals_for_people() -> None:
    assert seconds(Interval(2.1, 2.3)) == "2.2 s (2.1 … 2.3)"
    assert seconds(Interval(2.0, 2.0)) == "2 s"
    assert seconds(Interval(2.0, math.inf)) == "at least 2 s"
    assert seconds(Interval(-math.inf, 2.0)) == "at most 2 s"


@pytest.mark.parametrize(
    ("line", "word", "uptime"),
    [
        ("@ power up=1500", "power", 1.5),
        ("@ bye up=1600 held=0 reason=power\r", "bye", 1.6),
        (
            "@ stat up=2000 held=1 resident=2 memtotal=3 memavailable=4 p50=1 p99=2 max=3 stalls=0",
            "stat",
            2.0,
        ),
        ("@ unheard of=1", "other", None),
        ("ACPI-POWER 244.946", "power", 244.946),
        ("BYE", "bye", None),
        ("[  245.044380] reboot: Power down", "power-down", 245.04438),
        ("[    1.5] Kernel panic - not syncing: Attempted to kill init!", "panic", 1.5),
        ("[    1.5] Out of memory: Killed process 7 (x) total-vm:1kB", "oom", 1.5),
        ("ALIVE 7.4 held=0", "other", None),
        ("\x1b[0m@ power up=1", "power", 0.001),
        ("say @ power up=1", "other", None),
        ("@ power up=soon", "power", None),
        ("", "other", None),
    ],
)
def test_console_lines(line: str, word: str, uptime: float | None) -> None:
    parsed = parse(line)
    assert (parsed.word, parsed.uptime) == (word, uptime)


def test_hello_and_bye_say_more() -> None:
    hello = parse("@ hello proto=1 nonce=ab12 kernel=6.1 memtotal=223346688 memavailable=2 deaf=1")
    assert (hello.nonce, hello.memtotal) == ("ab12", 223346688)
    assert parse("@ bye up=1 held=0 reason=command").reason == "command"


@given(st.text(max_size=200))
def test_no_console_line_upsets_the_reader(line: str) -> None:
    assert parse(line).word


UID = "e0ca701e-cfe4-4699-9dad-19d5623ba8e0"


@pytest.mark.parametrize(
    ("memcg", "scope"),
    [
        (f"/docker/82ce/kubelet/kubepods/burstable/pod{UID}/15271ff1", "container"),
        (f"/kubepods/burstable/pod{UID}", "pod"),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-containerd-1.scope",
            "container",
        ),
        (f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice", "pod"),
        ("/kubepods", "node"),
        ("/docker/82ce", "node"),
        ("", ""),
    ],
)
def test_whose_limit_it_was_is_told_by_the_cgroup(memcg: str, scope: str) -> None:
    assert scope_of(memcg) == scope
    assert pod_uid(memcg) in {UID, ""}


def test_raw_kernel_lines_are_put_together() -> None:
    reader = OomReader()
    report = (
        f"6,2033,78,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=1,mems_allowed=0,"
        f"oom_memcg=/kubepods/pod{UID},task_memcg=/kubepods/pod{UID}/c,task=qemu-system-x86,pid=31444,uid=107"
    )
    killed = "3,2034,78,-;Memory cgroup out of memory: Killed process 31444 (qemu-system-x86) total-vm:1kB oom_score_adj:844"
    for number, line in enumerate(["4,1,1,-;CPU 0/TCG invoked oom-killer: order=0", report, killed], start=1):
        reader.add(number, Kernel(t=Seconds(5.0), at="", lines=[line]))
    (kill,) = reader.kills
    assert (kill.scope, kill.pod_uid, kill.pid, kill.lines) == ("pod", UID, 31444, (2, 3))


def test_a_parsed_report_stands_even_where_its_lines_are_kept_too() -> None:
    reader = OomReader()
    line = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/density/x,task_memcg=/density/x/y,task=q,pid=7,uid=0"
    )
    reader.add(1, Kernel(t=Seconds(5.0), at="", scope="kubepods", vmi="d/hog", pid=7, lines=[line]))
    (kill,) = reader.kills
    assert (kill.scope, kill.vmi, kill.lines) == ("node", "d/hog", (1,))


def test_a_global_oom_is_the_nodes() -> None:
    reader = OomReader()
    line = "3,2,1,-;Out of memory: Killed process 9 (qemu-system-x86) total-vm:1kB"
    reader.add(1, Kernel(t=Seconds(5.0), at="", lines=[line]))
    assert (reader.kills[0].scope, reader.kills[0].pod_uid) == ("node", "")


def values(*available: tuple[float, int]) -> list[tuple[object, int]]:
    world = World().node(memory="1Gi")
    for t, left in available:
        world.at(t).cgroup(1024 - left)
    made = scenario("hog")
    timeline = timeline_of(PROVENANCE, made).extend(world.numbered())
    return series(timeline, PROVENANCE, "node")  # type: ignore[return-value]


def crossed(*available: tuple[float, int], before: float = math.inf) -> tuple[float, float] | None:
    found = crossing(values(*available), 300 * MI, before=before)  # type: ignore[arg-type]
    return None if found is None else (found.when.low, found.when.high)


def test_a_crossing_lies_between_two_samples() -> None:
    assert crossed((1, 400), (2, 310), (3, 299), (4, 200)) == (2, 3)
    assert crossed((1, 400), (2, 300), (3, 301)) is None


def test_a_crossing_before_the_first_sample_is_left_censored() -> None:
    assert crossed((1, 200), (2, 100)) == (-math.inf, 1)


def test_short_recoveries_widen_a_crossing_and_long_ones_restart_it() -> None:
    assert crossed((1, 400), (2, 290), (3, 310), (4, 280), before=9.0) == (1, 4)
    assert crossed((1, 400), (2, 290), (3, 310), (20, 310), (21, 280), before=25.0) == (20, 21)


def test_the_crossing_that_counts_came_before_the_eviction() -> None:
    assert crossed((1, 400), (2, 290), (3, 310), (20, 310), (21, 280), before=5.0) == (1, 2)


def test_thresholds_as_configured() -> None:
    soft = {"evictionHard": {"memory.available": "100Mi"}, "evictionSoft": {"memory.available": "10%"}}
    assert threshold(soft, 2048 * MI) == 214748364
    assert threshold({"evictionHard": {"memory.available": "100Mi"}}, 2048 * MI) == 104857600
    assert threshold({"evictionHard": {"memory.available": "0%"}}, 2048 * MI) is None
    assert threshold({}, 2048 * MI) is None


def test_what_is_stated_wins_over_what_was_observed() -> None:
    stated = Stated(kubelet={"evictionHard": {"memory.available": "200Mi"}})
    made = scenario("hog", stated=stated)
    timeline = timeline_of(PROVENANCE, made)
    timeline.configz["node"] = (1, {"evictionHard": {"memory.available": "100Mi"}, "port": 1})
    assert kubelet_config(timeline, PROVENANCE, made, "node") == {
        "evictionHard": {"memory.available": "200Mi"},
        "port": 1,
    }


def test_the_nanosecond_in_an_events_name() -> None:
    event = {
        "metadata": {"name": "virt-launcher-hog-1-vfgs8.18eaf38db753763d"},
        "count": 1,
        "lastTimestamp": "2026-11-24T10:13:11Z",
    }
    assert named_nanosecond(event) == pytest.approx(1795515191.452203, abs=1e-5)
    assert named_nanosecond({**event, "count": 2}) is None
    assert named_nanosecond({**event, "lastTimestamp": "2026-11-24T10:13:12Z"}) is None
    assert named_nanosecond({**event, "metadata": {"name": "x.notahexnumber000"}}) is None


def test_the_vmi_in_a_launchers_name() -> None:
    assert vmi_of_launcher("virt-launcher-hog-1-vfgs8") == "hog-1"
    assert vmi_of_launcher("coredns-abcde") == ""
