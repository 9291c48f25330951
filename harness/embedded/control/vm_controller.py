"""virt-controller's part for VirtualMachines: keep a VMI as the run strategy says, and make a new one after its end.

Source: KubeVirt pkg/virt-controller/watch/vm/vm.go (main); the order of writes as recorded on a real kind cluster
(vm-always-evicted). Like a client-go controller it acts on what its watch has shown, and expects its own creations and
deletions before it acts again. A VMI that was running is replaced at once, whatever ended it; nothing prefers its old
node. What it deletes takes the evidence with it: the VMI, then its pods.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from harness.embedded.api.errors import ApiError, NotFound
from harness.embedded.api.hooks import Admission
from harness.embedded.api.lifecycle import run_strategy
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import VMIS, VMS, Resource
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock
from harness.embedded.control.vm_status import Failed, Sight, phase_of, update_status
from harness.embedded.control.vm_template import FINALIZER, owner_reference, revision_name, vm_of, vmi_of
from harness.embedded.events import Recorder
from harness.embedded.vmi import FINAL

Key = tuple[str, str]
"""Namespace and name, the same of a VM and its VMI."""
Edit = Callable[[dict[str, Any]], None]
_OBSERVED = {
    "kubevirt.io/latest-observed-api-version": "v1",
    "kubevirt.io/storage-observed-api-version": "v1",
}
_STARTING_ERROR = "failure while starting VMI: "
"""startingVMIFailureFmt."""


class VmController:
    """Reconciles VMs. `run` is its task and never returns by itself.

    `admission`: the webhooks its VMIs pass. `recorder`: virt-controller's, which names its events for both.
    """

    def __init__(
        self, store: Store, clock: Clock, *, admission: Admission, recorder: Recorder, seed: int
    ) -> None:
        self._store, self._clock, self._admission = store, clock, admission
        self._rng = random.Random(f"{seed} vm-controller")
        self._recorder = recorder
        self._vms: dict[Key, Object] = {}
        self._vmis: dict[Key, Object] = {}
        self._created: dict[Key, str] = {}
        """VMIs created and not seen yet: uid."""
        self._deleted: dict[Key, str] = {}
        """VMIs whose deletion was asked for and is not seen yet: uid."""
        self._waiting: dict[Key, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Reconcile on every change of a VM or a VMI, and when a back-off is over."""
        async with asyncio.TaskGroup() as tasks, self._store.subscribe(VMS, VMIS) as changes:
            async for change in changes:
                metadata = change.object["metadata"]
                key = (metadata["namespace"], metadata["name"])
                cache = self._vms if change.resource == VMS else self._vmis
                if change.type == "DELETED":
                    cache.pop(key, None)
                else:
                    cache[key] = change.object
                if change.resource == VMIS:
                    self._observe(key, change.object, gone=change.type == "DELETED")
                elif change.type == "DELETED":
                    self._forget(key)
                self._reconcile(key, tasks)

    def _observe(self, key: Key, vmi: Object, *, gone: bool) -> None:
        metadata = vmi["metadata"]
        if self._created.get(key) == metadata["uid"]:
            del self._created[key]
        if self._deleted.get(key) == metadata["uid"] and (gone or metadata.get("deletionTimestamp")):
            del self._deleted[key]

    def _forget(self, key: Key) -> None:
        self._created.pop(key, None)
        self._deleted.pop(key, None)
        if (task := self._waiting.pop(key, None)) is not None:
            task.cancel()

    def _reconcile(self, key: Key, tasks: asyncio.TaskGroup) -> None:
        vm = self._vms.get(key)
        if vm is None:
            return
        if not _OBSERVED.items() <= (vm["metadata"].get("annotations") or {}).items():
            # Its own change comes back and is acted on then.
            self._edit(vm, lambda obj: obj["metadata"].setdefault("annotations", {}).update(_OBSERVED))
            return
        vmi = self._claimed(vm, self._vmis.get(key))
        failed: Failed | None = None
        if key not in self._created and key not in self._deleted:
            failed = self._sync(key, vm, vmi, tasks)
        self._report(key, vm, vmi, failed)

    def _claimed(self, vm: Object, vmi: Object | None) -> Object | None:
        """Return the VM's VMI; one of its name without a controller is adopted, one with another is none of its."""
        if vmi is None:
            return None
        _, uid = vm_of(vmi)
        if uid == vm["metadata"]["uid"]:
            return vmi
        owners = vmi["metadata"].get("ownerReferences") or ()
        if any(owner.get("controller") for owner in owners) or vmi["metadata"].get("deletionTimestamp"):
            return None
        reference = owner_reference(vm)
        self._edit_vmi(vmi, lambda metadata: metadata.update(ownerReferences=[*owners, reference]))
        return vmi

    # -- what the strategy asks ----------------------------------------------------------------------------------

    def _sync(self, key: Key, vm: Object, vmi: Object | None, tasks: asyncio.TaskGroup) -> Failed | None:
        metadata = vm["metadata"]
        if metadata.get("deletionTimestamp"):
            if vmi is None:
                self._edit(vm, lambda obj: _without_finalizer(obj["metadata"]))
            else:
                self._stop(key, vm, vmi)
            return None
        if FINALIZER not in (metadata.get("finalizers") or ()):
            self._edit(
                vm,
                lambda obj: obj["metadata"].update(
                    finalizers=[*(obj["metadata"].get("finalizers") or ()), FINALIZER]
                ),
            )
        strategy = run_strategy(vm)
        if vmi is None:
            return self._start_if_due(key, vm, strategy, tasks)
        phase = phase_of(vmi)
        over = phase in FINAL
        match strategy:
            case "Always" | "RerunOnFailure":
                stop = over or _asked(vm, "Stop", vmi)
            case "Manual":
                stop = _asked(vm, "Stop", vmi)
            case "Halted":
                stop = True
            case _:
                stop = False
        if stop and not vmi["metadata"].get("deletionTimestamp"):
            self._stop(key, vm, vmi)
            if strategy == "RerunOnFailure" and phase == "Failed":
                self._edit(
                    vm,
                    lambda obj: obj.setdefault("status", {}).update(
                        stateChangeRequests=[{"action": "Start"}]
                    ),
                )
        return None

    def _start_if_due(self, key: Key, vm: Object, strategy: str, tasks: asyncio.TaskGroup) -> Failed | None:
        started = _asked(vm, "Start", None)
        match strategy:
            case "Always" | "Once":
                due = True
            case "RerunOnFailure":
                # Asked for, or the strategy has only just become this one.
                due = started or (vm.get("status") or {}).get("runStrategy") != strategy
            case "Manual":
                due = started
            case _:
                due = False
        if not due:
            return None
        if strategy in {"Always", "RerunOnFailure"} and (left := self._backoff_left(vm)) > 0:
            if key not in self._waiting:
                self._waiting[key] = tasks.create_task(
                    self._again(key, left, tasks), name=f"back-off {key[1]}"
                )
            return None
        return self._start(key, vm)

    def _backoff_left(self, vm: Object) -> float:
        after = ((vm.get("status") or {}).get("startFailure") or {}).get("retryAfterTimestamp")
        return datetime.fromisoformat(after).timestamp() - self._clock.now() if after else 0.0

    async def _again(self, key: Key, seconds: float, tasks: asyncio.TaskGroup) -> None:
        await asyncio.sleep(seconds)
        self._waiting.pop(key, None)
        self._reconcile(key, tasks)

    def _start(self, key: Key, vm: Object) -> Failed | None:
        try:
            missing = _missing(vm)
            if missing:
                raise NotFound(missing)
            prepared = self._store.prepared(VMIS, vmi_of(vm))
            prepared["apiVersion"] = "kubevirt.io/v1"
            admitted = dict(self._admission(VMIS, "CREATE", prepared, None, strict=False).obj)
            status = admitted.get("status") or {}
            admitted["status"] = {**status, "virtualMachineRevisionName": revision_name(vm)}
            vmi = self._store.create(VMIS, admitted)
        except ApiError as error:
            self._recorder.event(
                vm, "Warning", "FailedCreate", f"Error creating virtual machine instance: {error}"
            )
            return Failed("FailedCreate", f"{_STARTING_ERROR}{error}")
        self._created[key] = vmi["metadata"]["uid"]
        self._recorder.event(
            vm,
            "Normal",
            "SuccessfulCreate",
            f"Started the virtual machine by creating the new virtual machine instance {vmi['metadata']['name']}",
        )
        return None

    def _stop(self, key: Key, vm: Object, vmi: Object) -> None:
        metadata = vmi["metadata"]
        if metadata.get("deletionTimestamp"):
            return
        try:
            self._store.delete(VMIS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        except ApiError:
            return  # it is gone, or another of its name is there: the watch will show it
        self._deleted[key] = metadata["uid"]
        self._recorder.event(
            vm,
            "Normal",
            "SuccessfulDelete",
            f"Stopped the virtual machine by deleting the virtual machine instance {metadata['uid']}",
        )

    # -- what it reports -----------------------------------------------------------------------------------------

    def _report(self, key: Key, vm: Object, vmi: Object | None, failed: Failed | None) -> None:
        sight = Sight(vmi=vmi, now=self._clock.now(), failed=failed, stopping=key in self._deleted)
        self._edit(vm, lambda obj: update_status(obj, sight, self._rng))
        if (
            vmi is not None
            and phase_of(vmi) in FINAL
            and FINALIZER in (vmi["metadata"].get("finalizers") or ())
        ):
            self._edit_vmi(vmi, _without_finalizer)

    def _edit(self, vm: Object, change: Edit) -> None:
        self._guarded(VMS, vm, change)

    def _edit_vmi(self, vmi: Object, change: Edit) -> None:
        """Change a VMI's metadata."""
        self._guarded(VMIS, vmi, lambda obj: change(obj["metadata"]))

    def _guarded(self, resource: Resource, of: Object, change: Edit) -> None:
        """Change an object unless it is gone or another has its name by now."""
        metadata = of["metadata"]

        def guarded(obj: dict[str, Any]) -> None:
            if obj["metadata"]["uid"] == metadata["uid"]:
                change(obj)

        try:
            self._store.mutate(resource, metadata["namespace"], metadata["name"], guarded)
        except NotFound:
            return


def _asked(vm: Mapping[str, Any], action: str, vmi: Mapping[str, Any] | None) -> bool:
    """Whether the first pending request is this one; a stop counts for the VMI it names alone."""
    requests = (vm.get("status") or {}).get("stateChangeRequests") or ()
    if not requests or requests[0].get("action") != action:
        return False
    return vmi is None or requests[0].get("uid") == vmi["metadata"]["uid"]


def _without_finalizer(metadata: dict[str, Any]) -> None:
    metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != FINALIZER]


def _missing(vm: Mapping[str, Any]) -> str:
    """What a VM refers to that no embedded cluster has: an instance type or a preference. Empty: nothing."""
    for field in ("instancetype", "preference"):
        matcher = vm["spec"].get(field)
        if matcher:
            kind = str(matcher.get("kind") or f"VirtualMachineCluster{field.capitalize()}").lower()
            return f'{kind.removesuffix("s")}s.instancetype.kubevirt.io "{matcher.get("name", "")}" not found'
    return ""
