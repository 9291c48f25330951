"""One module per group of expectations: each says what was seen, how surely, and on which lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.judge.checks.amounts import look_holds_bytes, look_oom_score_adj
from harness.judge.checks.answers import look_admission, look_vnc
from harness.judge.checks.compare import look_ratio, look_stall
from harness.judge.checks.conditions import look_condition
from harness.judge.checks.disk import look_integrity
from harness.judge.checks.ending import look_grace, look_phase, look_shutdown
from harness.judge.checks.evicted import look_evicted, look_survives
from harness.judge.checks.ksm import look_ksm
from harness.judge.checks.nodes import look_allocatable, look_configz
from harness.judge.checks.oom import look_oom
from harness.judge.checks.resources import look_guest_memory, look_qos, look_request
from harness.judge.checks.successor import look_successor
from harness.judge.checks.swap import look_swap
from harness.judge.seen import Run, Seen, unobservable
from harness.spec import expectations as of

LOOKS: Mapping[type[Any], Callable[[Run, Any], Seen]] = {
    of.Request: look_request,
    of.Qos: look_qos,
    of.GuestMemory: look_guest_memory,
    of.Evicted: look_evicted,
    of.Survives: look_survives,
    of.Grace: look_grace,
    of.Shutdown: look_shutdown,
    of.Oom: look_oom,
    of.Phase: look_phase,
    of.Admission: look_admission,
    of.OomScoreAdj: look_oom_score_adj,
    of.Allocatable: look_allocatable,
    of.Configz: look_configz,
    of.Vnc: look_vnc,
    of.Condition: look_condition,
    of.Successor: look_successor,
    of.Ratio: look_ratio,
    of.Stall: look_stall,
    of.HoldsBytes: look_holds_bytes,
    of.Ksm: look_ksm,
    of.Swap: look_swap,
    of.Integrity: look_integrity,
}


def look(run: Run, expectation: object) -> Seen:
    """Return what a run shows of one expectation; a kind that nobody here can judge is not observable."""
    found = LOOKS.get(type(expectation))
    if found is None:
        return unobservable(f"this version can't judge {type(expectation).__name__}")
    return found(run, expectation)
