"""What a VM's status says of its VMI: conditions, start failures, pending requests, and one word for people.

Source: KubeVirt pkg/virt-controller/watch/vm/vm.go `updateStatus` and below (main), in its order; as recorded on a real
kind cluster (vm-always-evicted). Left out, since nothing here has them: migrations, volumes, paused guests, pulls.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.embedded.api.lifecycle import run_strategy
from harness.embedded.clock import stamp
from harness.embedded.control.vm_template import GENERATION
from harness.embedded.vmi import FINAL, drop_condition, set_condition
from harness.rules.phase import start_backoff

RESTARTING = ("Always", "RerunOnFailure", "Once")
"""Strategies whose start failures are counted."""
_MAX_BACKOFF = 300.0
_NOT_COPIED = ("Ready", "Failure", "RestartRequired")


@dataclass(frozen=True, slots=True)
class Failed:
    """Why virt-controller could not do what the strategy asks: reason and message of the condition Failure."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one pass knows: the VMI as last seen (None: there is none), the wall time in seconds."""

    vmi: Mapping[str, Any] | None
    now: float
    failed: Failed | None = None
    stopping: bool = False
    """This pass asked for the VMI's deletion, which it has not seen yet."""


def update_status(vm: dict[str, Any], sight: Sight, rng: random.Random) -> None:
    """Write what is seen into a VM's status, in place."""
    status = vm.setdefault("status", {})
    vmi = sight.vmi
    _flag(status, "created", on=vmi is not None)
    _flag(status, "ready", on=vmi is not None and condition(vmi, "Ready").get("status") == "True")
    if vmi is not None:
        generation = (vmi["metadata"].get("annotations") or {}).get(GENERATION)
        if generation is not None:
            status["observedGeneration"] = int(generation)
            status["desiredGeneration"] = vm["metadata"].get("generation", 1)
    if status.get("runStrategy") or vmi is not None:
        status["runStrategy"] = run_strategy(vm)
    if _answered(status.get("stateChangeRequests") or [], vmi):
        rest = status["stateChangeRequests"][1:]
        if rest:
            status["stateChangeRequests"] = rest
        else:
            del status["stateChangeRequests"]
    _start_failure(vm, status, sight, rng)
    _conditions(status, sight)
    status["printableStatus"] = printable(vm, sight)


def printable(vm: Mapping[str, Any], sight: Sight) -> str:
    """Return `printableStatus`; the first that is true, in the order of setPrintableStatus."""
    vmi, status = sight.vmi, vm.get("status") or {}
    if vm["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if vmi is not None:
        phase = phase_of(vmi)
        if phase not in FINAL and (vmi["metadata"].get("deletionTimestamp") or sight.stopping):
            return "Stopping"
        if phase == "Running":
            return "Running"
        scheduled = condition(vmi, "PodScheduled")
        if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
            return "ErrorUnschedulable"
        if phase not in FINAL:
            return "Starting" if phase in {"", "Pending", "Scheduling", "Scheduled"} else "Unknown"
    failures = (status.get("startFailure") or {}).get("consecutiveFailCount", 0)
    if failures > 0 and run_strategy(vm) in RESTARTING:
        return "CrashLoopBackOff"
    return "Stopped"


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of an object, empty where it has none of that type."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), {})


def phase_of(vmi: Mapping[str, Any]) -> str:
    """Return `status.phase`, empty while there is none."""
    return str((vmi.get("status") or {}).get("phase") or "")


def was_running(vmi: Mapping[str, Any]) -> bool:
    """Whether a VMI ever ran."""
    times = (vmi.get("status") or {}).get("phaseTransitionTimestamps") or ()
    return any(entry["phase"] == "Running" for entry in times)


def backoff(failures: int, rng: random.Random) -> float:
    """Return seconds until the next start after so many that never ran: n² x 10 and up to half as much again, at most 300."""
    base = start_backoff(max(1, failures))
    return min(_MAX_BACKOFF, base + rng.randrange(int(base / 2) + 1))


def _flag(status: dict[str, Any], name: str, *, on: bool) -> None:
    if on:
        status[name] = True
    else:
        status.pop(name, None)


def _answered(requests: list[Any], vmi: Mapping[str, Any] | None) -> bool:
    """Whether the first pending request has been met, so that it goes (isTrimFirstChangeRequestNeeded)."""
    if not requests:
        return False
    match requests[0].get("action"):
        case "Stop":
            return vmi is None or requests[0].get("uid") != vmi["metadata"]["uid"]
        case "Start":
            return (
                vmi is not None
                and not vmi["metadata"].get("deletionTimestamp")
                and phase_of(vmi) not in FINAL
            )
    return False


def _start_failure(vm: Mapping[str, Any], status: dict[str, Any], sight: Sight, rng: random.Random) -> None:
    vmi = sight.vmi
    if (vmi is not None and was_running(vmi)) or run_strategy(vm) not in RESTARTING:
        status.pop("startFailure", None)
        return
    if vmi is None or phase_of(vmi) not in FINAL:
        return
    before = status.get("startFailure") or {}
    uid = vmi["metadata"]["uid"]
    if before.get("lastFailedVMIUID") == uid:
        return
    count = before.get("consecutiveFailCount", 0) + 1
    status["startFailure"] = {
        "consecutiveFailCount": count,
        "lastFailedVMIUID": uid,
        "retryAfterTimestamp": stamp(sight.now + backoff(count, rng)),
    }


def _conditions(status: dict[str, Any], sight: Sight) -> None:
    vmi, now = sight.vmi, stamp(sight.now)
    ready = condition(vmi, "Ready") if vmi is not None else {}
    if not ready:
        reason, message = (
            ("VMINotExists", "VMI does not exist")
            if vmi is None
            else ("VMIConditionMissing", "VMI is missing the Ready condition")
        )
        set_condition(status, "Ready", "False", reason=reason, message=message, probe=now, transition=now)
    else:
        _copy(status, ready)
    if sight.failed is None:
        drop_condition(status, "Failure")
    else:
        set_condition(
            status,
            "Failure",
            "True",
            reason=sight.failed.reason,
            message=sight.failed.message,
            transition=now,
        )
    if vmi is None:
        return
    copied = [c for c in (vmi.get("status") or {}).get("conditions") or () if c["type"] not in _NOT_COPIED]
    for one in copied:
        _copy(status, one)
    kept = {c["type"] for c in copied} | set(_NOT_COPIED)
    status["conditions"] = [c for c in status["conditions"] if c["type"] in kept]


def _copy(status: dict[str, Any], one: Mapping[str, Any]) -> None:
    conditions = status.setdefault("conditions", [])
    for index, old in enumerate(conditions):
        if old["type"] == one["type"]:
            conditions[index] = dict(one)
            return
    conditions.append(dict(one))
