"""What the API server and KubeVirt's webhooks say to a manifest, in their order.

Pure. A VM is taken with the instance type and the preference of its file; one that the file lacks is passed over, as the
webhook does, and stands among the cautions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.explain.companions import resolve
from harness.explain.model import Admission, Setting
from harness.explain.sources import Manifest, point
from harness.rules import admission, schema
from harness.rules.admission_vm import RUNNING_DEPRECATED, vm_causes
from harness.rules.causes import Cause
from harness.rules.defaults import default_spec
from harness.rules.errors import MutationError, QuantityError, RulesError
from harness.rules.instancetype import apply
from harness.rules.preference import requirement_causes, spread_causes
from harness.rules.vmi import spec
from harness.spec.errors import SpecError

Answer = tuple[Admission, Mapping[str, Any], tuple[SpecError, ...]]
"""The answer, the object as stored (a VM: with its VMI's spec as template), and what is wrong with what was written."""


def admit(manifest: Manifest, setting: Setting) -> Answer:
    """Say what is said to a manifest that has an object: decoding, mutating webhook, validating webhook."""
    obj = manifest.object
    assert obj is not None
    kind, version = str(obj["kind"]), str(obj["apiVersion"]).rpartition("/")[2]
    is_vm = kind == "VirtualMachine"
    unknown = [problem for problem in manifest.problems if problem.kind == "unknown"]
    if unknown:
        text = schema.strict_message(kind, unknown, version=version)
        status = admission.status(text, code=400, reason="BadRequest")
        return Admission(allowed=False, message=text, status=status), obj, manifest.mistakes
    webhook = admission.VM_MUTATOR if is_vm else admission.MUTATOR
    if wrong := [problem for problem in manifest.problems if problem.kind in {"type", "missing"}]:
        status = admission.malformed(webhook, wrong)
        text = ", ".join(cause["message"] for cause in status["details"]["causes"])
        return Admission(allowed=False, message=text, status=status), obj, manifest.mistakes
    try:
        obj, causes = _expanded(manifest, obj, setting) if is_vm else (obj, [])
        defaulted = default_spec(
            spec(obj), column=setting.column, configuration=setting.kubevirt, template=is_vm
        )
    except (QuantityError, MutationError) as error:
        status = admission.undecodable(webhook, error)
        wrong_place = () if manifest.mistakes else (point(manifest, "spec", str(error)),)
        answer = Admission(allowed=False, message=str(error), status=status)
        return answer, obj, (*manifest.mistakes, *wrong_place)
    except RulesError as error:
        answer = Admission(allowed=False, message=str(error))
        return answer, obj, (*manifest.mistakes, point(manifest, "spec", str(error)))
    if odd := [problem for problem in manifest.problems if problem.kind == "quantity"]:
        status = admission.undecodable(webhook, QuantityError(odd[0].text))
        return Admission(allowed=False, message=odd[0].text, status=status), obj, manifest.mistakes
    stored = _stored(obj, defaulted)
    if is_vm:
        causes = causes or _vm(manifest, obj, defaulted, setting)
    else:
        causes = admission.validate_vmi(stored, column=setting.column, configuration=setting.kubevirt)
    if causes:
        return _refused(manifest, stored, causes, is_vm=is_vm)
    warnings = [schema.DEPRECATED_V1ALPHA3] if version == "v1alpha3" else []
    if is_vm and obj["spec"].get("running") is not None:
        warnings.append(RUNNING_DEPRECATED)
    answer = Admission(allowed=True, warnings=tuple(warnings))
    return (
        (answer, *_vmi_of(manifest, setting, obj, stored)) if is_vm else (answer, stored, manifest.mistakes)
    )


def _expanded(
    manifest: Manifest, vm: Mapping[str, Any], setting: Setting
) -> tuple[Mapping[str, Any], list[Cause]]:
    """A VM with its instance type and preference applied, or why they can't be."""
    named = resolve(vm, manifest.companions)
    if named.instancetype is None and named.preference is None:
        return vm, []
    if causes := spread_causes(named.instancetype, named.preference):
        return vm, causes
    applied = apply(
        vm["spec"]["template"],
        instancetype=named.instancetype,
        preference=named.preference,
        column=setting.column,
    )
    return {**vm, "spec": {**vm["spec"], "template": applied.template}}, list(applied.conflicts)


def _vm(
    manifest: Manifest, vm: Mapping[str, Any], defaulted: Mapping[str, Any], setting: Setting
) -> list[Cause]:
    named = resolve(vm, manifest.companions)
    lacks = requirement_causes(defaulted, instancetype=named.instancetype, preference=named.preference)
    return lacks or vm_causes(vm, defaulted, column=setting.column, configuration=setting.kubevirt)


def _refused(
    manifest: Manifest, stored: Mapping[str, Any], causes: Sequence[Cause], *, is_vm: bool
) -> Answer:
    webhook = admission.VM_VALIDATOR if is_vm else admission.CREATE_VALIDATOR
    domain = "spec.template.spec.domain" if is_vm else "spec.domain"
    places = tuple(
        point(manifest, cause.field or domain, cause.message)
        for cause in dict.fromkeys(causes)
        if not any(_same(cause.field, mistake) for mistake in manifest.mistakes)
    )
    status = admission.refused(webhook, causes)
    answer = Admission(allowed=False, message=admission.combined(causes), status=status)
    return answer, stored, (*manifest.mistakes, *places)


def _same(field: str, mistake: SpecError) -> bool:
    return bool(field) and mistake.message.startswith(f"{field}:")


def _stored(obj: Mapping[str, Any], vmi_spec: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its VMI spec replaced, as v1."""
    out: dict[str, Any] = {**obj, "apiVersion": "kubevirt.io/v1", "spec": vmi_spec}
    if obj["kind"] == "VirtualMachine":
        out["spec"] = {**obj["spec"], "template": {**obj["spec"]["template"], "spec": vmi_spec}}
    return out


def _vmi_of(
    manifest: Manifest, setting: Setting, vm: Mapping[str, Any], stored: Mapping[str, Any]
) -> tuple[Mapping[str, Any], tuple[SpecError, ...]]:
    """An accepted VM's VMI goes through its own webhooks later: what they refuse is a mistake in the template."""
    try:
        vmi_spec = default_spec(spec(vm), column=setting.column, configuration=setting.kubevirt)
    except RulesError as error:
        return stored, (*manifest.mistakes, point(manifest, "spec.template.spec", str(error)))
    template = stored["spec"]["template"]
    vmi = {"metadata": template.get("metadata") or {}, "spec": vmi_spec}
    causes = admission.validate_vmi(vmi, column=setting.column, configuration=setting.kubevirt)
    if causes and (lacking := resolve(vm, manifest.companions).lacking):
        text = (
            f"{' and '.join(lacking)}: not in this file; add what the VM names as a further YAML document, "
            "after a line with ---"
        )
        field = "spec.instancetype" if vm["spec"].get("instancetype") else "spec.preference"
        return _stored(stored, vmi_spec), (*manifest.mistakes, point(manifest, field, text))
    mistakes = tuple(
        point(
            manifest,
            f"spec.template.{cause.field}" if cause.field else "spec.template.spec.domain",
            f"the VM is accepted, but no VMI comes of it: {cause.message}",
        )
        for cause in dict.fromkeys(causes)
    )
    return _stored(stored, vmi_spec), (*manifest.mistakes, *mistakes)
