"""An existing cluster that someone else runs, as we are let at it: an embedded one behind RBAC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cluster.base import Cluster, NodeRequest, Undo
from harness.cluster.kubeconfig import KubeconfigCluster, Options
from harness.cluster.kubeconfig.rights import Part, manifest
from harness.embedded.api.resources import NAMESPACES, Resource
from harness.embedded.kubelet.guests import NONCE
from harness.run.interrupt import Interrupt
from harness.run.session import Result, run_scenario
from harness.run.settings import Settings
from harness.spec.model import Scenario
from harness.units import GIB
from tests.faults import Upstream
from tests.rbac_proxy import Rbac, rbac
from tests.run.agent import AgentCluster

GROW = """
workload:
  - {name: fill, when: {fleet: all, is: Running}, grow: {fleet: [hog], to: 50Mi, rate: 500Mi/s}}
requires:
  - survives: {fleet: calm}
"""
IMAGE = "registry.example/guest@sha256:0"


@dataclass
class Foreign:
    """An existing cluster that someone else runs, as we are let at it."""

    rbac: Rbac
    kubeconfig: dict[str, Any]
    inner: AgentCluster


class OnFakes(KubeconfigCluster):
    """Fake guests read their nonce from an annotation, not from a kernel command line."""

    def guest_settings(self, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
        return {**super().guest_settings(nonce=nonce, deaf=deaf), "metadata": {"annotations": {NONCE: nonce}}}


@asynccontextmanager
async def foreign(
    *parts: Part,
    namespace: str = "density",
    kubelet: Mapping[str, Any] | None = None,
    made: Callable[[], AgentCluster] = AgentCluster,
    **options: Any,
) -> AsyncIterator[Foreign]:
    async with made() as inner:
        await inner.prepare_nodes(
            (
                NodeRequest(
                    name="worker",
                    memory=GIB,
                    kubelet=kubelet or {"evictionHard": {"memory.available": "500Mi"}},
                ),
            )
        )
        server = inner.embedded.server
        upstream = Upstream(url=server.url, token=server.token, authority=server.authority)
        inner.embedded.store.create(NAMESPACES, {"metadata": {"name": namespace}})
        async with rbac(manifest(namespace=namespace, parts=parts), upstream, **options) as (proxy, document):
            yield Foreign(rbac=proxy, kubeconfig=document, inner=inner)


def entries(_entry: Mapping[str, Any]) -> None:
    """Undo entries, forgotten."""


def cluster(there: Foreign, *, run: str = "abc123", **options: Any) -> OnFakes:
    chosen: dict[str, Any] = {
        "kubeconfig": there.kubeconfig,
        "namespace": "density",
        "agent_image": IMAGE,
        **options,
    }
    return OnFakes(Options(**chosen), undo=entries, run=run)


async def carry_out(there: Foreign, scenario: Scenario, tmp_path: Path, **options: Any) -> Result:
    def make(_scenario: Scenario, run: str, _undo: Undo) -> Cluster:
        return cluster(there, run=run, **options)

    return await run_scenario(
        scenario, {}, make, settings=Settings(runs=tmp_path / "runs"), interrupt=Interrupt()
    )


def objects(there: Foreign, resource: Resource) -> list[Mapping[str, Any]]:
    return [item.object for item in there.inner.embedded.store.encoded_list(resource)]
