"""Steps of a workload: what profiles become, what triggers a step, the verbs for disk and display."""

from __future__ import annotations

import pytest

from harness.spec.errors import SpecError
from harness.spec.model import Amount, Step, When
from harness.spec.nodes import parse
from harness.spec.workload import read_workload

MI = 1 << 20
FIRST = When(fleet="all", fleet_is="Ready")


def steps(text: str) -> tuple[Step, ...]:
    return read_workload(parse(text, "s.yaml"), ("hog", "calm"))


def told(found: tuple[Step, ...]) -> list[tuple[str, str, str | None, float | None, int | None]]:
    """Name, verb, the step it waits for, how long after it, and MiB."""
    return [
        (
            step.name,
            step.verb,
            step.when.step,
            step.when.after,
            None if step.to is None or step.to.bytes is None else step.to.bytes // MI,
        )
        for step in found
    ]


def test_a_profile_becomes_steps_the_last_of_which_bears_its_name() -> None:
    found = steps("""
- name: load
  when: {fleet: hog, is: Running}
  pulse: {fleet: hog, to: 130Mi, low: 20Mi, times: 2, for: 5s, gap: 3s, rate: 50Mi/s, pages: shared}
- {hold: {fleet: all}}
- {when: {step: load}, stop: {fleet: all}}
""")
    assert told(found) == [
        ("load-1", "grow", None, None, 130),
        ("load-2", "shrink", "load-1", 5.0, 20),
        ("load-3", "grow", "load-2", 3.0, 130),
        ("load", "shrink", "load-3", 5.0, 20),
        ("hold-2", "hold", "", None, None),
        ("stop-3", "stop", "load", None, None),
    ]
    assert found[0].when == When(fleet="hog", fleet_is="Running")
    assert {step.profile for step in found[:4]} == {"load"}
    assert {step.line for step in found[:4]} == {2}
    assert [(step.rate, step.pages) for step in found[:2]] == [(50 * MI, "shared"), (None, "shared")]
    assert found[4].profile == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ramp: {fleet: hog, to: 9Mi}", [("ramp-1", "grow", None, None, 9)]),
        ("plateau: {fleet: hog, to: 9Mi, for: 2s}", [("plateau-1-1", "grow", None, None, 9), ("plateau-1", "hold", "plateau-1-1", 2.0, None)]),
        ("sawtooth: {fleet: hog, to: 9Mi, times: 1, rate: 1Mi/s}", [("sawtooth-1-1", "grow", None, None, 9), ("sawtooth-1", "shrink", "sawtooth-1-1", None, 0)]),
        ("working-set: {fleet: hog, to: 9Mi, every: 2s, times: 2}", [("working-set-1-1", "grow", None, None, 9), ("working-set-1-2", "touch", "working-set-1-1", None, 9), ("working-set-1", "touch", "working-set-1-2", 2.0, 9)]),
        ("working-set: {fleet: hog, to: 9Mi, touch: 3Mi, every: 2s, times: 1}", [("working-set-1-1", "grow", None, None, 9), ("working-set-1", "touch", "working-set-1-1", None, 3)]),
        ("churn: {fleet: hog, to: 9Mi, times: 2, gap: 1s}", [("churn-1-1", "cache", None, None, 9), ("churn-1", "cache", "churn-1-1", 1.0, 9)]),
    ],
)  # fmt: skip
def test_profiles(text: str, expected: list[tuple[str, str, str | None, float | None, int | None]]) -> None:
    assert told(steps(f"- {{{text}}}")) == expected


def test_shares_of_a_guest_go_through_a_profile() -> None:
    (grow, shrink) = steps("- pulse: {fleet: hog, to: 50%, times: 1, for: 1s}")
    assert (grow.to, shrink.to) == (Amount(share=0.5), Amount(bytes=0))  # type: ignore[arg-type]


