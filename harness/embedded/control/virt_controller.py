"""virt-controller: a VMI's pod, its phases up to Scheduled, its Ready condition, its deletion.

Source: KubeVirt pkg/virt-controller/watch/vmi/lifecycle.go (main); the order of writes as recorded on a real kind
cluster. Level-triggered: each change of a VMI or of its pods leads to one reconciliation of that VMI.
VMIs of a VirtualMachine are created and deleted by `vm_controller`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from harness.embedded.api.errors import ApiError, NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import PODS, VMIS
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.control.launcher import launcher_image, render_pod, reports_overhead
from harness.embedded.control.readiness import sync_ready
from harness.embedded.events import Recorder
from harness.embedded.vmi import FINAL, drop_condition, move_to, set_condition
from harness.rules.errors import RulesError
from harness.rules.qos import qos_class
from harness.rules.resources import render_resources

OWNER = "kubevirt.io/created-by"
DOMAIN = "kubevirt.io/domain"
FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
UNPAUSED = "kubevirt.io/virtual-machine-unpaused"
_OBSERVED = {
    "kubevirt.io/latest-observed-api-version": "v1",
    "kubevirt.io/storage-observed-api-version": "v1",
}


class VirtController:
    """Reconciles VMIs. `run` is its task and never returns by itself."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        column: str,
        version: str,
        configuration: Callable[[], Mapping[str, Any]],
        priorities: Mapping[str, int],
        seed: int,
    ) -> None:
        self._store, self._clock = store, clock
        self._column, self._version = column, version
        self._configuration, self._priorities = configuration, priorities
        self._rng = random.Random(f"{seed} virt-controller")
        self.recorder = Recorder(store, clock, component="virtualmachine-controller")
        """Shared with the VM controller, which records under the same name."""
        self._pods: dict[str, dict[str, Object]] = {}
        self._failed: set[str] = set()

    async def run(self) -> None:
        """Reconcile on every change."""
        async with self._store.subscribe(VMIS, PODS) as changes:
            async for change in changes:
                metadata = change.object["metadata"]
                if change.resource == PODS:
                    owner = (metadata.get("labels") or {}).get(OWNER)
                    if owner is None:
                        continue
                    mine = self._pods.setdefault(owner, {})
                    if change.type == "DELETED":
                        mine.pop(metadata["uid"], None)
                    else:
                        mine[metadata["uid"]] = change.object
                    name = (metadata.get("annotations") or {}).get(DOMAIN, "")
                    self._reconcile(metadata["namespace"], name, owner)
                elif change.type == "DELETED":
                    self._pods.pop(metadata["uid"], None)
                    self._failed.discard(metadata["uid"])
                else:
                    self._reconcile(metadata["namespace"], metadata["name"], metadata["uid"])

    def _reconcile(self, namespace: str, name: str, uid: str) -> None:
        try:
            vmi = self._store.get(VMIS, namespace, name)
        except NotFound:
            return
        if vmi["metadata"]["uid"] != uid:
            return
        pods = self._present_pods(uid)
        if vmi["metadata"].get("deletionTimestamp"):
            self._delete(vmi, pods)
            return
        match vmi.get("status", {}).get("phase") or "Pending":
            case "Pending":
                self._pending(vmi, pods)
            case "Scheduling":
                self._scheduling(vmi, pods)
            case "Succeeded" | "Failed":
                self._edit(vmi, lambda status: sync_ready(status, pods, now=self._clock.stamp()))
            case _:
                self._running(vmi, pods)

    def _present_pods(self, uid: str) -> list[Object]:
        """Return the VMI's pods as they are in the store now, which may be newer than the change at hand."""
        found = []
        for pod in self._pods.get(uid, {}).values():
            metadata = pod["metadata"]
            try:
                now = self._store.get(PODS, metadata["namespace"], metadata["name"])
            except NotFound:
                continue
            if now["metadata"]["uid"] == metadata["uid"]:
                found.append(now)
        return found

    # -- phases ------------------------------------------------------------------------------------------------

    def _pending(self, vmi: Object, pods: list[Object]) -> None:
        if not pods:
            self._create_pod(vmi)
            return
        pod = pods[0]
        self._unpause(pod)
        now = self._clock.stamp()
        resources = render_resources(vmi, column=self._column, configuration=self._configuration())

        def schedule(status: dict[str, Any]) -> None:
            move_to(status, "Scheduling", now)
            status["activePods"] = {pod["metadata"]["uid"]: pod["spec"].get("nodeName", "")}
            status["launcherContainerImageVersion"] = launcher_image(self._version)
            if reports_overhead(self._column, self._configuration()):
                memory = status.setdefault("memory", {})
                memory["memoryOverhead"] = str(resources.overhead.quantity)
            sync_ready(status, pods, now=now)

        self._edit(vmi, schedule)

    def _create_pod(self, vmi: Object) -> None:
        metadata = vmi["metadata"]
        if metadata["uid"] in self._failed:
            return
        self._store.mutate(
            VMIS,
            metadata["namespace"],
            metadata["name"],
            lambda obj: obj["metadata"].setdefault("annotations", {}).update(_OBSERVED),
        )
        try:
            pod = render_pod(
                vmi,
                column=self._column,
                configuration=self._configuration(),
                version=self._version,
                rng=self._rng,
                priorities=self._priorities,
            )
            pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
            created = self._store.create(PODS, pod, namespace=metadata["namespace"])
        except KeyError as error:
            self._cannot_create(
                vmi, f"pods is forbidden: no PriorityClass with name {error.args[0]} was found"
            )
        except (RulesError, ApiError) as error:
            self._cannot_create(vmi, str(error))
        else:
            self._pods.setdefault(metadata["uid"], {})[created["metadata"]["uid"]] = created
            name = created["metadata"]["name"]
            self.recorder.event(vmi, "Normal", "SuccessfulCreate", f"Created virtual machine pod {name}")

    def _cannot_create(self, vmi: Object, why: str) -> None:
        """Say why there is no pod; only a new VMI is tried again."""
        self._failed.add(vmi["metadata"]["uid"])
        message = f"Error creating pod: {why}"
        self.recorder.event(vmi, "Warning", "FailedCreate", message)
        now = self._clock.stamp()
        self._edit(
            vmi,
            lambda status: set_condition(
                status, "Synchronized", "False", reason="FailedCreate", message=message, transition=now
            ),
        )

    def _scheduling(self, vmi: Object, pods: list[Object]) -> None:
        if not pods:
            self._fail(vmi)
            return
        pod = pods[0]
        self._unpause(pod)
        now = self._clock.stamp()
        status = pod.get("status", {})
        node = pod["spec"].get("nodeName", "")
        if status.get("phase") in FINAL:
            self._fail(vmi)
            return

        def copy(mine: dict[str, Any]) -> None:
            mine["qosClass"] = status.get("qosClass")
            mine["activePods"] = {pod["metadata"]["uid"]: node}
            _copy_unschedulable(mine, pod)
            sync_ready(mine, pods, now=now)

        self._edit(vmi, copy)
        if status.get("phase") == "Running" and _compute_ready(pod):
            self._hand_over(vmi, pod, now)

    def _hand_over(self, vmi: Object, pod: Object, now: str) -> None:
        """Give the VMI to its node's virt-handler."""
        node = pod["spec"]["nodeName"]

        def hand(obj: dict[str, Any]) -> None:
            obj["metadata"].setdefault("labels", {})["kubevirt.io/nodeName"] = node
            status = obj["status"]
            move_to(status, "Scheduled", now)
            status["nodeName"] = node
            drop_condition(status, "PodScheduled")
            networks = obj["spec"].get("networks") or ()
            if networks:
                status["interfaces"] = [
                    {"name": network["name"], "podInterfaceName": "eth0"} for network in networks[:1]
                ]

        metadata = vmi["metadata"]
        self._store.mutate(VMIS, metadata["namespace"], metadata["name"], hand)

    def _running(self, vmi: Object, pods: list[Object]) -> None:
        if not pods:
            self._fail(vmi)
            return
        self._edit(vmi, lambda status: sync_ready(status, pods, now=self._clock.stamp()))

    def _fail(self, vmi: Object) -> None:
        now = self._clock.stamp()

        def fail(status: dict[str, Any]) -> None:
            if status.get("phase") not in FINAL:
                move_to(status, "Failed", now)
            sync_ready(status, [], now=now)

        self._edit(vmi, fail)

    def _delete(self, vmi: Object, pods: list[Object]) -> None:
        """Delete the pods, then let the VMI go (foreground deletion by finalizer)."""
        metadata = vmi["metadata"]
        for pod in pods:
            if pod["metadata"].get("deletionTimestamp"):
                continue
            name = pod["metadata"]["name"]
            self._store.delete(PODS, pod["metadata"]["namespace"], name)
            self.recorder.event(vmi, "Normal", "SuccessfulDelete", f"Deleted virtual machine pod {name}")
        now = self._clock.stamp()
        remaining = self._present_pods(metadata["uid"])
        phase = vmi.get("status", {}).get("phase")
        if remaining:
            self._edit(vmi, lambda status: sync_ready(status, remaining, now=now))
            return
        if phase not in FINAL:
            self._fail(vmi)
        self._store.mutate(
            VMIS,
            metadata["namespace"],
            metadata["name"],
            lambda obj: obj["metadata"].update(
                finalizers=[f for f in obj["metadata"].get("finalizers") or () if f != FINALIZER]
            ),
        )

    # -- helpers -----------------------------------------------------------------------------------------------

    def _unpause(self, pod: Object) -> None:
        """Set the readiness gate's condition once."""
        if any(c["type"] == UNPAUSED for c in pod.get("status", {}).get("conditions") or ()):
            return
        now = self._clock.stamp()
        condition = {
            "type": UNPAUSED,
            "status": "True",
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": "NotPaused",
            "message": "the virtual machine is not paused",
        }
        metadata = pod["metadata"]
        self._store.mutate(
            PODS,
            metadata["namespace"],
            metadata["name"],
            lambda obj: obj["status"].update(conditions=[condition, *obj["status"].get("conditions", ())]),
        )

    def _edit(self, vmi: Object, change: Callable[[dict[str, Any]], None]) -> None:
        metadata = vmi["metadata"]

        def guarded(obj: dict[str, Any]) -> None:
            if obj["metadata"]["uid"] == metadata["uid"]:
                change(obj.setdefault("status", {}))

        self._store.mutate(VMIS, metadata["namespace"], metadata["name"], guarded)


def _copy_unschedulable(status: dict[str, Any], pod: Object) -> None:
    """Copy the pod's PodScheduled=False, drop it once scheduled (lifecycle.go)."""
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            set_condition(
                status,
                "PodScheduled",
                "False",
                reason=condition.get("reason", ""),
                message=condition.get("message", ""),
                transition=condition["lastTransitionTime"],
            )
            return
    drop_condition(status, "PodScheduled")


def _compute_ready(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return bool(statuses) and all(status.get("ready") for status in statuses)
