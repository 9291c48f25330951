"""Questions to the API that a scenario's checks are about, asked while its guests run."""

from __future__ import annotations

from harness.kube.connection import Connection
from harness.kube.vnc import try_vnc
from harness.run.creating import answered
from harness.run.fleet import Planned
from harness.run.stream import Stream
from harness.run.world import World
from harness.spec.expectations import Vnc
from harness.spec.model import Scenario


async def ask_for_vnc(
    scenario: Scenario, connection: Connection, planned: tuple[Planned, ...], *, stream: Stream, world: World
) -> None:
    """Ask for the graphical consoles the scenario asks about."""
    wanted = {c.expectation.of for c in scenario.checks if isinstance(c.expectation, Vnc)}
    for one in planned:
        if not {one.fleet, "all"} & wanted or world.is_dead(one.vmi):
            continue
        namespace, _, _ = one.vmi.partition("/")
        code, message = await try_vnc(connection, namespace=namespace, name=one.name)
        answered(stream, "vnc", one.vmi, code, message=message)
