"""Cases of rendered pods, and what our rules make of them, in the tables' notation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.rules.admission import validate_vmi
from harness.rules.defaults import default_vmi
from harness.rules.resources import Namespace, render_resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One VMI under one configuration, and what its compute container gets; ephemeral storage is left out."""

    name: str
    spec: Mapping[str, Any]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    quota: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    requests: str
    limits: str
    memory_v19: str
    memory_v18: str = ""


def rendered_compute(case: Case, column: str) -> tuple[str, str]:
    """Return requests and limits of the compute container; the VMI must be one that the webhooks take."""
    vmi = {"metadata": {"name": "v", "annotations": case.annotations}, "spec": case.spec}
    defaulted = default_vmi(vmi, column=column, configuration=case.configuration)
    assert validate_vmi(defaulted, column=column, configuration=case.configuration) == []
    namespace = Namespace(
        labels=case.labels,
        memory_quota="limits.memory" in case.quota,
        cpu_quota="limits.cpu" in case.quota,
    )
    rendered = render_resources(
        defaulted,
        column=column,
        configuration=case.configuration,
        namespace=namespace,
        defaulted=True,
    )
    resources = rendered.containers[0]["resources"]
    return _side(resources["requests"]), _side(resources.get("limits", {}))


def _side(amounts: Mapping[str, str]) -> str:
    return " ".join(
        f"{name.replace('devices.kubevirt.io/', '@')}={amount}"
        for name, amount in amounts.items()
        if name != "ephemeral-storage"
    )
