"""Which claim counts as done: literals in, literals out."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from harness.report.coverage import Covered, Seen, cover, render_json, render_table, shortfalls
from harness.spec.model import Claim

Decider = Literal["kubelet", "kubevirt", "kernel", "qemu", "kubernetes", "nobody"]


def claim(name: str, decided_by: Decider, **more: Any) -> Claim:
    return Claim(
        id=name,
        quote="",
        promise="",
        promise_kind=None,
        promise_args={},
        today=(),
        decided_by=decided_by,
        **more,
    )


def seen(evidence: str, outcome: str, why: str = "", run: str = "r") -> Seen:
    return Seen(run=run, evidence=evidence, column="main", outcome=outcome, why=why)  # type: ignore[arg-type]


def one(decided_by: Decider, *found: Seen, promised: tuple[str, ...] = ("s.yaml",), why: str = "") -> Covered:
    (covered,) = cover(
        {"X-1": claim("X-1", decided_by)}, {"X-1": promised}, {"X-1": found}, {"X-1": why} if why else {}
    )
    return covered


@pytest.mark.parametrize(
    ("decided_by", "evidence", "state"),
    [
        ("kernel", "kernel", "done"),
        ("qemu", "kernel", "done"),
        ("kernel", "real", "shortfall"),  # someone else's machine: nothing of ours was measured
        ("qemu", "real", "shortfall"),
        ("kubelet", "real", "done"),
        ("kubelet", "kernel", "shortfall"),  # our own kubelet decided it
        ("kubevirt", "kernel", "shortfall"),
        ("kernel", "predicted", "shortfall"),
    ],
)
def test_only_the_evidence_that_settles_a_claim_makes_it_done(
    decided_by: Decider, evidence: str, state: str
) -> None:
    assert one(decided_by, seen(evidence, "refuted")).state == state


def test_what_is_missing_is_said() -> None:
    assert one("kernel", seen("real", "holds")).why == (
        "only evidence real; kernel decides it: evidence kernel is needed"
    )
    assert one("kubelet", seen("kernel", "holds")).why == (
        "only evidence kernel; kubelet decides it: evidence real is needed"
    )
    assert one("kernel").why == (
        "promised, but no run of s.yaml is there; kernel decides it: evidence kernel is needed"
    )
    assert one("kernel", promised=(), why="no machine has it").why == (
        "no scenario promises it: no machine has it"
    )
    assert one("kernel", promised=()).why == "no scenario promises it: nobody has said why"
    covered = one(
        "kernel", seen("kernel", "not-observable", "no KSM", "a"), seen("kernel", "undecided", "late", "b")
    )
    assert covered.state == "shortfall"
    assert covered.why.startswith("not-observable: no KSM; undecided: late; ")


def test_an_undecided_run_beside_a_deciding_one_takes_nothing_away() -> None:
    covered = one("kernel", seen("kernel", "undecided", "late", "a"), seen("kernel", "holds", run="b"))
    assert (covered.state, covered.status, covered.why) == ("done", "holds", "")


def test_disagreeing_runs_are_done_and_contested() -> None:
    covered = one("kernel", seen("kernel", "holds", run="a"), seen("kernel", "refuted", run="b"))
    assert (covered.state, covered.status) == ("done", "contested")


def three() -> tuple[Covered, ...]:
    return cover(
        {
            "A-1": claim("A-1", "kernel"),
            "B-1": claim("B-1", "nobody", untestable="names no measure"),
            "C-1": claim("C-1", "qemu"),
        },
        {"A-1": ["suites/ksm/merge.yaml"]},
        {"A-1": [seen("kernel", "holds")], "C-1": [seen("real", "refuted")]},
        {},
    )


def test_untestable_claims_are_no_shortfall() -> None:
    assert [c.claim for c in shortfalls(three())] == ["C-1"]


def test_the_table_counts_and_names_the_shortfalls_of_the_machine() -> None:
    lines = render_table(three()).splitlines()
    assert lines[1].split() == ["A-1", "kernel", "done", "holds", "1", "holds", "–", "ksm/merge"]
    assert lines[-2] == (
        "3 claims: 1 done (decided by evidence that settles it), 1 shortfall (runs speak of it, but none settles it), "
        "1 untestable (names no measure, or is no statement)"
    )
    assert lines[-1] == "decided by kernel or QEMU, without evidence kernel: C-1"


def test_json_says_the_same() -> None:
    data = json.loads(render_json(three()))
    assert data["schema"] == 1
    assert data["counts"] == {"done": 1, "untestable": 1, "shortfall": 1}
    assert data["shortfalls"] == ["C-1"]
    assert data["claims"][0]["seen"] == [
        {"run": "r", "evidence": "kernel", "column": "main", "outcome": "holds", "why": ""}
    ]
