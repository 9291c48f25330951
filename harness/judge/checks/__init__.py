"""One module per group of expectations: each says what was seen, how surely, and on which lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.judge.checks.ending import look_grace, look_phase, look_shutdown
from harness.judge.checks.evicted import look_evicted, look_survives
from harness.judge.checks.oom import look_oom
from harness.judge.checks.resources import look_guest_memory, look_qos, look_request
from harness.judge.seen import Run, Seen
from harness.spec.expectations import (
    Evicted,
    Expectation,
    Grace,
    GuestMemory,
    Oom,
    Phase,
    Qos,
    Request,
    Shutdown,
    Survives,
)

LOOKS: Mapping[type[Any], Callable[[Run, Any], Seen]] = {
    Request: look_request,
    Qos: look_qos,
    GuestMemory: look_guest_memory,
    Evicted: look_evicted,
    Survives: look_survives,
    Grace: look_grace,
    Shutdown: look_shutdown,
    Oom: look_oom,
    Phase: look_phase,
}


def look(run: Run, expectation: Expectation) -> Seen:
    """Return what a run shows of one expectation."""
    return LOOKS[type(expectation)](run, expectation)
