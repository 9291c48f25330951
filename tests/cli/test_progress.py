"""What a run prints while it goes on."""

from __future__ import annotations

import io

import pytest

from harness.cli.progress import View
from harness.records.model import Action
from harness.units import Seconds


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({"verb": "grow", "fleets": ["hog", "calm"]}, "step one: grow hog, calm"),
        ({"verb": "grow", "fleets": [], "daemons": ["sshd"]}, "step one: grow sshd"),
        ({"verb": "tune", "fleets": []}, "step one: tune the machine"),
    ],
)
def test_a_step_says_whom_it_is_about(args: dict[str, object], line: str) -> None:
    out = io.StringIO()
    View(out).record(
        1, Action(t=Seconds(1.0), at="2026-01-01T00:00:00Z", what="step-start", target="one", args=args)
    )
    assert out.getvalue().rstrip("\n").endswith(line)
