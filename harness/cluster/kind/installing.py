"""KubeVirt in a kind cluster: installed with kubectl, or found there."""

from __future__ import annotations

import json
from typing import Any

from harness.cluster import kubevirt, kubevirt_manifests
from harness.cluster.errors import ClusterError
from harness.cluster.kind.config import WORKER_LABEL
from harness.cluster.kind.live import Live
from harness.cluster.kind.processes import Call, CallError, run
from harness.cluster.kind.settings import KindSettings
from harness.cluster.kubevirt import Progress
from harness.kube.connection import connect
from harness.kube.objects import Objects
from harness.kube.resources import NODES
from harness.rules.columns import is_release, observed_name

APPLY = 120.0
"""Seconds for one kubectl command; the CRD is Established within a few."""


async def provide(
    live: Live, manifests: kubevirt_manifests.Manifests | None, *, settings: KindSettings, progress: Progress
) -> None:
    """Install KubeVirt unless it is there, wait until it is Available, and note its version. Raises ClusterError."""
    async with connect(live.kubeconfig) as connection:
        objects = Objects(connection)
        cr = await kubevirt.find(objects)
        if cr is None:
            if manifests is None:
                raise ClusterError(
                    "KubeVirt is not installed in this cluster: give --kubevirt-manifests DIR|URL"
                )
            progress(f"installing KubeVirt from {manifests.source}")
            nodes, _ = await objects.list_all(NODES)
            await _install(live, manifests, off=kubevirt_manifests.traps(nodes))
            namespace = manifests.namespace
        else:
            namespace = cr["metadata"].get("namespace", "kubevirt")
        cr = await kubevirt.wait_available(
            connection,
            namespace=namespace,
            seconds=settings.kubevirt_timeout,
            progress=progress,
            no_pull=settings.kubevirt_images_loaded,
        )
    observed = str((cr.get("status") or {}).get("observedKubeVirtVersion") or "")
    developer = ((cr.get("spec") or {}).get("configuration") or {}).get("developerConfiguration") or {}
    live.emulation = bool(developer.get("useEmulation"))
    played = observed_name(observed)
    live.versions = {**live.versions, "kubevirt": observed, "kubevirtColumn": played}
    caution = "" if settings.kubevirt_column else no_release(observed, played)
    if caution:
        progress(caution)
        live.notes = {**live.notes, "kubevirt-column": caution}
    if manifests is not None:
        live.notes = {
            **live.notes,
            "kubevirt-manifests": f"{manifests.source} sha256:{manifests.digest[:16]}",
        }


def no_release(observed: str, played: str) -> str:
    """'' or a caution: a build that calls itself after a release may have another version's constants."""
    if is_release(observed):
        return ""
    taken = f"the constants of {played} are taken" if played else "its constants are not known"
    return f"KubeVirt {observed or '?'} is no release: {taken}; --kubevirt-column says otherwise"


async def _install(live: Live, manifests: kubevirt_manifests.Manifests, *, off: tuple[str, ...]) -> None:
    documents = kubevirt_manifests.operator_documents(manifests)
    await _kubectl(live, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=documents)
    await _kubectl(
        live,
        "wait",
        "--for=condition=Established",
        f"crd/{kubevirt_manifests.CRD}",
        f"--timeout={APPLY:.0f}s",
    )
    resource = kubevirt_manifests.custom_resource(
        manifests, emulation=live.emulation, workload_labels={WORKER_LABEL: "true"}, off=off
    )
    await _kubectl(live, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=[resource])


async def _kubectl(live: Live, *arguments: str, stdin: list[dict[str, Any]] | None = None) -> None:
    data = b"".join(b"---\n" + json.dumps(document).encode() + b"\n" for document in stdin or ())
    try:
        await run(
            Call(
                arguments=[live.tools.kubectl, "--kubeconfig", str(live.claim.kubeconfig), *arguments],
                seconds=APPLY + 30.0,
                environment=live.engine.environment,
                stdin=data,
                name=f"kubectl {arguments[0]}",
            )
        )
    except CallError as error:
        raise ClusterError(f"installing KubeVirt: {error}") from error
