"""The end of a run on a cluster that outlives it: its nodes proven healthy, on record, or said to be lost."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cluster.base import NodeHandle
from harness.kube.objects import Objects
from harness.run.health_check import prove_healthy
from harness.run.settings import Progress
from harness.run.stream import Stream
from harness.run.world import World


async def heal(
    objects: Objects,
    nodes: Sequence[NodeHandle],
    *,
    stream: Stream,
    world: World,
    progress: Progress,
    namespace: str,
    run: str,
) -> str:
    """Wait until nodes that were squeezed are well again and note what came of it.

    Returns '' or, where a node does not answer any more, one line that says so: no later run can count on it.
    """
    progress.step("proving the nodes healthy")
    health = await prove_healthy(objects, [n.kube_name for n in nodes], namespace=namespace, run=run)
    for problem in health.problems:
        stream.note("unhealthy", problem)
        progress.step(f"not healthy: {problem}")
    if health.healthy:
        stream.note("healthy", "every node takes pods", after=health.seconds)
    if not health.lost:
        return ""
    # kubernetes-sigs/kind#3169: on some machines an OOM kill takes a whole node along
    killed = sorted(world.happened["oom"])
    cause = f"; an OOM kill came before it ({', '.join(killed)}): kubernetes-sigs/kind#3169" if killed else ""
    return f"{'; '.join(health.lost)} {health.seconds:.0f} s after the run{cause}"
