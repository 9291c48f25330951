"""What guests are told to do, and when: each step waits for its trigger and then drives its fleets.

A ramp with `until: {available}` ends for good when the node's availability reached the value, or when the first VMI
on that node was seen dying: memory has been taken back then, and pushing on would be another load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.rules.quantities import parse_bytes
from harness.rules.thresholds import MEMORY, memory_thresholds
from harness.run.daemons import Daemons
from harness.run.errors import RunError
from harness.run.guests import PAGE, Guests
from harness.run.stream import Deadline, Stream
from harness.run.world import World
from harness.spec.model import Scenario, Step, UntilAvailable, When
from harness.units import Bytes

TRIGGER_DEADLINE = 300.0
"""Seconds a trigger may take to come: longer than any pressure transition, shorter than patience."""
RAMP_DEADLINE = 600.0
"""Seconds after which a ramp that reaches nothing is given up."""

Held = Mapping[str, Mapping[str, Bytes]]
"""Step name → VMI name (without namespace), or daemon → bytes it held when the step was done."""


@dataclass(slots=True, kw_only=True)
class Workload:
    """The steps of one scenario, driven on one run's guests."""

    scenario: Scenario
    members: Mapping[str, tuple[str, ...]]
    """Fleet name → VMI keys."""
    stream: Stream
    world: World
    guests: Guests
    kubelet: Mapping[str, Mapping[str, Any]]
    """Kube node name → effective KubeletConfiguration."""
    hurry_stats: Callable[[], Any]
    """Context manager while which stats/summary is fetched as often as sensible."""
    daemons: Daemons
    tune: Callable[[Mapping[str, str]], Awaitable[None]] | None = None
    """Set KSM of the machine; None: there is none to set. Raises RunError."""
    replay: Held | None = None
    """Control run: what each guest held in the main run, in place of `until`."""
    held: dict[str, dict[str, Bytes]] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _skipped: set[str] = field(default_factory=set)
    _plain: set[str] = field(default_factory=set)
    """Steps that must come."""

    async def run(self) -> None:
        """Drive all steps; return when the last one is done. Raises RunError, GuestError."""
        steps = self.scenario.workload
        self._plain = {s.name for s in steps} - self._eventful()
        try:
            async with asyncio.TaskGroup() as tasks:
                for index, step in enumerate(steps):
                    previous = steps[index - 1].name if index else ""
                    tasks.create_task(self._step(step, previous), name=f"step {step.name}")
        except* RunError as group:
            # Steps fail for one cause; the first says it best.
            raise group.exceptions[0] from group

    def _eventful(self) -> set[str]:
        """Return the steps that begin only if something happens to a guest, and those that wait for them."""
        found: set[str] = set()
        previous = ""
        for step in self.scenario.workload:
            waits_for = {step.when.step or previous} if step.when.step is not None else set()
            if step.when.event is not None or waits_for & found:
                found.add(step.name)
            previous = step.name
        return found

    async def _step(self, step: Step, previous: str) -> None:
        if not await self._trigger(step, previous):
            self.stream.note("not-triggered", f"step {step.name!r}: {_describe(step.when)} did not come")
            self._skipped.add(step.name)
            self.stream.wake()
            return
        fleets = self._fleets(step.fleets)
        mine = {"daemons": list(step.daemons)} if step.daemons else {}
        self.stream.action("step-start", step.name, verb=step.verb, fleets=list(step.fleets), **mine)
        vmis = tuple(vmi for fleet in fleets for vmi in self.members[fleet])
        if step.ksm is not None:
            if self.tune is None:
                raise RunError(f"step {step.name!r}: no machine of this cluster can be tuned")
            await self.tune(step.ksm.files)
        elif step.daemons:
            async with asyncio.TaskGroup() as tasks:
                for name in step.daemons:
                    tasks.create_task(self._daemon(step, name))
        elif step.until is not None and self.replay is None:
            await self._until(step, vmis)
        else:
            async with asyncio.TaskGroup() as tasks:
                for vmi in vmis:
                    tasks.create_task(self._alone(step, vmi))
        held = self.guests.held(vmis)
        own = self.daemons.held(step.daemons)
        self.held[step.name] = {vmi.rpartition("/")[2]: amount for vmi, amount in held.items()} | dict(own)
        self._done.add(step.name)
        self.stream.action("step-done", step.name, held=dict(held), **({"daemons": dict(own)} if own else {}))

    def _fleets(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self.members) if "all" in names else names

    # -- triggers --------------------------------------------------------------------------------------------------

    async def _trigger(self, step: Step, previous: str) -> bool:
        """Wait for a step's trigger; False if it waits for something to happen which does not."""
        when = step.when
        what = f"step {step.name!r} was not triggered: {_describe(when)} did not come"
        try:
            if step.name not in self._plain:
                if not await self._happens(when, previous):
                    return False
            else:
                await self.stream.until(
                    lambda: self._holds(when, previous), within=TRIGGER_DEADLINE, what=what
                )
            if when.after:
                await asyncio.sleep(when.after)
            if when.stats_refreshed:
                await self._stats_refreshed(step, what)
        except Deadline as error:
            raise RunError(str(error)) from error
        return True

    async def _happens(self, when: When, previous: str) -> bool:
        """Wait for what may never happen: as long as other steps go on, and as long again as the scenario observes."""

        def holds() -> bool:
            return self._holds(when, previous)

        waits_for = when.step or previous
        await self.stream.until(
            lambda: (
                holds() or self._plain <= self._done or (when.step is not None and waits_for in self._skipped)
            )
        )
        if when.step is not None and waits_for in self._skipped:
            return False
        try:
            await self.stream.until(holds, within=self.scenario.observe)
        except Deadline:
            return False
        return True

    def _holds(self, when: When, previous: str) -> bool:
        if when.step is not None and (when.step or previous) and (when.step or previous) not in self._done:
            return False
        if when.fleet is not None:
            vmis = [vmi for fleet in self._fleets((when.fleet,)) for vmi in self.members[fleet]]
            living = [vmi for vmi in vmis if not self.world.is_dead(vmi)]
            if when.fleet_is == "Running" and not all(self.world.is_running(vmi) for vmi in living):
                return False
            # A guest can be told something only after its hello, whichever state was asked for.
            if not all(self.world.is_ready(vmi) for vmi in living):
                return False
        if when.event is not None:
            of = when.event_of
            mine = {vmi for name in self._fleets((of,)) for vmi in self.members[name]} if of else None
            happened = self.world.happened[when.event]
            if not (happened if mine is None else happened & mine):
                return False
        return not when.pressure or any(self.world.under_pressure(node) for node in self.kubelet)

    async def _stats_refreshed(self, step: Step, what: str) -> None:
        """Wait for the kubelet's next look at the node, so that the load has a known place in its 10 s period."""
        vmis = [vmi for fleet in self._fleets(step.fleets) for vmi in self.members[fleet]]
        nodes = {node for vmi in vmis if (node := self.world.node_of(vmi))}
        nodes |= {self.daemons.node_of(name) for name in step.daemons}
        nodes = nodes or set(self.kubelet)
        before = {node: self.world.stats_time(node) for node in nodes}
        with self.hurry_stats():
            await self.stream.until(
                lambda: all(self.world.stats_time(node) not in {before[node], ""} for node in nodes),
                within=60.0,
                what=what,
            )

    # -- verbs -----------------------------------------------------------------------------------------------------

    async def _alone(self, step: Step, vmi: str) -> None:
        """Tell one guest, once it can be told: one that follows another under its name says hello first."""
        world = self.world
        if not world.is_dead(vmi) and not world.is_ready(vmi):
            await self.stream.until(
                lambda: world.is_ready(vmi) or world.is_dead(vmi),
                within=TRIGGER_DEADLINE,
                what=f"step {step.name!r}: {vmi} said no hello",
            )
        if not world.is_dead(vmi):
            await self._single(step, vmi)

    async def _single(self, step: Step, vmi: str) -> None:
        amount = self._amount(step, vmi)
        match step.verb:
            case "grow":
                assert amount is not None
                await self.guests.do(vmi, "grow", held=amount, **self._ramp(step, amount))
            case "shrink":
                await self.guests.do(vmi, "shrink", held=amount, to=amount)
            case "rewrite" | "vram":
                await self.guests.do(vmi, step.verb, bytes=amount)
            case "cache":
                await self.guests.do(vmi, "cache", bytes=amount, rate=step.rate or 0, write=int(step.write))
            case "record":
                size = {"bytes": step.block} if step.block is not None else {}
                await self.guests.do(vmi, "record", rate=step.rate or 0, fsync=int(step.fsync), **size)
            case "touch":
                await self.guests.do(
                    vmi, "touch", pages=(self.world.guests[vmi].held if amount is None else amount) // PAGE
                )
            case "hold" | "stop":
                await self.guests.do(vmi, step.verb)

    def _amount(self, step: Step, vmi: str) -> Bytes | None:
        if step.until is not None and self.replay is not None:
            known = self.replay.get(step.name, {}).get(vmi.rpartition("/")[2], Bytes(0))
            # Never less than it holds already: a ramp only grows.
            return max(known, self.world.guests[vmi].held)
        return None if step.to is None else self.guests.bytes_of(vmi, step.to)

    def _ramp(self, step: Step, to: Bytes) -> dict[str, object]:
        return {"to": to, "rate": step.rate or 0, "pages": step.pages, "seed": self.scenario.seed}

    # -- daemons ---------------------------------------------------------------------------------------------------

    async def _daemon(self, step: Step, name: str) -> None:
        """Grow or shrink one daemon. Nothing bounds it but its node: unlike a guest it has no memory of its own."""
        daemons, node = self.daemons, self.daemons.node_of(name)
        if step.verb == "shrink":
            assert step.to is not None
            await daemons.do(name, "shrink", to=step.to.bytes)
            return
        to = step.to.bytes if step.to is not None else None
        if to is None and self.replay is not None:
            to = max(self.replay.get(step.name, {}).get(name, Bytes(0)), daemons.held((name,))[name])
        if to is not None:
            await daemons.do(name, "grow", force=1, **self._ramp(step, to))
            return
        assert step.until is not None
        target = self.target(step.until, node)
        number = await daemons.send(name, "grow", force=1, **self._ramp(step, self.world.capacity[node]))

        async def stop() -> None:
            await daemons.send(name, "stop")

        await self._watch_ramp(step, node, target, full=lambda: daemons.is_over(name, number), stop=stop)
        await daemons.do(name, "hold")

    # -- ramps against availability --------------------------------------------------------------------------------

    async def _until(self, step: Step, vmis: tuple[str, ...]) -> None:
        by_node: dict[str, list[str]] = {}
        for vmi in vmis:
            by_node.setdefault(self.world.node_of(vmi), []).append(vmi)
        async with asyncio.TaskGroup() as tasks:
            for node, guests in by_node.items():
                tasks.create_task(self._until_on(step, node, tuple(guests)))

    async def _until_on(self, step: Step, node: str, vmis: tuple[str, ...]) -> None:
        assert step.until is not None
        target = self.target(step.until, node)
        numbers = {
            vmi: await self.guests.send(vmi, "grow", **self._ramp(step, self.guests.most(vmi)))
            for vmi in vmis
        }
        stops: dict[str, int | None] = {}

        def full() -> bool:
            return all(n is None or n in self.world.guests[v].replies for v, n in numbers.items())

        async def stop() -> None:
            stops.update({vmi: await self.guests.send(vmi, "stop") for vmi in vmis})

        await self._watch_ramp(step, node, target, full=full, stop=stop)
        for vmi, number in stops.items():
            if number is not None:
                await self.guests.finished(vmi, number)

    async def _watch_ramp(
        self,
        step: Step,
        node: str,
        target: Bytes,
        *,
        full: Callable[[], bool],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        """Wait until a ramp that has begun has got where it should, or can't; then tell it to stop."""
        here = [
            vmi for members in self.members.values() for vmi in members if self.world.node_of(vmi) == node
        ]
        dead_before = {vmi for vmi in here if self.world.is_dead(vmi)}

        def over() -> str:
            available = self.world.available(node)
            if available is not None and available <= target:
                return f"available {available} <= {target}"
            if died := [vmi for vmi in here if vmi not in dead_before and self.world.is_dead(vmi)]:
                return f"{died[0]} is ending"
            return "every guest is full" if full() else ""

        try:
            why = await self.stream.until(
                over, within=RAMP_DEADLINE, what=f"availability {target} of {node} was not reached"
            )
        except Deadline as error:
            raise RunError(f"step {step.name!r}: {error}") from error
        finally:
            # Also when interrupted: a ramp must not go on by itself.
            await stop()
        self.stream.note(
            "ramp-over", f"{step.name} on {node}: {why}", step=step.name, node=node, target=target
        )

    def target(self, until: UntilAvailable, node: str) -> Bytes:
        """Bytes of availability at which a ramp ends, from the node's effective thresholds. Raises RunError."""
        if until.bytes is not None:
            return until.bytes
        capacity = self.world.capacity[node]
        wanted_hard = until.threshold != "soft"
        for threshold in memory_thresholds(self.kubelet.get(node, {})):
            if threshold.signal == MEMORY and threshold.hard == wanted_hard:
                return Bytes(max(0, parse_bytes(str(threshold.value.resolve(capacity))) + until.offset))
        raise RunError(
            f"node {node} has no {until.threshold} eviction threshold of memory.available to ramp against"
        )


def _describe(when: When) -> str:
    parts = []
    if when.step is not None:
        parts.append(f"step {when.step or 'before'} done")
    if when.fleet is not None:
        parts.append(f"{when.fleet} {when.fleet_is}")
    if when.event is not None:
        parts.append(f"{when.event} of {when.event_of or 'anyone'}")
    if when.pressure:
        parts.append("memory pressure")
    if when.stats_refreshed:
        parts.append("new node statistics")
    return " and ".join(parts) or "nothing"
