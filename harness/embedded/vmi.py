"""Editing a VMI's status: phases with their timestamps, conditions as KubeVirt orders and prints them."""

from __future__ import annotations

from typing import Any

FINAL = ("Succeeded", "Failed")


def move_to(status: dict[str, Any], phase: str, now: str) -> None:
    """Set the phase and its transition time, once."""
    status["phase"] = phase
    times = status.setdefault("phaseTransitionTimestamps", [])
    if all(entry["phase"] != phase for entry in times):
        times.append({"phase": phase, "phaseTransitionTimestamp": now})


def set_condition(
    status: dict[str, Any],
    kind: str,
    value: str,
    *,
    reason: str = "",
    message: str = "",
    probe: str | None = None,
    transition: str | None = None,
) -> None:
    """Add or replace a condition in place. An unchanged status and reason keep their transition time."""
    conditions = status.setdefault("conditions", [])
    new: dict[str, Any] = {"lastProbeTime": probe, "lastTransitionTime": transition}
    if message:
        new["message"] = message
    if reason:
        new["reason"] = reason
    new |= {"status": value, "type": kind}
    for index, old in enumerate(conditions):
        if old["type"] == kind:
            if old["status"] == value and old.get("reason", "") == reason:
                new["lastTransitionTime"] = old.get("lastTransitionTime")
                new["lastProbeTime"] = old.get("lastProbeTime")
            conditions[index] = new
            return
    conditions.append(new)


def drop_condition(status: dict[str, Any], kind: str) -> None:
    """Remove a condition."""
    status["conditions"] = [c for c in status.get("conditions") or () if c["type"] != kind]
