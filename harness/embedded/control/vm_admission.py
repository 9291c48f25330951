"""What KubeVirt's webhooks make of a VirtualMachine: defaults written into the template, refusals in their words.

Source: KubeVirt pkg/virt-api/webhooks/mutating-webhook/mutators/vm-mutator.go, …/admitters/vms-admitter.go (main).
Instance types and preferences don't exist here: a VM that names one is admitted, as there, and can't start.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Mapping
from typing import Any

from harness.embedded.api.errors import StatusError
from harness.embedded.api.objects import Object
from harness.rules import admission as words
from harness.rules import schema
from harness.rules.admission_vm import RUNNING_DEPRECATED, vm_causes
from harness.rules.defaults import default_spec
from harness.rules.errors import ManifestError, QuantityError

_PCI = "kubevirt.io/pci-topology-version"


def admit_vm(
    vm: Object,
    *,
    creating: bool,
    column: str,
    configuration: Mapping[str, Any],
    rng: random.Random,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the VM to store and what to warn of. Raises `StatusError` with the webhooks' Status."""
    problems = [p for p in schema.check(vm, "VirtualMachine", column=column) if p.kind == "type"]
    problems += schema.missing(vm, "VirtualMachine", column=column)
    if problems:
        raise StatusError(words.malformed(words.VM_MUTATOR, problems))
    if vm["metadata"].get("deletionTimestamp"):
        return dict(vm), ()
    template = copy.deepcopy(dict(vm["spec"]["template"]))
    metadata = template.setdefault("metadata", {}) or {}
    spec = template.get("spec") or {}
    try:
        defaulted = default_spec(spec, column=column, configuration=configuration, template=True)
    except (QuantityError, ManifestError) as error:
        raise StatusError(words.undecodable(words.VM_MUTATOR, error)) from error
    causes = vm_causes(vm, defaulted, column=column, configuration=configuration, creating=creating)
    if causes:
        raise StatusError(words.refused(words.VM_VALIDATOR, causes))
    domain = spec.setdefault("domain", {})
    spec.setdefault("architecture", defaulted["architecture"])
    machine = domain.setdefault("machine", {}) or {}
    domain["machine"] = {**machine, "type": defaulted["domain"]["machine"]["type"]}
    if creating:
        firmware = domain.get("firmware") or {}
        for name in ("uuid", "serial"):
            firmware[name] = firmware.get(name) or str(uuid.UUID(int=rng.getrandbits(128), version=4))
        domain["firmware"] = firmware
        metadata["annotations"] = {**(metadata.get("annotations") or {}), _PCI: "v3"}
    template |= {"metadata": metadata, "spec": spec}
    warnings = (RUNNING_DEPRECATED,) if vm["spec"].get("running") is not None else ()
    return {**vm, "spec": {**vm["spec"], "template": template}}, warnings
