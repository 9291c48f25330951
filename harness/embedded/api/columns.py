"""What `kubectl get` prints for each kind: columns and cells.

Sources: Kubernetes 1.36 `pkg/printers/internalversion/printers.go`; KubeVirt
`pkg/virt-operator/resource/generate/components/crds.go` (additionalPrinterColumns). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.embedded.api.durations import since
from harness.embedded.api.resources import (
    CONFIG_MAPS,
    EVENTS,
    KUBEVIRTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
    Resource,
)

Cells = list[Any]
Row = Callable[[Mapping[str, Any], datetime], Cells]


@dataclass(frozen=True, slots=True)
class Columns:
    """A kind's columns (name, type, priority; priority 1 shows with `-o wide`) and what fills them."""

    definitions: tuple[tuple[str, str, int], ...]
    row: Row


def _age(obj: Mapping[str, Any], now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def _condition(obj: Mapping[str, Any], kind: str) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            return str(condition.get("status", ""))
    return ""


def _statuses(status: Mapping[str, Any], field: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = status.get(field) or []
    return found


def _pod_reason(pod: Mapping[str, Any]) -> str:
    """Follow printPod: phase, then status.reason, then what init and main containers say, then deletion."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    if any(
        c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated"
        for c in status.get("conditions") or []
    ):
        reason = "SchedulingGated"
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    initializing = False
    inits = _statuses(status, "initContainerStatuses")
    for index, container in enumerate(inits):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        if terminated is not None:
            reason = f"Init:{_terminated(terminated)}"
        elif waiting and waiting.get("reason") not in {None, "", "PodInitializing"}:
            reason = f"Init:{waiting['reason']}"
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or inits)}"
        initializing = True
        break
    if not initializing or _condition(pod, "Initialized") == "True":
        running = False
        for container in reversed(_statuses(status, "containerStatuses")):
            state = container.get("state") or {}
            if (state.get("waiting") or {}).get("reason"):
                reason = state["waiting"]["reason"]
            elif state.get("terminated") is not None:
                reason = _terminated(state["terminated"])
            elif container.get("ready") and "running" in state:
                running = True
        if reason == "Completed" and running:
            reason = "Running" if _condition(pod, "Ready") == "True" else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in {"Succeeded", "Failed"}:
            return "Terminating"
    return reason


def _terminated(state: Mapping[str, Any]) -> str:
    if state.get("reason"):
        return str(state["reason"])
    if state.get("signal"):
        return f"Signal:{state['signal']}"
    return f"ExitCode:{state.get('exitCode', 0)}"


def _pod(pod: Mapping[str, Any], now: datetime) -> Cells:
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    sidecars = {c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"}
    counted = [
        *(c for c in _statuses(status, "initContainerStatuses") if c.get("name") in sidecars),
        *_statuses(status, "containerStatuses"),
    ]
    ready = sum(1 for c in counted if c.get("ready") and "running" in (c.get("state") or {}))
    restarts = sum(c.get("restartCount", 0) for c in counted)
    finished = [
        ended
        for c in counted
        if (ended := ((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt"))
    ]
    restart_cell = f"{restarts} ({since(max(finished), now)} ago)" if restarts and finished else str(restarts)
    gates = spec.get("readinessGates") or []
    passed = sum(1 for gate in gates if _condition(pod, gate["conditionType"]) == "True")
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or []) + len(sidecars)}",
        _pod_reason(pod),
        restart_cell,
        _age(pod, now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"{passed}/{len(gates)}" if gates else "<none>",
    ]


def _address(node: Mapping[str, Any], kind: str) -> str:
    for address in (node.get("status") or {}).get("addresses") or []:
        if address.get("type") == kind:
            return str(address.get("address"))
    return "<none>"


def _roles(labels: Iterable[str]) -> str:
    prefix = "node-role.kubernetes.io/"
    return ",".join(sorted(label[len(prefix) :] for label in labels if label.startswith(prefix))) or "<none>"


def _node(node: Mapping[str, Any], now: datetime) -> Cells:
    ready = {"True": "Ready", "": "Unknown"}.get(_condition(node, "Ready"), "NotReady")
    if (node.get("spec") or {}).get("unschedulable"):
        ready += ",SchedulingDisabled"
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return [
        node["metadata"]["name"],
        ready,
        _roles(node["metadata"].get("labels") or {}),
        _age(node, now),
        info.get("kubeletVersion", ""),
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _vmi(vmi: Mapping[str, Any], now: datetime) -> Cells:
    status = vmi.get("status") or {}
    interfaces = status.get("interfaces") or [{}]
    return [
        vmi["metadata"]["name"],
        _age(vmi, now),
        status.get("phase", ""),
        interfaces[0].get("ipAddress", ""),
        status.get("nodeName", ""),
        _condition(vmi, "Ready"),
        _condition(vmi, "LiveMigratable"),
        _condition(vmi, "Paused"),
    ]


def _vm(vm: Mapping[str, Any], now: datetime) -> Cells:
    status = (vm.get("status") or {}).get("printableStatus", "")
    return [vm["metadata"]["name"], _age(vm, now), status, _condition(vm, "Ready")]


def _kubevirt(kubevirt: Mapping[str, Any], now: datetime) -> Cells:
    return [
        kubevirt["metadata"]["name"],
        _age(kubevirt, now),
        (kubevirt.get("status") or {}).get("phase", ""),
    ]


def _config_map(config_map: Mapping[str, Any], now: datetime) -> Cells:
    size = len(config_map.get("data") or {}) + len(config_map.get("binaryData") or {})
    return [config_map["metadata"]["name"], str(size), _age(config_map, now)]


def _namespace(namespace: Mapping[str, Any], now: datetime) -> Cells:
    phase = (namespace.get("status") or {}).get("phase", "")
    return [namespace["metadata"]["name"], phase, _age(namespace, now)]


def _event(event: Mapping[str, Any], now: datetime) -> Cells:
    involved, source = event.get("involvedObject") or {}, event.get("source") or {}
    series = event.get("series") or {}
    first = since(event.get("firstTimestamp") or event.get("eventTime"), now)
    count = series.get("count") or event.get("count") or 1
    last_stamp = series.get("lastObservedTime") or event.get("lastTimestamp")
    last = since(last_stamp, now) if last_stamp else first
    shown = f"{last} (x{count} over {first})" if count > 1 and event.get("firstTimestamp") else last
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    return [
        shown,
        event.get("type", ""),
        event.get("reason", ""),
        f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        ", ".join(part for part in (component, host) if part),
        str(event.get("message", "")).strip(),
        first,
        count,
        event["metadata"]["name"],
    ]


def _other(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [obj["metadata"]["name"], _age(obj, now)]


_NAME = ("Name", "string", 0)
_AGE = ("Age", "string", 0)
_OTHER = Columns((_NAME, _AGE), _other)

_COLUMNS: Mapping[Resource, Columns] = {
    PODS: Columns(
        (
            _NAME,
            ("Ready", "string", 0),
            ("Status", "string", 0),
            ("Restarts", "string", 0),
            _AGE,
            ("IP", "string", 1),
            ("Node", "string", 1),
            ("Nominated Node", "string", 1),
            ("Readiness Gates", "string", 1),
        ),
        _pod,
    ),
    NODES: Columns(
        (
            _NAME,
            ("Status", "string", 0),
            ("Roles", "string", 0),
            _AGE,
            ("Version", "string", 0),
            ("Internal-IP", "string", 1),
            ("External-IP", "string", 1),
            ("OS-Image", "string", 1),
            ("Kernel-Version", "string", 1),
            ("Container-Runtime", "string", 1),
        ),
        _node,
    ),
    VIRTUALMACHINEINSTANCES: Columns(
        (
            _NAME,
            ("Age", "date", 0),
            ("Phase", "string", 0),
            ("IP", "string", 0),
            ("NodeName", "string", 0),
            ("Ready", "string", 0),
            ("Live-Migratable", "string", 1),
            ("Paused", "string", 1),
        ),
        _vmi,
    ),
    VIRTUALMACHINES: Columns(
        (_NAME, ("Age", "date", 0), ("Status", "string", 0), ("Ready", "string", 0)), _vm
    ),
    KUBEVIRTS: Columns((_NAME, ("Age", "date", 0), ("Phase", "string", 0)), _kubevirt),
    NAMESPACES: Columns((_NAME, ("Status", "string", 0), _AGE), _namespace),
    EVENTS: Columns(
        (
            ("Last Seen", "string", 0),
            ("Type", "string", 0),
            ("Reason", "string", 0),
            ("Object", "string", 0),
            ("Subobject", "string", 1),
            ("Source", "string", 1),
            ("Message", "string", 0),
            ("First Seen", "string", 1),
            ("Count", "integer", 1),
            ("Name", "string", 1),
        ),
        _event,
    ),
    CONFIG_MAPS: Columns((_NAME, ("Data", "string", 0), _AGE), _config_map),
    SERVICES: _OTHER,
}


def columns(resource: Resource) -> Columns:
    """Return a kind's columns; NAME and AGE for kinds without columns of their own."""
    return _COLUMNS.get(resource, _OTHER)
