"""The ConfigMap `kubevirt-config` that the page speaks of, made in KubeVirt's own namespace for as long as a run lasts.

Its settings stand in the KubeVirt CR today (pkg/virt-config/virt-config.go, main after v1.9); a scenario makes it to see
whether anything reads it.
"""

from __future__ import annotations

from harness.cluster import kubevirt
from harness.cluster.base import Addressed, Cluster, Shared, Undo
from harness.cluster.errors import ClusterError, NotObservable
from harness.kube.connection import connect
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.kube.resources import CONFIG_MAPS
from harness.run import undo_config_map
from harness.run.fleet import RUN_LABEL
from harness.run.stream import Stream
from harness.spec.model import Scenario

NAME = "kubevirt-config"


async def write_config_map(
    scenario: Scenario, cluster: Cluster, stream: Stream, *, run: str, undo: Undo | None
) -> None:
    """Make it where the scenario asks for one. Raises NotObservable on clusters that others use, ClusterError.

    A cluster that outlives the run gets rid of it by its undo entry, which is carried out when the run ends.
    """
    if not scenario.config_map:
        return
    if isinstance(cluster, Shared):
        raise NotObservable(
            f"ConfigMap {NAME} would have to stand in KubeVirt's own namespace, and this cluster is not ours"
        )
    try:
        async with connect(cluster.kubeconfig) as connection:
            objects = Objects(connection)
            cr = await kubevirt.find(objects)
            if cr is None:
                raise ClusterError("KubeVirt is not installed in this cluster")
            namespace = str(cr["metadata"]["namespace"])
            if undo is not None and not cluster.disposable and isinstance(cluster, Addressed):
                undo(undo_config_map.entry(namespace=namespace, name=NAME, run=run, **cluster.address))
            stream.action("create-config-map", f"{namespace}/{NAME}", data=dict(scenario.config_map))
            await objects.create(
                CONFIG_MAPS,
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": NAME, "labels": {RUN_LABEL: run}},
                    "data": dict(scenario.config_map),
                },
                namespace=namespace,
            )
    except KubeError as error:
        raise ClusterError(f"ConfigMap {NAME} was not made: {error}") from error
