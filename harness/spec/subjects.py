"""Whom and how many an expectation is about: what its line may name, and the bounds all kinds share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from harness.spec import read
from harness.spec.errors import closest
from harness.spec.model import FleetSpec, NodeSpec, Step
from harness.spec.nodes import Items, Node, Scalar, kind_of
from harness.spec.read import Reader
from harness.units import Bytes

WHOM: Final = ("of", "fleet")
"""Two spellings of the same: `of: victim`, `fleet: bystander`."""
ENDLESS: Final = 1_000_000
"""Stands for the missing end of `1..` where nothing bounds it."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """What a check may refer to. `fleets` maps each fleet to its number of members; those of `restarted` may die again."""

    fleets: Mapping[str, int]
    steps: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    restarted: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, nodes: tuple[NodeSpec, ...], fleet: tuple[FleetSpec, ...], workload: tuple[Step, ...]
    ) -> Self:
        """What the checks of a scenario may refer to."""
        return cls(
            fleets={member.name: len(member.members) for member in fleet},
            steps=tuple(step.name for step in workload),
            nodes=tuple(node.name for node in nodes),
            restarted=frozenset(member.name for member in fleet if member.kind == "VirtualMachine"),
        )

    def deaths(self, fleets: Iterable[str]) -> int | None:
        """How many deaths there may be of these fleets; None: any number, since VMs are started again."""
        chosen = tuple(fleets)
        return None if self.restarted & set(chosen) else sum(self.fleets[fleet] for fleet in chosen)

    @property
    def members(self) -> int:
        """How many VMIs there are in all."""
        return sum(self.fleets.values())


def whom(
    reader: Reader,
    subjects: Subjects,
    *,
    victim: bool = False,
    default: str | None = None,
    more: tuple[str, ...] = (),
) -> str:
    """Whom a line is about. `victim`: whether that may be meant; `default`: if nobody is named; `more`: other words."""
    given = [key for key in WHOM if reader.has(key)]
    if not given and default is not None:
        return default
    if len(given) != 1:
        raise reader.mark.error(
            f"{reader.what} says whom by one of 'of' and 'fleet', not both"
            if given
            else f"{reader.what} needs 'of' (a fleet, all{' or victim' if victim else ''})"
        )
    node = reader.need(given[0])
    name = read.text(node)
    if name == "victim" and not victim:
        raise node.mark.error(f"'victim' cannot be meant by {reader.what}; name a fleet")
    known = (*subjects.fleets, "all", *(("victim",) if victim else ()), *more)
    if name not in known:
        raise node.mark.error(f"no fleet named '{name}'", suggestion=closest(name, known))
    return name


def which_node(reader: Reader, subjects: Subjects) -> str:
    """Which node a line is about: one of the scenario's, or `all` if none is named."""
    given = [key for key in ("node", "of") if reader.has(key)]
    if not given:
        return "all"
    if len(given) > 1:
        raise reader.mark.error(f"{reader.what} says which by one of 'node' and 'of', not both")
    return read.choice(reader.need(given[0]), (*subjects.nodes, "all"), "node")


def victims_from(reader: Reader, subjects: Subjects) -> tuple[str, ...]:
    """The admissible victims of a line's `from`."""
    node = reader.need("from")
    for item in node.items if isinstance(node, Items) else [node]:
        if isinstance(item, Scalar) and item.text == "victim":
            raise item.mark.error(f"'victim' cannot be meant by {reader.what}; name the admissible fleets")
    return read.names(node, subjects.fleets, "fleet", every="all")


def count(reader: Reader, most: int | None, *, default: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """`1`, `0`, `1..2` or `1..` (up to all that are admissible). `most` None: as many as there may be."""
    node = reader.get("count")
    if node is None:
        return default
    low, high = span(node, most=ENDLESS if most is None else most)
    if most is not None and low > most:
        raise node.mark.error(
            f"count {low} is more than the {most} VMI{'s' if most != 1 else ''} it may be of"
        )
    return low, high


def span(node: Node, *, most: int, what: str = "count") -> tuple[int, int]:
    """Both ends of `1`, `1..2` or `1..`."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        match = re.fullmatch(r"(\d+)\s*\.\.\s*(\d*)", node.value, re.ASCII)
        if match is None:
            raise node.mark.error(f"'{node.text}' is not a {what} such as 1, 1..2 or 1..")
        low, high = int(match[1]), int(match[2]) if match[2] else most
    else:
        low = high = read.whole(node)
    if low > high:
        raise node.mark.error(f"{what} {low}..{high} is empty")
    return low, high


def bounds(
    reader: Reader, read_one: Callable[[Node], Any], *, of: str = "", needed: bool = True
) -> tuple[Any, Any]:
    """Values of `min` and `max` (of `min-<of>` and `max-<of>`), in order; None where one is not given."""
    names = (f"min-{of}", f"max-{of}") if of else ("min", "max")
    low, high = reader.read(names[0], read_one), reader.read(names[1], read_one)
    if needed and low is None and high is None:
        raise reader.mark.error(f"{reader.what} needs '{names[0]}' or '{names[1]}'")
    if low is not None and high is not None and low > high:
        raise reader.need(names[0]).mark.error(f"{names[0]} {low:g} is more than {names[1]} {high:g}")
    return low, high


def asked(reader: Reader, keys: tuple[str, ...]) -> None:
    """Refuse a line that asks for nothing: one of the keys must be there."""
    if not any(reader.has(key) for key in keys):
        raise reader.mark.error(f"{reader.what} needs one of {', '.join(keys)}")


def some_bytes(node: Node) -> Bytes:
    """A quantity; zero counts."""
    return read.memory(node, least=0)


def number(node: Node) -> float:
    """A number that is not negative."""
    if (
        not isinstance(node, Scalar)
        or isinstance(node.value, bool)
        or not isinstance(node.value, int | float)
    ):
        raise node.mark.error(f"expected a number, not {kind_of(node)}")
    if not math.isfinite(node.value) or node.value < 0:
        raise node.mark.error(f"{node.text} is not a number from 0")
    return float(node.value)


def signed(node: Node, *, least: int, most: int) -> int:
    """A whole number within bounds that may be negative."""
    return read.whole(node, least=least, most=most)


def share(node: Node) -> float:
    """0 to 1 of `85%`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", node.text, re.ASCII) if isinstance(node, Scalar) else None
    if match is None:
        hint = (
            f"{node.value * 100:g}%" if isinstance(node, Scalar) and isinstance(node.value, float) else None
        )
        raise node.mark.error(f"expected a share such as 90%, not {kind_of(node)}", suggestion=hint)
    return float(match[1]) / 100


def moment(node: Node, subjects: Subjects, *, known: tuple[str, ...] = ("start", "end")) -> str:
    """`start`, `end`, or `step:<name>`: when that step was done."""
    return read.choice(node, (*known, *(f"step:{step}" for step in subjects.steps)), "moment")
