"""Sending a fleet to the API, member by member, and keeping what it answered.

A refusal ends the run, unless the scenario asks for it: then it is what was to be seen, and the run goes on without
that member.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from harness.kube.connection import Connection
from harness.kube.errors import ApiError
from harness.kube.objects import Objects
from harness.kube.resources import BY_KIND, VMIS, VMS
from harness.run.errors import RunError
from harness.run.filling import fill
from harness.run.fleet import Planned
from harness.run.stream import Stream
from harness.run.world import World
from harness.spec.expectations import Admission, Condition, Phase
from harness.spec.model import Scenario

CREATED = 201
OK = 200


def refusals_wanted(scenario: Scenario) -> set[str]:
    """Return the fleets (or `all`, `kubevirt`) of which the scenario asks whether the API takes them."""
    return {c.expectation.of for c in scenario.checks if isinstance(c.expectation, Admission)}


def unscheduled_wanted(scenario: Scenario) -> set[str]:
    """Return the fleets (or `all`) that may stay without a node, since the scenario asks for it."""
    found = set()
    for check in scenario.checks:
        wanted = check.expectation
        if isinstance(wanted, Condition) and (wanted.type, wanted.status) == ("PodScheduled", "False"):
            found.add(wanted.of)
        if isinstance(wanted, Phase) and {"Pending", "Scheduling"} & {*wanted.vmi, *wanted.pod}:
            found.add(wanted.of)
    return found


def answered(
    stream: Stream, request: str, target: str, code: int, *, message: str = "", warnings: Sequence[str] = ()
) -> None:
    """Put on record what the API answered to a request (the judge reads it: action `answer`)."""
    stream.action("answer", target, request=request, code=code, message=message, warnings=list(warnings))
    for text in warnings:
        stream.note("warning", text)


class Creator:
    """Creates members, in order."""

    def __init__(
        self,
        scenario: Scenario,
        connection: Connection,
        *,
        namespace: str,
        manifests: Path,
        stream: Stream,
        world: World,
        patience: float = 0.0,
    ) -> None:
        self._patience = patience
        self._scenario = scenario
        self._namespace = namespace
        self._manifests = manifests
        self._stream = stream
        self._world = world
        self._connection = connection
        self._may_be_refused = refusals_wanted(scenario)
        self.vms: list[str] = []
        """Names of the VirtualMachines made."""

    async def create_all(self, planned: tuple[Planned, ...], made: Callable[[Planned], None]) -> None:
        """Create every member; a staggered fleet beside the others, one that fills after those made at once.

        `made` is told of each that was taken.

        Raises RunError with the server's words, KubeError.
        """
        fleets = list(dict.fromkeys(one.fleet for one in planned))
        by_name = {fleet.name: fleet for fleet in self._scenario.fleet}
        waiting = [f for f in fleets if by_name[f].stagger > 0]
        filling = [f for f in fleets if by_name[f].fill]
        for one in planned:
            if one.fleet not in {*waiting, *filling} and await self.create(one):
                made(one)
        for fleet in filling:
            await fill(
                [one for one in planned if one.fleet == fleet],
                create=self.create,
                remove=self._remove,
                made=made,
                stream=self._stream,
                world=self._world,
                patience=self._patience,
            )
        try:
            async with asyncio.TaskGroup() as tasks:
                for fleet in waiting:
                    mine = tuple(one for one in planned if one.fleet == fleet)
                    tasks.create_task(self._staggered(mine, by_name[fleet].stagger, made))
        except* RunError as group:
            raise group.exceptions[0] from group

    async def _staggered(
        self, mine: tuple[Planned, ...], stagger: float, made: Callable[[Planned], None]
    ) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        for index, one in enumerate(mine):
            await asyncio.sleep(max(0.0, began + index * stagger - clock()))
            if await self.create(one):
                made(one)

    async def _remove(self, one: Planned) -> None:
        kind = BY_KIND.get(str(one.manifest.get("kind")), VMIS)
        await Objects(self._connection).delete(kind, one.name, namespace=self._namespace, grace=0)

    async def create(self, one: Planned) -> bool:
        """Create one member; False when it was refused, as the scenario expects it may be."""
        self._manifests.mkdir(exist_ok=True)
        text = yaml.safe_dump(dict(one.manifest), sort_keys=False)
        (self._manifests / f"{one.name}.yaml").write_text(text, encoding="utf-8")
        self._world.expect_guest(one.vmi, one.nonce)
        self._stream.action("create", one.vmi, fleet=one.fleet, nonce=one.nonce)
        known = BY_KIND.get(str(one.manifest.get("kind")), VMIS)
        # The page's examples say v1alpha3: the API takes an object only at the address of its own version.
        version = str(one.manifest.get("apiVersion", "")).rpartition("/")[2]
        resource = replace(known, version=version or known.version)
        fleet = next(f for f in self._scenario.fleet if f.name == one.fleet)
        warnings: list[str] = []
        if known is VMS:
            self.vms.append(one.name)
        try:
            await Objects(self._connection, warn=warnings.append).create(
                resource, one.manifest, namespace=self._namespace, validation=fleet.validation
            )
        except ApiError as error:
            answered(self._stream, "create", one.vmi, error.status, message=str(error), warnings=warnings)
            if not {one.fleet, "all"} & self._may_be_refused:
                raise RunError(f"{resource.kind} {one.name} was refused: {error}") from error
            self._world.guests.pop(one.vmi, None)
            return False
        answered(self._stream, "create", one.vmi, CREATED, warnings=warnings)
        return True
