"""What the records of a run say, read without the harness: files and JSON only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def provenance(run: Path) -> Record:
    """`run.json`."""
    found: Record = json.loads((run / "run.json").read_bytes())
    return found


def records(run: Path) -> list[Record]:
    """Every whole line of `records.ndjson`."""
    found = []
    for line in (run / "records.ndjson").read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def findings(run: Path) -> dict[str, str]:
    """Check → outcome; promises by the claim's name."""
    judged = json.loads((run / "findings.json").read_bytes())["findings"]
    return {one.get("claim") or one["check"]: one["outcome"] for one in judged}


def objects(run: Path, kind: str) -> Iterator[tuple[float, Record]]:
    """Yield (seconds, object) of watch records of a kind."""
    for record in records(run):
        if record["stream"] == "watch" and record["object"].get("kind") == kind:
            yield record["t"], record["object"]


def guest_of(pod: Record) -> str:
    """Return the name of the VMI that a virt-launcher pod belongs to."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((o["name"] for o in owners if o["kind"] == "VirtualMachineInstance"), "")


def phases(run: Path, name: str) -> Iterator[tuple[float, str]]:
    """Yield (seconds, phase) of a VMI and of its pod."""
    for t, vmi in objects(run, "VirtualMachineInstance"):
        if vmi["metadata"]["name"] == name:
            yield t, vmi.get("status", {}).get("phase", "")
    for t, pod in objects(run, "Pod"):
        if guest_of(pod) == name:
            yield t, pod.get("status", {}).get("phase", "")


def evicted(run: Path) -> set[str]:
    """Names of VMIs whose pod the kubelet terminated: its condition, not its reason."""
    return {
        guest_of(pod)
        for _, pod in objects(run, "Pod")
        for condition in pod.get("status", {}).get("conditions") or ()
        if condition["type"] == "DisruptionTarget"
        and condition["status"] == "True"
        and condition.get("reason") == "TerminationByKubelet"
    }


def oom_killed(run: Path, *, scope: str) -> set[str]:
    """Names of VMIs whose guest the kernel killed at the limit of that scope."""
    return {
        record["vmi"].rpartition("/")[2]
        for record in records(run)
        if record["stream"] == "kernel" and record["scope"] == scope and record.get("vmi")
    }


def created(run: Path) -> dict[str, str]:
    """VMI (`namespace/name`) → the nonce it was given."""
    return {
        record["target"]: record["args"]["nonce"]
        for record in records(run)
        if record["stream"] == "action" and record["what"] == "create"
    }


def words(line: str) -> dict[str, str]:
    """`@ hello a=b c=d` → {a: b, c: d}."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)
