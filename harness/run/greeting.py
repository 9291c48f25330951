"""Waiting until every guest has said hello, or it is clear that one will not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from harness.cluster.kubevirt import PULL_FAILURES, stuck
from harness.run.creating import unscheduled_wanted
from harness.run.errors import RunError
from harness.run.fleet import Planned
from harness.run.settings import READY_BASE, READY_PER_GUEST
from harness.run.stream import Deadline, Stream
from harness.run.world import World, vmi_of_pod
from harness.spec.model import Scenario

NO_IMAGE = PULL_FAILURES - {"ErrImagePull"}
"""Reasons of a waiting container that are no passing ones; the first failed pull says ErrImagePull."""
DISTRIBUTION = 300.0
"""Seconds more where a guest boots a distribution from a container disk (a few hundred MiB to pull) with cloud-init."""


async def greeted(
    scenario: Scenario, planned: tuple[Planned, ...], *, stream: Stream, world: World, patience: float
) -> None:
    """Return when each guest is ready, killed by the pressure, or without a node as the scenario asks.

    `patience`: seconds a guest may be without a node before the scheduler is believed. Raises RunError.
    """
    within = READY_BASE + READY_PER_GUEST * len(planned)
    if any(_boots_a_distribution(one.manifest) for one in planned):
        within += DISTRIBUTION
    homeless_too = unscheduled_wanted(scenario)
    clock = asyncio.get_running_loop().time
    since: dict[str, float] = {}

    def missing() -> list[str]:
        return [
            one.vmi
            for one in planned
            if not (world.is_ready(one.vmi) or world.is_dead(one.vmi))
            and not ({one.fleet, "all"} & homeless_too and world.unschedulable(one.vmi))
        ]

    def stranded() -> str:
        """Return who is without a node, or a pod, for good, and why in the cluster's words."""
        for vmi in missing():
            words = (homeless := world.unschedulable(vmi)) or podless(world.vmis.get(vmi, {}))
            if not words:
                since.pop(vmi, None)
            elif vmi not in since:
                since[vmi] = clock()
                # looked at again then, whether or not anything is recorded meanwhile
                asyncio.get_running_loop().call_later(patience + 0.01, stream.wake)
            if words and clock() - since[vmi] >= patience:
                return f"{vmi} {'is not scheduled' if homeless else 'has no pod'}: {words}"
        return ""

    def imageless() -> str:
        """Return whose pod can't have its image, in the kubelet's words, after it has tried twice."""
        for vmi in missing():
            for pod in world.pods.values():
                reason, image, message = (vmi_of_pod(pod) == vmi and stuck(pod)) or ("", "", "")
                if reason in NO_IMAGE:
                    return f"{vmi}: image {image} is not to be had: {reason} {message}".rstrip()
        return ""

    try:
        why = await stream.until(lambda: stranded() or imageless() or not missing(), within=within)
    except Deadline as error:
        first = missing()[0]
        raise RunError(
            f"{len(missing())} of {len(planned)} guests said no hello within {within:g} s; "
            f"{first}: {world.why_not_running(first)}"
        ) from error
    if isinstance(why, str):
        raise RunError(why)
    # Killed for memory while it booted is something seen; an end of its own accord is a guest that never was.
    pressed = world.happened["oom"] | world.happened["evicted"]
    mute = [one for one in planned if world.is_dead(one.vmi) and not world.is_ready(one.vmi)]
    for one in mute:
        if one.vmi not in pressed:
            if why := world.unstarted.get(one.vmi):
                raise RunError(f"{one.vmi} could not be started: {why}")
            raise RunError(
                f"{one.vmi} ended before it said hello: its kernel did not get to the agent; "
                f"artefacts/consoles/{one.name}.log has its last words, --guest-kernel chooses another kernel"
            )


def podless(vmi: Mapping[str, Any]) -> str:
    """Return why virt-controller could make no pod for a VMI ('' if it could): a quota, a LimitRange, Pod Security.

    It says so by the condition Synchronized with the reason FailedCreate, and tries again with growing pauses.
    """
    for condition in (vmi.get("status") or {}).get("conditions") or ():
        if (condition.get("type"), condition.get("status"), condition.get("reason")) == (
            "Synchronized",
            "False",
            "FailedCreate",
        ):
            return str(condition.get("message") or "its pod could not be made")
    return ""


def _boots_a_distribution(manifest: Mapping[str, Any]) -> bool:
    spec = manifest.get("spec") or {}
    vmi = (spec.get("template") or {}).get("spec") or spec
    return any("cloudInitNoCloud" in volume for volume in vmi.get("volumes") or ()) and not (
        ((vmi.get("domain") or {}).get("firmware") or {}).get("kernelBoot")
    )
