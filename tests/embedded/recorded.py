"""What a recording, or our own store, tells of one VMI: its phases, its pod, its events, each in their own order."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[1] / "recordings"


@dataclass(slots=True)
class Story:
    """Consecutive repetitions are dropped; what races on a real cluster (order between the lists) is left out."""

    vmi: list[str] = field(default_factory=list)
    pod: list[str] = field(default_factory=list)
    vmi_events: list[str] = field(default_factory=list)
    pod_events: list[str] = field(default_factory=list)
    node: list[str] = field(default_factory=list)


def records(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(RECORDINGS / f"{name}.ndjson.gz") as lines:
        for line in lines:
            yield json.loads(line)


def watched(name: str, *, since: float, until: float = 1e9) -> Iterator[tuple[str, dict[str, Any]]]:
    for record in records(name):
        if record["stream"] == "watch" and since <= record["t"] < until:
            yield record["type"], record["object"]


def tell(changes: Iterable[tuple[str, Mapping[str, Any]]], vmi: str, *, node: str) -> Story:
    """Tell a VMI's story. Events count when they are new; spam (Pulled) and repetitions don't."""
    story = Story()
    for kind, obj in changes:
        name = obj["metadata"]["name"]
        match obj["kind"]:
            case "VirtualMachineInstance" if name == vmi:
                _add(story.vmi, _vmi(obj))
            case "Pod" if name.startswith(f"virt-launcher-{vmi}-"):
                _add(story.pod, _pod(obj))
            case "Node" if name == node:
                _add(story.node, _node(obj))
            case "Event" if kind == "ADDED" and obj["reason"] != "Pulled":
                about = obj["involvedObject"]
                text = f"{obj['type']} {obj['reason']}"
                if about["kind"] == "VirtualMachineInstance" and about["name"] == vmi:
                    _add(story.vmi_events, text)
                elif about["kind"] == "Pod" and about["name"].startswith(f"virt-launcher-{vmi}-"):
                    _add(story.pod_events, f"{text} {_part(about)}".strip())
            case _:
                pass
    return story


def tell_vm(changes: Iterable[tuple[str, Mapping[str, Any]]], vm: str) -> list[str]:
    """Tell a VirtualMachine's story: its status, step by step."""
    story: list[str] = []
    for kind, obj in changes:
        if obj["kind"] == "VirtualMachine" and obj["metadata"]["name"] == vm:
            status = obj.get("status") or {}
            fields = " ".join(f"{key}={status[key]}" for key in sorted(status) if key != "conditions")
            _add(story, f"{kind} {fields} {_conditions(obj)}")
    return story


def _add(found: list[str], text: str) -> None:
    if not found or found[-1] != text:
        found.append(text)


def _part(about: Mapping[str, Any]) -> str:
    return str(about.get("fieldPath", "")).rpartition("{")[2].rstrip("}")


def _conditions(obj: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> str:
    return " ".join(
        f"{c['type']}={c['status']}{'/' + c['reason'] if c.get('reason') else ''}"
        for c in obj.get("status", {}).get("conditions") or ()
        if c["type"] not in without
    )


def _vmi(obj: Mapping[str, Any]) -> str:
    status = obj.get("status", {})
    return f"{status.get('phase')} qos={status.get('qosClass')} {_conditions(obj)}"


def _pod(obj: Mapping[str, Any]) -> str:
    status = obj.get("status", {})
    containers = [
        f"{c['name']}:{_state(c['state'])}"
        for c in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    ]
    unpaused = ("kubevirt.io/virtual-machine-unpaused",)
    return f"{status.get('phase')} {status.get('reason')} {_conditions(obj, without=unpaused)} {' '.join(containers)}"


def _state(state: Mapping[str, Any]) -> str:
    (kind, data), *_ = state.items()
    if kind == "running":
        return kind
    return f"{kind}/{data['reason']}" + (f"/{data['exitCode']}" if kind == "terminated" else "")


def _node(obj: Mapping[str, Any]) -> str:
    pressure = next(c for c in obj["status"]["conditions"] if c["type"] == "MemoryPressure")
    taints = [taint["key"] for taint in obj["spec"].get("taints") or ()]
    return f"{pressure['status']}/{pressure['reason']} {taints}"
