"""Hyper-V enlightenments that need others: what the mutator adds by itself, and what the create validator then refuses.

Only of VMIs: a VM's template isn't checked, the VMI made from it is. Source: KubeVirt pkg/virt-api/webhooks/hyperv.go (the
same from v1.6.0 to main), called with the path of the features themselves, hence the fields named twice over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules.causes import INVALID, REQUIRED, Cause
from harness.rules.vmi import get, items, mapping

_NEEDS: Final = (  # in the order of getHypervFeatureDependencies: leaves first
    ("evmcs", "vapic"),
    ("ipi", "vpindex"),
    ("tlbflush", "vpindex"),
    ("synictimer", "synic"),
    ("synic", "vpindex"),
)
_VMX: Final = "vmx"
_POLICY: Final = "require"


def hyperv_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """List what `ValidateVirtualMachineInstanceHyperv` refuses of a spec that the mutator has been at."""
    hyperv = get(vmi_spec, "domain", "features", "hyperv")
    if hyperv is None:
        return
    at = f"{field}.domain.features.hyperv"
    enabled = {
        name: mapping(state).get("enabled") is not False
        for name, state in mapping(hyperv).items()
        if state is not None
    }
    completed = _complete(enabled)
    for name, needed in _NEEDS:
        if enabled.get(name) and not enabled.get(needed):
            path = f"{at}.domain.features.hyperv"
            yield Cause(
                INVALID, f"'{path}.{name}' requires '{path}.{needed}', which was disabled.", f"{path}.{name}"
            )
    if (
        enabled.get("evmcs") and not completed
    ):  # otherwise the mutator has set the CPU feature, whatever it was
        yield from _vmx(vmi_spec)
    if get(vmi_spec, "domain", "features", "hypervPassthrough") is not None:
        yield Cause(
            INVALID,
            "Cannot explicitly set hyperV features if HypervPassthrough is being used. "
            "Please use either HyperV or HypervPassthrough.",
            at,
        )


def _complete(enabled: dict[str, bool]) -> bool:
    """Enable what is needed and not mentioned, as `SetHypervFeatureDependencies`: up to the first that is disabled."""
    return all(not enabled.get(name) or enabled.setdefault(needed, True) for name, needed in _NEEDS)


def _vmx(vmi_spec: Mapping[str, Any]) -> Iterator[Cause]:
    features = tuple(items(mapping(get(vmi_spec, "domain", "cpu")), "features"))
    if not features:
        text = f"{_VMX} cpu feature is required when evmcs is set"
        yield Cause(REQUIRED, text, "spec.domain.cpu.features")
    for index, feature in enumerate(features):
        if feature.get("name") == _VMX and feature.get("policy") != _POLICY:
            text = f"{_VMX} cpu feature has to be set to {_POLICY} policy"
            yield Cause(INVALID, text, f"spec.domain.cpu.features[{index}].policy")
