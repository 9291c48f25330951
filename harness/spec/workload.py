"""Reading `workload:`: what guests do with memory, and what triggers it."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

from harness.spec import read
from harness.spec.errors import closest
from harness.spec.model import Amount, Pages, Step, UntilAvailable, When
from harness.spec.nodes import Fields, Items, Node, Scalar, kind_of
from harness.spec.read import Reader
from harness.units import Bytes, Seconds

Verb = Literal["grow", "shrink", "rewrite", "touch", "hold", "cache", "stop"]
MOST_SHARE: Final = 0.9
"""Above this share of its MemAvailable a guest panics instead of holding: the agent is its init."""
PAGES: Final = ("unique", "shared", "zero")
RESERVED: Final = ("done", "previous", "all")

ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "grow": ("fleet", "to", "until", "rate", "pages"),
    "shrink": ("fleet", "to"),
    "rewrite": ("fleet", "to", "rate"),
    "touch": ("fleet", "to"),
    "hold": ("fleet",),
    "cache": ("fleet", "to", "rate"),
    "stop": ("fleet",),
}
"""Verb → its arguments."""
NEED_TO: Final = ("shrink", "rewrite", "cache")
_UNTIL: Final = re.compile(
    r"(?P<which>threshold|hard-threshold|soft-threshold)(?:\s*(?P<sign>[+-])\s*(?P<by>\S+))?"
)


def read_workload(node: Node, fleets: tuple[str, ...]) -> tuple[Step, ...]:
    """All steps in order. Raises SpecError."""
    steps: list[Step] = []
    for index, item in enumerate(read.items(node, "workload")):
        steps.append(_step(item, index=index, fleets=fleets, earlier=tuple(step.name for step in steps)))
    return tuple(steps)


def _step(node: Node, *, index: int, fleets: tuple[str, ...], earlier: tuple[str, ...]) -> Step:
    reader = Reader(node, "a workload step", ("name", "when", *ARGUMENTS))
    verbs = [key for key in reader.node.fields if key in ARGUMENTS]
    if len(verbs) != 1:
        raise (reader.node.marks[verbs[1]] if verbs else reader.mark).error(
            f"two verbs in one step: {verbs[0]} and {verbs[1]}"
            if verbs
            else f"a workload step needs one of {', '.join(ARGUMENTS)}"
        )
    verb = verbs[0]
    name_node = reader.get("name")
    name = read.name(name_node) if name_node is not None else default_name(verb, index)
    at = name_node.mark if name_node is not None else reader.mark
    if name in earlier:
        raise at.error(f"two steps are named '{name}'")
    if name in RESERVED:
        raise at.error(f"a step cannot be named '{name}'")
    inner = Reader(reader.need(verb), verb, ARGUMENTS[verb])
    to, until = inner.read("to", amount), inner.read("until", _until)
    if verb == "grow" and (to is None) == (until is None):
        raise inner.mark.error("grow needs exactly one of 'to' and 'until'")
    if verb in NEED_TO and to is None:
        raise inner.mark.error(f"{verb} needs 'to'")
    return Step(
        name=name,
        when=_when(reader.get("when"), fleets=fleets, earlier=earlier),
        verb=cast("Verb", verb),
        fleets=read.names(inner.need("fleet"), fleets, "fleet", every="all"),
        to=to,
        until=until,
        rate=inner.read("rate", rate),
        pages=cast(
            "Pages", inner.read("pages", lambda n: read.choice(n, PAGES, "kind of pages")) or "unique"
        ),
        line=reader.mark.line,
    )


def amount(node: Node) -> Amount:
    """`130Mi` (bytes) or `50%` (of MemAvailable at `hello`, at most 90 %)."""
    if isinstance(node, Scalar) and node.text.endswith("%"):
        match = re.fullmatch(r"(-?\d+(?:\.\d+)?)\s*%", node.text, re.ASCII)
        if match is None:
            raise node.mark.error(f"'{node.text}' is not a percentage")
        share = float(match[1]) / 100
        if share < 0:
            raise node.mark.error(f"a share of a guest cannot be negative: '{node.text}'")
        if share > MOST_SHARE:
            raise node.mark.error(
                f"'{node.text}' of a guest is refused: above 90% its init is out of memory and it panics",
                suggestion="90%",
            )
        return Amount(share=share)
    return Amount(bytes=read.memory(node, least=0))


def rate(node: Node) -> Bytes:
    """Bytes per second of `25Mi/s`."""
    written = read.text(node) if isinstance(node, Scalar) and isinstance(node.value, str) else None
    if written is None:
        shown = node.text if isinstance(node, Scalar) else ""
        raise node.mark.error(
            f"expected a rate such as 25Mi/s, not {kind_of(node)}",
            suggestion=f"{shown}Mi/s" if shown else None,
        )
    number, slash, unit = written.partition("/")
    if not slash or unit.strip() != "s":
        raise node.mark.error(
            f"'{written}' is not a rate; bytes a second, such as 25Mi/s",
            suggestion=f"{number.removesuffix('ps').strip()}/s" if number else None,
        )
    return read.quantity(number.strip(), node.mark)


def _until(node: Node) -> UntilAvailable:
    available = Reader(node, "until", ("available",)).need("available")
    if not isinstance(available, Scalar):
        raise available.mark.error(f"expected 'threshold - 60Mi' or a quantity, not {kind_of(available)}")
    match = _UNTIL.fullmatch(available.text.strip())
    if match is None:
        first = re.match(r"[a-z-]+", available.text)
        if first is not None:
            known = ("threshold", "soft-threshold", "hard-threshold")
            raise available.mark.error(
                f"'{available.text}' is neither a threshold nor a quantity",
                suggestion=None
                if (near := closest(first[0], known)) is None
                else available.text.replace(first[0], near, 1),
            )
        return UntilAvailable(bytes=read.memory(available, least=0))
    offset = 0
    if match["by"] is not None:
        offset = read.quantity(match["by"], available.mark, least=0) * (-1 if match["sign"] == "-" else 1)
    return UntilAvailable(threshold="soft" if match["which"] == "soft-threshold" else "hard", offset=offset)


def _when(node: Node | None, *, fleets: tuple[str, ...], earlier: tuple[str, ...]) -> When:
    if node is None:
        # The first step waits for the guests, a later one for the step before it.
        return When(step="") if earlier else When(fleet="all", fleet_is="Ready")
    reader = Reader(node, "when", ("fleet", "is", "step", "after", "stats-refreshed", "pressure"))
    if not reader.node.fields:
        raise reader.mark.error("when is empty; leave it out or name a trigger")
    fleet = reader.read("fleet", lambda n: _fleet(n, fleets))
    state = reader.read("is", lambda n: read.choice(n, ("Running", "Ready"), "state"))
    if (fleet is None) != (state is None):
        raise reader.mark.error("when needs 'fleet' and 'is' together")
    after_node = reader.get("after")
    refreshed = reader.read("stats-refreshed", read.boolean) or False
    after: Seconds | None = None
    if isinstance(after_node, Scalar) and after_node.text == "stats-refreshed":
        refreshed = True
    elif after_node is not None:
        after = read.duration(after_node)
    return When(
        fleet=fleet,
        fleet_is=cast("Literal['Running', 'Ready'] | None", state),
        step=reader.read("step", lambda n: _earlier(n, earlier)),
        after=after,
        stats_refreshed=refreshed,
        pressure=reader.read("pressure", read.boolean) or False,
    )


def _fleet(node: Node, fleets: tuple[str, ...]) -> str:
    if not isinstance(node, Scalar):
        raise node.mark.error(f"expected one fleet or all, not {kind_of(node)}")
    return read.names(node, (*fleets, "all"), "fleet")[0]


def _earlier(node: Node, earlier: tuple[str, ...]) -> str:
    written = read.text(node)
    if not earlier:
        raise node.mark.error("the first step has no step before it")
    if written == "done":
        return ""
    if written not in earlier:
        raise node.mark.error(
            f"no earlier step named '{written}'", suggestion=closest(written, (*earlier, "done"))
        )
    return written


def name_steps(node: Node | None) -> None:
    """Write the default names into an unread workload, so that `--set` can address steps by them."""
    for index, item in enumerate(node.items if isinstance(node, Items) else ()):
        if isinstance(item, Fields) and "name" not in item.fields:
            verb = next((key for key in item.fields if key in ARGUMENTS), None)
            if verb is not None:
                item.fields["name"] = Scalar(item.mark, default_name(verb, index), default_name(verb, index))
                item.marks["name"] = item.mark


def default_name(verb: str, index: int) -> str:
    """Name of a step that was given none: `grow-1` for the first of the list."""
    return f"{verb}-{index + 1}"
