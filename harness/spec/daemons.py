"""Reading `daemons:`: processes of the nodes' own, outside every pod, that grow as a workload says."""

from __future__ import annotations

from typing import Final

from harness.spec import read
from harness.spec.model import DaemonSpec, FleetSpec, NodeSpec
from harness.spec.nodes import Node
from harness.spec.read import Reader

KEYS: Final = ("name", "node")
MOST: Final = 20


def read_daemons(
    node: Node, nodes: tuple[NodeSpec, ...], fleet: tuple[FleetSpec, ...]
) -> tuple[DaemonSpec, ...]:
    """All daemons. Raises SpecError, also for a name that a VMI has: what they hold is kept under one name."""
    known = tuple(one.name for one in nodes)
    taken = {vmi: one.name for one in fleet for vmi in one.members}
    result: list[DaemonSpec] = []
    for item in read.items(node, "daemons"):
        reader = Reader(item, "a daemon", KEYS)
        at = reader.need("name")
        name = read.name(at)
        if any(name == other.name for other in result):
            raise at.mark.error(f"two daemons are named '{name}'")
        if name in taken:
            raise at.mark.error(f"fleet '{taken[name]}' has a VMI named '{name}' already")
        where = read.choice(reader.need("node"), known, "node")
        result.append(DaemonSpec(name=name, node=where))
    if len(result) > MOST:
        raise node.mark.error(f"{len(result)} daemons; at most {MOST}")
    return tuple(result)
