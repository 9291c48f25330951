"""Starting, stopping and restarting a VM, as virt-api's subresources do: they only ask, virt-controller acts.

Source: KubeVirt `pkg/virt-api/rest/lifecycle.go` (main). A paused start and a grace period are refused: nothing here
would honour them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.embedded.api.errors import BadRequest, Conflict, NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import VMIS, VMS
from harness.embedded.api.store import Store

NOT_RUNNING = "VM is not running"
_OPTIONS = ("paused", "gracePeriod", "gracePeriodSeconds")
_FINAL = ("Succeeded", "Failed")


def run_strategy(vm: Mapping[str, Any]) -> str:
    """Return a VM's run strategy, the deprecated `running` understood (VirtualMachine.RunStrategy in types.go)."""
    spec = vm.get("spec") or {}
    if spec.get("running") is not None:
        return "Always" if spec["running"] else "Halted"
    return str(spec.get("runStrategy") or "Halted")


def act(store: Store, namespace: str, name: str, verb: str, options: Mapping[str, Any]) -> None:
    """Ask for a start, stop or restart. Raises `NotFound`, `Conflict` (the strategy or phase forbids), `BadRequest`."""
    for option in _OPTIONS:
        if options.get(option):
            raise BadRequest(f"{option} is not supported by the embedded cluster")
    dry = bool(options.get("dryRun"))
    try:
        vm = store.get(VMS, namespace, name)
    except NotFound:
        raise NotFound(f'virtualmachine.kubevirt.io "{name}" not found', details=_details(name)) from None
    try:
        vmi: Object | None = store.get(VMIS, namespace, name)
    except NotFound:
        vmi = None
    changes = {"start": _start, "stop": _stop, "restart": _restart}[verb](vm, vmi)
    if dry:
        return

    def write(obj: dict[str, Any]) -> None:
        if isinstance(changes, bool):
            spec = obj["spec"]
            if spec.get("running") is not None:
                spec["running"] = changes
            else:
                spec["runStrategy"] = "Always" if changes else "Halted"
        else:
            obj.setdefault("status", {})["stateChangeRequests"] = changes

    store.mutate(VMS, namespace, name, write)


Changes = bool | list[dict[str, Any]]
"""Run (True) or halt (False) by the spec, or requests to virt-controller in the status."""


def _start(vm: Object, vmi: Object | None) -> Changes:
    strategy, phase = run_strategy(vm), _phase(vmi)
    if vmi is not None and phase and phase not in _FINAL:
        raise _conflict(vm, "VM is already running")
    match strategy:
        case "Halted":
            return True
        case "Manual" | "RerunOnFailure":
            if strategy == "RerunOnFailure" and phase == "Failed":
                raise _conflict(vm, f"{strategy} does not support starting VM from failed state")
            stop = [_stop_request(vmi)] if vmi is not None and phase in _FINAL else []
            return [*stop, {"action": "Start"}]
    raise _conflict(vm, f"{strategy} does not support manual start requests")


def _stop(vm: Object, vmi: Object | None) -> Changes:
    strategy = run_strategy(vm)
    if strategy in {"Always", "Once"}:
        return False
    if vmi is None or _phase(vmi) in _FINAL:
        raise _conflict(vm, NOT_RUNNING)
    if strategy == "Halted":
        raise _conflict(vm, f"{strategy} only supports manual stop requests with a shorter graceperiod")
    return [_stop_request(vmi)]


def _restart(vm: Object, vmi: Object | None) -> Changes:
    strategy = run_strategy(vm)
    if strategy in {"Halted", "Once"}:
        raise _conflict(vm, f"RunStategy {strategy} does not support manual restart requests")  # sic
    if vmi is None:
        raise _conflict(vm, f"{NOT_RUNNING}: Halted")
    return [_stop_request(vmi), {"action": "Start"}]


def _stop_request(vmi: Object) -> dict[str, Any]:
    return {"action": "Stop", "uid": vmi["metadata"]["uid"]}


def _phase(vmi: Object | None) -> str:
    return str(((vmi or {}).get("status") or {}).get("phase") or "")


def _details(name: str) -> dict[str, str]:
    return {"name": name, "group": "kubevirt.io", "kind": "virtualmachine"}


def _conflict(vm: Object, why: str) -> Conflict:
    name = vm["metadata"]["name"]
    return Conflict(
        f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{name}": {why}', details=_details(name)
    )
