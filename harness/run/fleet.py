"""From a scenario's fleet to the manifests that are sent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.rules.merge_patch import merge
from harness.spec.model import FleetSpec, Scenario

RUN_LABEL = "density.dev/run"
"""On everything a run creates, so that leftovers can be found by it."""
FLEET_LABEL = "density.dev/fleet"
SHUTDOWN = "density.dev/shutdown"
"""Annotation: milliseconds the agent takes to shut down (embedded/kubelet/guests.py)."""
HOSTNAME = "kubernetes.io/hostname"

GuestSettings = Callable[..., Mapping[str, Any]]
"""`cluster.guest_settings(nonce=…, deaf=…)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One VMI (or VM) about to be created."""

    fleet: str
    name: str
    vmi: str
    """`<namespace>/<name>` of the VMI."""
    nonce: str
    manifest: Mapping[str, Any]


def plan(
    scenario: Scenario,
    *,
    namespace: str,
    run: str,
    nodes: Mapping[str, str],
    pin: bool,
    settings: GuestSettings,
    nonce: Callable[[], str],
) -> tuple[Planned, ...]:
    """Return every member of every fleet, in the scenario's order.

    `nodes`: scenario node name → kube node name. `pin`: members without a node are confined to the scenario's
    nodes, because the cluster has others too.
    """
    planned: list[Planned] = []
    for fleet in scenario.fleet:
        where = [nodes[fleet.node]] if fleet.node else sorted(nodes.values()) if pin else []
        for name in fleet.members:
            secret = nonce()
            planned.append(
                Planned(
                    fleet=fleet.name,
                    name=name,
                    vmi=f"{namespace}/{name}",
                    nonce=secret,
                    manifest=_slowed(
                        _manifest(
                            fleet,
                            name=name,
                            namespace=namespace,
                            run=run,
                            where=where,
                            settings=settings(nonce=secret, deaf=fleet.deaf),
                        ),
                        fleet.shutdown,
                    ),
                )
            )
    return tuple(planned)


def _manifest(
    fleet: FleetSpec, *, name: str, namespace: str, run: str, where: list[str], settings: Mapping[str, Any]
) -> Mapping[str, Any]:
    labels = {RUN_LABEL: run, FLEET_LABEL: fleet.name}
    whole = merge(fleet.manifest, {"metadata": {"name": name, "namespace": namespace, "labels": labels}})
    whole["metadata"].pop("generateName", None)
    # One after the other: what the settings take away (null) would be lost in a merged patch.
    for patch in ({"metadata": {"labels": labels}, "spec": _placement(where)}, settings):
        of_vm = whole.get("kind") == "VirtualMachine"
        whole = merge(whole, {"spec": {"template": patch}} if of_vm else patch)
    return dict(whole)


def _slowed(manifest: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
    """Have the guest take its time to shut down: by annotation where the machine is ours, else on its kernel's command line."""
    if not seconds:
        return manifest
    milliseconds = round(seconds * 1000)
    of_vm = manifest.get("kind") == "VirtualMachine"
    vmi = manifest["spec"]["template"] if of_vm else manifest
    patch: dict[str, Any] = {"metadata": {"annotations": {SHUTDOWN: str(milliseconds)}}}
    boot = vmi["spec"].get("domain", {}).get("firmware", {}).get("kernelBoot")
    if boot is not None:
        arguments = f"{boot.get('kernelArgs', '')} density.shutdown={milliseconds}".strip()
        patch["spec"] = {"domain": {"firmware": {"kernelBoot": {"kernelArgs": arguments}}}}
    return dict(merge(manifest, {"spec": {"template": patch}} if of_vm else patch))


def _placement(where: list[str]) -> Mapping[str, Any]:
    if not where:
        return {}
    if len(where) == 1:
        return {"nodeSelector": {HOSTNAME: where[0]}}
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": where}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}
