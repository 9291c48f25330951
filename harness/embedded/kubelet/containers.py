"""What became of a pod's containers, and `containerStatuses` made of it.

Source: kubelet_pods.go `convertToAPIContainerStatuses` (Kubernetes 1.36); shapes as recorded on a real kind cluster.
Times are wall times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.embedded.clock import stamp
from harness.units import Seconds

Role = Literal["init", "sidecar", "main"]

UNKNOWN = "ContainerStatusUnknown"
GONE_WHEN_DELETED = (
    "The container could not be located when the pod was deleted.  The container used to be Running"
)
GONE_WHEN_TERMINATED = "The container could not be located when the pod was terminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not started yet, or (after an eviction) not found any more."""

    reason: str = "PodInitializing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Started at `since`."""

    since: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """Ended. `since` None: the kubelet lost track of it."""

    code: int
    reason: str
    since: Seconds | None = None
    until: Seconds | None = None
    message: str = ""


State = Waiting | Running | Terminated


@dataclass(slots=True, kw_only=True)
class Container:
    """One container of a running pod. The only mutable thing here: the pod's worker moves it."""

    name: str
    role: Role
    spec: Mapping[str, Any]
    identity: str = ""
    state: State = field(default_factory=Waiting)
    last: Terminated | None = None
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return isinstance(self.state, Running)

    @property
    def ready(self) -> bool:
        """A main container or sidecar that runs (no probes), or an init container that completed."""
        if self.role == "init":
            return isinstance(self.state, Terminated) and self.state.code == 0
        return self.running

    def lose(self) -> None:
        """Forget it as the kubelet does when its sandbox went before its exit was read."""
        self.last = Terminated(code=137, reason=UNKNOWN, message=GONE_WHEN_DELETED)
        self.state = Waiting()
        self.restarts = 1
        self.identity = ""

    def settle(self) -> None:
        """Give a forgotten container the end that the terminal status sync writes."""
        if isinstance(self.state, Waiting):
            self.state = Terminated(code=137, reason=UNKNOWN, message=GONE_WHEN_TERMINATED)


def containers_of(spec: Mapping[str, Any]) -> list[Container]:
    """Return a pod spec's containers, init containers first, in their order."""
    found = [
        Container(
            name=item["name"], role="sidecar" if item.get("restartPolicy") == "Always" else "init", spec=item
        )
        for item in spec.get("initContainers") or ()
    ]
    found += [Container(name=item["name"], role="main", spec=item) for item in spec.get("containers") or ()]
    return found


def container_status(container: Container) -> dict[str, Any]:
    """Render one entry of `containerStatuses` or `initContainerStatuses`."""
    spec, known = container.spec, bool(container.identity)
    status: dict[str, Any] = {
        "name": container.name,
        "state": _state(container.state, container.identity),
        "lastState": _state(container.last, "") if container.last else {},
        "ready": container.ready,
        "restartCount": container.restarts,
        "image": spec.get("image", ""),
        "imageID": f"embedded://{spec.get('image', '')}" if known else "",
    }
    if known:
        status["containerID"] = f"embedded://{container.identity}"
    status["started"] = container.running
    if known:
        requests = (spec.get("resources") or {}).get("requests")
        if requests:
            status["allocatedResources"] = dict(requests)
        status["resources"] = dict(spec.get("resources") or {})
    status["volumeMounts"] = [
        {
            "name": mount["name"],
            "mountPath": mount["mountPath"],
            **({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {}),
        }
        for mount in spec.get("volumeMounts") or ()
    ]
    return status


def _state(state: State, identity: str) -> dict[str, Any]:
    match state:
        case Waiting(reason=reason):
            return {"waiting": {"reason": reason}}
        case Running(since=since):
            return {"running": {"startedAt": stamp(since)}}
        case Terminated():
            ended: dict[str, Any] = {"exitCode": state.code, "reason": state.reason}
            if state.message:
                ended["message"] = state.message
            ended["startedAt"] = None if state.since is None else stamp(state.since)
            ended["finishedAt"] = None if state.until is None else stamp(state.until)
            if identity:
                ended["containerID"] = f"embedded://{identity}"
            return {"terminated": ended}
