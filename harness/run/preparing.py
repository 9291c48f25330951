"""Making a cluster what a scenario asks for, before anything is created in it: machine, nodes, KubeVirt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.base import Cluster, HostRequest, HostSettable, NodeHandle, NodeRequest
from harness.cluster.errors import ClusterError, NotObservable
from harness.cluster.guests import LesserGuests
from harness.kube.errors import ApiError
from harness.run.badge import qualifiers
from harness.run.creating import OK, answered, refusals_wanted
from harness.run.errors import RunError
from harness.run.recorder import Recording
from harness.run.stream import Stream
from harness.spec.model import Scenario


async def prepare(scenario: Scenario, cluster: Cluster, made: Recording) -> tuple[NodeHandle, ...]:
    """Return the cluster's nodes that play the scenario's. Raises NotObservable with the reason, ClusterError."""
    try:
        return await _prepare(scenario, cluster, made)
    except NotObservable as error:
        if error.lacks:  # what turned out to be lacking is what may excuse the findings
            made.directory.update(capabilities={**cluster.capabilities(), error.lacks: str(error)})
        raise


async def _prepare(scenario: Scenario, cluster: Cluster, made: Recording) -> tuple[NodeHandle, ...]:
    _check_needs(scenario, cluster)
    stream = made.stream
    await _apply_host(scenario, cluster, stream)
    for node in scenario.nodes:
        stream.action("configure-kubelet", node.name, config=dict(node.kubelet), memory=node.memory)
    handles = await cluster.prepare_nodes(
        tuple(
            NodeRequest(name=n.name, memory=n.memory, kubelet=n.kubelet, size_matters=bool(scenario.workload))
            for n in scenario.nodes
        )
    )
    made.directory.update(
        # how a node came by its size is known only now
        qualifiers=qualifiers(scenario, cluster),
        capabilities=dict(cluster.capabilities()),
        nodes={h.name: {"name": h.kube_name, "memory": h.memory} for h in handles},
    )
    await _configure_kubevirt(scenario, cluster, stream)
    return handles


def _check_needs(scenario: Scenario, cluster: Cluster) -> None:
    capabilities = cluster.capabilities()
    lacking = [f"{n} ({capabilities[n]})" for n in scenario.needs if capabilities.get(n, "yes") != "yes"]
    if lacking:
        raise NotObservable(f"this cluster lacks {', '.join(lacking)}")
    lacks = cluster.guest_lacks if isinstance(cluster, LesserGuests) else {}
    for step in scenario.workload:
        if step.verb in lacks:
            raise NotObservable(f"step {step.name!r} asks guests to {step.verb}: {lacks[step.verb]}")
    for fleet in scenario.fleet:
        if fleet.shutdown and lacks:
            raise NotObservable(
                f"fleet {fleet.name!r} takes its time to shut down: {next(iter(lacks.values()))}"
            )


async def _apply_host(scenario: Scenario, cluster: Cluster, stream: Stream) -> None:
    """Set what the nodes share, before there are nodes."""
    asked = scenario.host.ksm
    by = asked.by if asked is not None and isinstance(cluster, HostSettable) else None
    # a KubeVirt that is not our own does by itself what it does
    ksm = asked.files if asked is not None and asked.by == by else {}
    swap = scenario.host.swap
    tuned = bool(ksm) or any(step.ksm is not None for step in scenario.workload)
    if not tuned and swap is None:
        return
    if not isinstance(cluster, HostSettable):
        both = [name for name, wanted in (("ksm", tuned), ("swap", swap is not None)) if wanted]
        known = [why for name in both if (why := cluster.capabilities().get(name, "yes")) != "yes"]
        raise NotObservable(
            "; ".join(known)
            or f"{' and '.join(both)} of the machines of a {cluster.kind} cluster can't be set from here"
        )
    if not ksm and swap is None:
        return  # steps will
    request = HostRequest(
        ksm=ksm,
        ksm_by=by,
        swap_kind=swap.kind if swap is not None else None,
        swap_size=swap.size if swap is not None else None,
    )
    told = {"kind": swap.kind, "size": swap.size} if swap is not None else {}
    stream.action("configure-host", "host", ksm=dict(ksm), swap=told)
    await cluster.apply_host(request)


async def tune(cluster: Cluster, stream: Stream, ksm: Mapping[str, str], **told: Any) -> None:
    """Set KSM of the machine otherwise while a run goes on. Raises RunError. `told`: who does it and why, to be recorded."""
    assert isinstance(cluster, HostSettable)
    stream.action("configure-host", "host", ksm=dict(ksm), swap={}, **told)
    try:
        await cluster.apply_host(HostRequest(ksm=ksm))
    except (ClusterError, NotObservable) as error:
        raise RunError(f"KSM could not be tuned: {error}") from error


async def _configure_kubevirt(scenario: Scenario, cluster: Cluster, stream: Stream) -> None:
    configuration = scenario.kubevirt
    stream.action("configure-kubevirt", configuration=dict(configuration))
    try:
        await cluster.configure_kubevirt(configuration)
    except ClusterError as error:
        cause = error.__cause__
        if not isinstance(cause, ApiError) or "kubevirt" not in refusals_wanted(scenario):
            raise
        answered(stream, "configure-kubevirt", "kubevirt", cause.status, message=str(cause))
    else:
        if configuration:
            answered(stream, "configure-kubevirt", "kubevirt", OK)
