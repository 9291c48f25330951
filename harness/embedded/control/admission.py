"""What the API server's admission makes of an object: decoding, KubeVirt's webhooks, CRD validation, defaults.

Source: the answers of a real cluster (kubevirt-api-answers, kubevirt-resource-matrix); KubeVirt pkg/virt-api/webhooks,
pkg/defaults (main). Texts and checks are `rules.admission`, fields `rules.schema`, defaults `rules.defaults`.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.embedded.api.errors import BadRequest, Invalid, StatusError
from harness.embedded.api.hooks import Operation
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import KUBEVIRTS, PODS, VMIS, VMS, Resource
from harness.embedded.clock import Clock
from harness.embedded.control.virt_controller import FINALIZER
from harness.embedded.control.vm_admission import admit_vm
from harness.embedded.vmi import move_to
from harness.rules import admission as words
from harness.rules import schema
from harness.rules.defaults import default_spec
from harness.rules.errors import ManifestError, QuantityError
from harness.rules.qos import qos_class
from harness.rules.vmi import get

UPDATE_VALIDATOR = "virtualmachineinstances-update-validator.kubevirt.io"
_TOPOLOGY = ("cores", "sockets", "threads")
_USER = 107


class Rejected(StatusError):
    """Refused, with the `Status` a real cluster answers."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The object to store, and texts for `Warning: 299` headers."""

    obj: dict[str, Any]
    warnings: tuple[str, ...] = ()


class Admission:
    """Admits objects that come over HTTPS. `configuration()` is the KubeVirt CR's present `spec.configuration`."""

    def __init__(
        self,
        clock: Clock,
        *,
        column: str,
        configuration: Callable[[], Mapping[str, Any]],
        seed: int,
    ) -> None:
        self._clock = clock
        self._column = column
        self._configuration = configuration
        self._rng = random.Random(f"{seed} admission")

    def __call__(
        self, resource: Resource, operation: Operation, obj: Object, old: Object | None, *, strict: bool
    ) -> Admitted:
        """Return what to store. Raises `Rejected`, `BadRequest`, `Invalid`."""
        if resource == VMIS:
            return self._vmi(operation, obj, old, strict=strict)
        if resource == VMS:
            return self._vm(operation, obj, strict=strict)
        if resource == KUBEVIRTS:
            return self._kubevirt(obj, strict=strict)
        if resource == PODS and operation == "CREATE":
            return Admitted(_pod(obj))
        return Admitted(obj)

    def _vmi(self, operation: Operation, obj: Object, old: Object | None, *, strict: bool) -> Admitted:
        obj, warnings = _decode(obj, "VirtualMachineInstance", column=self._column, strict=strict)
        if operation == "UPDATE":
            if old is not None and obj.get("spec") != old.get("spec"):
                cause = words.Cause(words.NOT_SUPPORTED, "update of VMI object is restricted")
                raise Rejected(words.refused(UPDATE_VALIDATOR, [cause]))
            return Admitted(obj, warnings)
        _check_types(obj, VMIS, "VirtualMachineInstance", column=self._column)
        configuration = self._configuration()
        try:
            spec = default_spec(obj.get("spec") or {}, column=self._column, configuration=configuration)
        except (QuantityError, ManifestError) as error:
            raise Rejected(words.undecodable(words.MUTATOR, error)) from error
        defaulted = {**obj, "spec": spec}
        causes = words.validate_vmi(defaulted, column=self._column, configuration=configuration)
        if causes:
            raise Rejected(words.refused(words.CREATE_VALIDATOR, causes))
        return Admitted(self._new_vmi(defaulted), warnings)

    def _vm(self, operation: Operation, obj: Object, *, strict: bool) -> Admitted:
        obj, warnings = _decode(obj, "VirtualMachine", column=self._column, strict=strict)
        admitted, more = admit_vm(
            obj,
            creating=operation == "CREATE",
            column=self._column,
            configuration=self._configuration(),
            rng=self._rng,
        )
        return Admitted(admitted, (*warnings, *more))

    def _new_vmi(self, vmi: dict[str, Any]) -> dict[str, Any]:
        """Add what the mutating webhook makes up: firmware UUID, finalizer, first status."""
        spec = vmi["spec"]
        firmware = dict(get(spec, "domain", "firmware") or {})
        firmware.setdefault("uuid", str(uuid.UUID(int=self._rng.getrandbits(128), version=4)))
        spec["domain"]["firmware"] = firmware
        metadata = {**vmi["metadata"]}
        metadata["annotations"] = {
            **(metadata.get("annotations") or {}),
            "kubevirt.io/pci-topology-version": "v3",
        }
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), FINALIZER]
        guest = get(spec, "domain", "memory", "guest")
        cpu = spec["domain"]["cpu"]
        status: dict[str, Any] = {
            "currentCPUTopology": {part: cpu[part] for part in _TOPOLOGY if cpu.get(part)},
            "guestOSInfo": {},
            "memory": dict.fromkeys(("guestAtBoot", "guestCurrent", "guestRequested"), guest),
            "runtimeUser": _USER,
        }
        move_to(status, "Pending", self._clock.stamp())
        return {**vmi, "metadata": metadata, "spec": spec, "status": status}

    def _kubevirt(self, obj: Object, *, strict: bool) -> Admitted:
        obj, warnings = _decode(obj, "KubeVirt", column=self._column, strict=strict)
        refusal = words.validate_configuration(get(obj, "spec", "configuration") or {})
        if refusal is not None:
            raise Rejected(words.kubevirt_status(refusal, obj["metadata"]["name"]))
        _check_types(obj, KUBEVIRTS, "KubeVirt", column=self._column)
        return Admitted(obj, warnings)


def _decode(obj: Object, kind: str, *, column: str, strict: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Prune unknown fields, with a warning each; refuse them if `strict`. Say of v1alpha3 that it is deprecated."""
    version = obj["apiVersion"].rsplit("/", 1)[-1]
    unknown = schema.unknown(obj, kind, column=column)
    if unknown and strict:
        raise BadRequest(schema.strict_message(kind, unknown, version=version))
    warnings = [schema.warning(problem) for problem in unknown]
    if version == "v1alpha3":
        warnings.append(schema.DEPRECATED_V1ALPHA3)
    return (schema.prune(obj, kind, column=column) if unknown else obj), tuple(warnings)


def _check_types(obj: Object, resource: Resource, kind: str, *, column: str) -> None:
    """Refuse values of the wrong type, as CRD validation words it. Raises `Invalid`."""
    causes = [
        ("FieldValueTypeInvalid", problem.dotted, _wrong_type(problem))
        for problem in schema.check(obj, kind, column=column)
        if problem.kind == "type"
    ]
    if causes:
        raise Invalid.of(resource, obj["metadata"]["name"], causes)


def _wrong_type(problem: schema.Problem) -> str:
    found = f'"{problem.found}"'
    return f"Invalid value: {found}: {problem.dotted} in body must be of type {problem.expected}: {found}"


def _pod(pod: Object) -> dict[str, Any]:
    """Set the QoS class, as the API server does at creation."""
    return {**pod, "status": {**(pod.get("status") or {}), "qosClass": qos_class(pod["spec"])}}
