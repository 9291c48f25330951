"""What a claim's literal leaves open is as the scenario's check asks; what it says stands."""

from typing import Any

import pytest

from harness.judge.findings import bind
from harness.spec.expectations import (
    Check,
    Expectation,
    HoldsBytes,
    Ksm,
    Ratio,
    Stall,
    Successor,
)
from harness.spec.model import Today
from harness.units import Bytes, Seconds


def bound(kind: str, asked: Expectation, **args: Any) -> Expectation:
    check = Check(id="promises/0", kind=kind, expectation=asked, claim="C-1")
    return bind(Today(kind=kind, args=args, verdict="differs"), check)


@pytest.mark.parametrize(
    ("kind", "asked", "args", "expected"),
    [
        (
            "ratio",
            Ratio(of="a", measure="pss", to="b", how="saving", min=1.0),
            {"max": 0.5},
            Ratio(of="a", measure="pss", to="b", how="saving", max=0.5),
        ),
        (
            "ratio",
            Ratio(of="a", measure="pss", to="b", min=1.0),
            {"measure": "rss", "to": "guest", "min": 0.1},
            Ratio(of="a", measure="rss", to="guest", min=0.1),
        ),
        (
            "stall",
            Stall(of="a", quantile="max", during="fill", to="b", max=Seconds(1.0)),
            {"min-factor": 3.0},
            Stall(of="a", quantile="max", during="fill", to="b", min_factor=3.0),
        ),
        (
            "holds-bytes",
            HoldsBytes(of="a", measure="pss", how="growth", since="step:x", at="step:y", min=Bytes(9)),
            {"max": Bytes(3)},
            HoldsBytes(of="a", measure="pss", how="growth", since="step:x", at="step:y", max=Bytes(3)),
        ),
        (
            "ksm",
            Ksm(of="a", since="step:x", at="step:y", min_share=0.9),
            {"max-share": 0.05},
            Ksm(of="a", since="step:x", at="step:y", max_share=0.05),
        ),
        (
            "successor",
            Successor(of="a", node="other", until="running", within=Seconds(5.0)),
            {"within": Seconds(90.0)},
            # where it runs is what is found, not what is asked
            Successor(of="a", node="any", until="running", within=Seconds(90.0)),
        ),
    ],
)
def test_what_a_claim_leaves_open(kind: str, asked: Any, args: dict[str, Any], expected: Any) -> None:
    assert bound(kind, asked, **args) == expected


def test_another_kind_of_check_asks_for_nothing() -> None:
    check = Check(id="p/0", kind="ratio", expectation=Ratio(of="a", measure="pss", to="b"), claim="C-1")
    today = Today(kind="stall", args={"max": Seconds(1.0)}, verdict="differs")
    assert bind(today, check) == Stall(of="a", to="control", max=Seconds(1.0))