def test_the_machine_is_tuned_by_a_step_without_a_fleet() -> None:
    (step,) = steps("- {name: faster, tune: {ksm: {run: 1, pages_to_scan: 5000, sleep_millisecs: 10}}}")
    assert (step.verb, step.fleets, step.when) == ("tune", (), FIRST)
    assert step.ksm is not None
    assert list(step.ksm.files.items()) == [
        ("pages_to_scan", "5000"),
        ("sleep_millisecs", "10"),
        ("run", "1"),
    ]


def test_disk_and_display() -> None:
    cache, record, vram = steps("""
- {cache: {fleet: hog, to: 64Mi, write: true}}
- {record: {fleet: hog, rate: 100/s, fsync: true, block: 512}}
- {vram: {fleet: hog, to: 16Mi}}
""")
    assert cache.write
    assert (record.verb, record.rate, record.fsync, record.block, record.to) == (
        "record",
        100,
        True,
        512,
        None,
    )
    assert (vram.verb, vram.to) == ("vram", Amount(bytes=16 * MI))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{on: evicted}", When(event="evicted")),
        ("{on: oom, of: hog}", When(event="oom", event_of="hog")),
        ("{on: ended, of: all, after: 5s}", When(event="ended", after=5.0)),  # type: ignore[arg-type]
        ("{pressure: true, after: 2s}", When(pressure=True, after=2.0)),  # type: ignore[arg-type]
    ],
)
def test_triggers(when: str, expected: When) -> None:
    assert steps(f"- {{when: {when}, stop: {{fleet: all}}}}")[0].when == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{pulse: {fleet: hog, to: 1Mi, times: 2}}", "1:11: pulse needs 'for'"),
        ("{pulse: {fleet: hog, to: 1Mi, times: 2, for: 1s, every: 1s}}", "1:52: unknown key 'every' in pulse"),
        ("{pluse: {fleet: hog}}", "1:4: unknown key 'pluse' in a workload step (did you mean 'pulse'?)"),
        ("{pulse: {fleet: hog, to: 1Mi, times: 0, for: 1s}}", "1:40: 0 is less than 1"),
        ("{pulse: {fleet: hog, to: 1Mi, times: 251, for: 1s}}", "1:40: 251 is more than 250"),
        ("{sawtooth: {fleet: hog, to: 1Mi, times: 2}}", "1:14: sawtooth needs 'rate'"),
        ("{ramp: {to: 1Mi}}", "1:10: ramp needs 'fleet'"),
        ("{record: {fleet: hog}}", "1:12: record needs 'rate'"),
        ("{record: {fleet: hog, rate: 5Mi/s}}", "1:31: expected records a second such as 100/s, not '5Mi/s'"),
        ("{record: {fleet: hog, rate: 5/s, block: 1024}}", "1:43: a record has 512 or 4096 bytes, not 1024"),
        ("{vram: {fleet: hog}}", "1:10: vram needs 'to'"),
        ("{tune: {}}", "1:10: tune needs 'ksm'"),
        ("{tune: {ksm: {run: 1}, fleet: hog}}", "1:26: unknown key 'fleet' in tune"),
        ("{when: {on: evcited}, stop: {fleet: all}}", "1:15: unknown event 'evcited'; one of evicted, oom, ended, restarted (did you mean 'evicted'?)"),
        ("{when: {of: hog}, stop: {fleet: all}}", "1:11: 'of' says to whom 'on' happens; there is no 'on'"),
        ("{when: {on: oom, of: hgo}, stop: {fleet: all}}", "1:24: no fleet named 'hgo' (did you mean 'hog'?)"),
        ("{name: x-1, hold: {fleet: hog}}\n- {name: x, plateau: {fleet: hog, to: 1Mi, for: 1s}}", "2:10: two steps are named 'x-1'"),
    ],
)  # fmt: skip
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        steps(f"- {text}")
    assert str(caught.value) == f"s.yaml:{message}"
