"""From a VM to the VMI that virt-controller creates of it. Pure.

Source: KubeVirt pkg/virt-controller/watch/vm/vm.go `SetupVMIFromVM`, `startVMI` (main); as recorded on a real kind
cluster (vm-always-evicted).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
"""On the VM and on its VMI: virt-controller must have seen the end of either."""
GENERATION = "kubevirt.io/vm-generation"


def vmi_of(vm: Mapping[str, Any]) -> dict[str, Any]:
    """Return the VMI to create: the template under the VM's name, owned by the VM."""
    metadata, template = vm["metadata"], copy.deepcopy(dict(vm["spec"]["template"]))
    mine = dict(template.get("metadata") or {})
    for key in ("generateName", "namespace", "name", "finalizers"):
        mine.pop(key, None)
    mine |= {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "annotations": {**(mine.get("annotations") or {}), GENERATION: str(metadata.get("generation", 1))},
        "finalizers": [FINALIZER],
        "ownerReferences": [owner_reference(vm)],
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": mine,
        "spec": template.get("spec") or {},
    }


def owner_reference(vm: Mapping[str, Any]) -> dict[str, Any]:
    """Return the controller reference that names a VM."""
    metadata = vm["metadata"]
    return {
        "apiVersion": "kubevirt.io/v1",
        "blockOwnerDeletion": True,
        "controller": True,
        "kind": "VirtualMachine",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def revision_name(vm: Mapping[str, Any]) -> str:
    """Return the name of the ControllerRevision a start leaves. None is stored here: only the VMI's status names it."""
    metadata = vm["metadata"]
    return f"revision-start-vm-{metadata['uid']}-{metadata.get('generation', 1)}"


def vm_of(vmi: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and uid of the VM that controls a VMI; empty where none does."""
    for owner in vmi["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == "VirtualMachine":
            return str(owner.get("name", "")), str(owner.get("uid", ""))
    return "", ""
