"""Every kind of expectation has words, and they say all that is asked."""

from __future__ import annotations

from typing import Any

import pytest

from harness.judge.wording import beyond, describe
from harness.spec.expectations import (
    KINDS,
    Admission,
    Allocatable,
    Condition,
    Configz,
    HoldsBytes,
    Integrity,
    Ksm,
    OomScoreAdj,
    Ratio,
    Stall,
    Successor,
    Swap,
    Vnc,
)
from harness.units import Bytes, Seconds

MI = 1 << 20
WORDS: list[tuple[Any, str]] = [
    (
        Admission(of="hog", allowed=False, code=422, message="guest memory", max_warnings=0),
        "admission of hog: refused, HTTP 422, saying 'guest memory', at most 0 warnings",
    ),
    (OomScoreAdj(of="hog", min=-997, max=-997), "oom-score-adj of hog: -997 … -997"),
    (
        Allocatable(of="all", memory=Bytes(5), tolerance=Bytes(1)),
        "allocatable of all: memory 5 bytes, give or take 1 bytes",
    ),
    (
        Configz(of="node", values={("evictionHard", "memory.available"): "100Mi"}, knows=("a",)),
        "configz of node: evictionHard.memory.available 100Mi, knows a",
    ),
    (Vnc(of="hog", status=400), "vnc of hog: HTTP 400"),
    (
        Condition(of="hog", object="node", type="MemoryPressure", status="True", ever=True),
        "condition of hog: node MemoryPressure True at some time",
    ),
    (
        Successor(of="victim", node="other", within=Seconds(60.0)),
        "successor of victim: 1 or more on another node, scheduled at most 60 s after the end",
    ),
    (
        Ratio(of="a", measure="usage", how="saving", min=50.0 * MI),
        "ratio: usage of a less than that of control, at least 50 MiB",
    ),
    (
        Ratio(of="a", measure="request", to="b", min=0.5, max=0.5),
        "ratio: request of a divided by that of b, 0.5",
    ),
    (
        Stall(of="a", min_factor=10.0, during="swap"),
        "stall of a: p99 of the worst second during swap, at least 10 x that of control",
    ),
    (
        HoldsBytes(of="a", measure="pss", how="growth", min=Bytes(MI), max_share=0.5),
        "PSS of a's QEMU grows from the start to the end, at least 1 MiB, at most 50 % of its memory",
    ),
    (
        HoldsBytes(of="a", measure="held", at="step:fill", min=Bytes(MI)),
        "memory held by a at the end of step fill, at least 1 MiB",
    ),
    (Ksm(of="all", run=1, min_share=0.9), "ksm of all: run 1, at least 90 % of what could be"),
    (Ksm(of="all", min=Bytes(1)), "ksm of all: at least 1 B merged"),
    (
        Swap(of="all", max=Bytes(0), pressure=False),
        "swap of all: at most 0 MiB in use at the end, without MemoryPressure",
    ),
    (Integrity(of="victim", max_lost_synced=0), "integrity of victim: at most 0 fsynced records lost"),
]


@pytest.mark.parametrize(("expectation", "words"), WORDS)
def test_words(expectation: Any, words: str) -> None:
    assert describe(expectation) == words


def test_every_kind_that_is_judged_has_words_of_its_own() -> None:
    new = {type(expectation) for expectation, _ in WORDS}
    before = {"request", "qos", "guest-memory", "evicted", "survives", "grace", "shutdown", "oom", "phase"}
    assert {name for name, kind in KINDS.items() if kind not in new} == before


@pytest.mark.parametrize(
    ("reason", "said", "left"),
    [
        ("nobody was evicted", "nobody was evicted", ""),
        ("nobody was evicted", "nobody was evicted (not for memory: d/hog at t = 1 s: pid)", ""),
        ("nobody was evicted; the records end", "nobody was evicted", "the records end"),
        ("too late; too late", "evicted at t = 3 s", "too late"),
        ("", "s", ""),
    ],
)
def test_a_reason_says_what_was_not_said_yet(reason: str, said: str, left: str) -> None:
    assert beyond(reason, said) == left
