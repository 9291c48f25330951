"""Reading `workload:`: what guests do with memory, and what triggers it. Profiles become steps here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal, cast

from harness.spec import read
from harness.spec.errors import closest
from harness.spec.host import read_ksm
from harness.spec.model import Amount, Pages, Step, UntilAvailable, Verb, When
from harness.spec.nodes import Fields, Items, Node, Scalar, kind_of
from harness.spec.read import Reader
from harness.units import Bytes, Seconds
from workloads import profiles

MOST_SHARE: Final = 0.9
"""Above this share of its MemAvailable a guest panics instead of holding: the agent is its init."""
PAGES: Final = ("unique", "shared", "zero")
RESERVED: Final = ("done", "previous", "all")

ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    "grow": ("fleet", "daemon", "to", "until", "rate", "pages"),
    "shrink": ("fleet", "daemon", "to"),
    "rewrite": ("fleet", "to", "rate"),
    "touch": ("fleet", "to"),
    "hold": ("fleet",),
    "cache": ("fleet", "to", "rate", "write"),
    "record": ("fleet", "rate", "fsync", "block"),
    "vram": ("fleet", "to"),
    "stop": ("fleet",),
    "tune": ("ksm",),
}
"""Verb → its arguments."""
PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "ramp": ("fleet", "to", "rate", "pages"),
    "plateau": ("fleet", "to", "for", "rate", "pages"),
    "pulse": ("fleet", "to", "low", "times", "for", "gap", "rate", "pages"),
    "sawtooth": ("fleet", "to", "low", "times", "rate", "pages"),
    "working-set": ("fleet", "to", "touch", "every", "times", "rate", "pages"),
    "churn": ("fleet", "to", "times", "gap", "rate", "write"),
}
"""Profile → its arguments. Each is expanded into steps of the verbs (workloads/profiles.py)."""
PROFILE_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "ramp": ("to",),
    "plateau": ("to", "for"),
    "pulse": ("to", "times", "for"),
    "sawtooth": ("to", "times", "rate"),
    "working-set": ("to", "times", "every"),
    "churn": ("to", "times"),
}
EVENTS: Final = ("evicted", "oom", "ended", "restarted")
BLOCKS: Final = (512, 4096)
OF_DAEMONS: Final = ("grow", "shrink")
"""Verbs that a node's daemon has too."""
OF_THE_MACHINE: Final = ("tune",)
"""Verbs that are about no guest."""
NEED_TO: Final = ("shrink", "rewrite", "cache", "vram")
_UNTIL: Final = re.compile(
    r"(?P<which>threshold|hard-threshold|soft-threshold)(?:\s*(?P<sign>[+-])\s*(?P<by>\S+))?"
)


def read_workload(node: Node, fleets: tuple[str, ...], daemons: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """All steps in order, profiles expanded. Raises SpecError."""
    steps: list[Step] = []
    for index, item in enumerate(read.items(node, "workload")):
        earlier = tuple(step.name for step in steps)
        steps.extend(_steps(item, index=index, fleets=fleets, daemons=daemons, earlier=earlier))
    return tuple(steps)


def _steps(
    node: Node, *, index: int, fleets: tuple[str, ...], daemons: tuple[str, ...], earlier: tuple[str, ...]
) -> tuple[Step, ...]:
    known = (*ARGUMENTS, *PROFILES)
    reader = Reader(node, "a workload step", ("name", "when", *known))
    verbs = [key for key in reader.node.fields if key in known]
    if len(verbs) != 1:
        raise (reader.node.marks[verbs[1]] if verbs else reader.mark).error(
            f"two verbs in one step: {verbs[0]} and {verbs[1]}"
            if verbs
            else f"a workload step needs one of {', '.join(ARGUMENTS)}, or a profile: {', '.join(PROFILES)}"
        )
    verb = verbs[0]
    name_node = reader.get("name")
    name = read.name(name_node) if name_node is not None else default_name(verb, index)
    at = name_node.mark if name_node is not None else reader.mark
    when = _when(reader.get("when"), fleets=fleets, earlier=earlier)
    if verb in PROFILES:
        steps = _profile(verb, reader.need(verb), fleets, name=name, when=when)
    else:
        steps = (_verb(verb, reader.need(verb), fleets, daemons, name=name, when=when),)
    for step in steps:
        if step.name in earlier:
            raise at.error(f"two steps are named '{step.name}'")
        if step.name in RESERVED:
            raise at.error(f"a step cannot be named '{step.name}'")
    return tuple(replace(step, line=reader.mark.line) for step in steps)


def _verb(
    verb: str, node: Node, fleets: tuple[str, ...], daemons: tuple[str, ...], *, name: str, when: When
) -> Step:
    inner = Reader(node, verb, ARGUMENTS[verb])
    if verb in OF_THE_MACHINE:
        return Step(name=name, when=when, verb="tune", fleets=(), ksm=read_ksm(inner.need("ksm"), "tune.ksm"))
    to, until = inner.read("to", amount), inner.read("until", _until)
    if verb == "grow" and (to is None) == (until is None):
        raise inner.mark.error("grow needs exactly one of 'to' and 'until'")
    if verb in NEED_TO and to is None:
        raise inner.mark.error(f"{verb} needs 'to'")
    if verb == "record":
        inner.need("rate")
    mine = _daemons(inner, daemons, to) if verb in OF_DAEMONS and inner.has("daemon") else ()
    return Step(
        name=name,
        when=when,
        verb=cast("Verb", verb),
        fleets=() if mine else read.names(inner.need("fleet"), fleets, "fleet", every="all"),
        daemons=mine,
        to=to,
        until=until,
        rate=inner.read("rate", pace if verb == "record" else rate),
        pages=_pages(inner),
        write=inner.read("write", read.boolean) or False,
        fsync=inner.read("fsync", read.boolean) or False,
        block=inner.read("block", _block),
    )


def _daemons(inner: Reader, known: tuple[str, ...], to: Amount | None) -> tuple[str, ...]:
    """The daemons a step is about, which then has no fleet."""
    if inner.has("fleet"):
        raise inner.key_mark("daemon").error(f"{inner.what} is about a 'fleet' or a 'daemon', not both")
    if to is not None and to.share is not None:
        raise inner.need("to").mark.error("a share is of a guest's memory; a daemon needs bytes")
    return read.names(inner.need("daemon"), known, "daemon")


def _pages(inner: Reader) -> Pages:
    return cast("Pages", inner.read("pages", lambda n: read.choice(n, PAGES, "kind of pages")) or "unique")


def _block(node: Node) -> Bytes:
    size = read.memory(node)
    if size not in BLOCKS:
        raise node.mark.error(f"a record has {BLOCKS[0]} or {BLOCKS[1]} bytes, not {size}")
    return size


def _profile(profile: str, node: Node, fleets: tuple[str, ...], *, name: str, when: When) -> tuple[Step, ...]:
    """The steps of a profile. The last one bears its name, so that `step: <name>` means all of it."""
    inner = Reader(node, profile, PROFILES[profile])
    for key in PROFILE_NEEDS[profile]:
        inner.need(key)
    chosen = read.names(inner.need("fleet"), fleets, "fleet", every="all")
    arguments: dict[str, Any] = {
        "to": amount(inner.need("to")),
        "rate": inner.read("rate", rate),
    }
    readers: tuple[tuple[str, str, Callable[[Node], Any], Any], ...] = (
        ("low", "low", amount, Amount(bytes=Bytes(0))),
        ("times", "times", lambda n: read.whole(n, least=1, most=profiles.MOST_MOVES // 2), None),
        ("for", "hold", read.duration, None),
        ("gap", "gap", read.duration, Seconds(0.0)),
        ("touch", "touch", amount, arguments["to"]),
        ("every", "every", read.duration, None),
        ("write", "write", read.boolean, False),
    )
    for key, parameter, reader, default in readers:
        if key in PROFILES[profile]:
            arguments[parameter] = read.or_else(inner.read(key, reader), default)
    expand: Callable[..., tuple[profiles.Move[Amount], ...]] = getattr(profiles, profile.replace("-", "_"))
    moves = expand(**arguments)
    pages, last = _pages(inner) if "pages" in PROFILES[profile] else "unique", len(moves)
    steps: list[Step] = []
    for number, move in enumerate(moves, start=1):
        after = Seconds(move.wait) if move.wait else None
        steps.append(
            Step(
                name=name if number == last else f"{name}-{number}",
                when=when if number == 1 else When(step=steps[-1].name, after=after),
                verb=move.verb,
                fleets=chosen,
                to=move.to,
                rate=None if move.rate is None else Bytes(move.rate),
                pages=pages,
                write=move.write,
                profile=name,
            )
        )
    return tuple(steps)


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


def pace(node: Node) -> Bytes:
    """Records per second of `100/s`."""
    match = re.fullmatch(r"(\d+)\s*/\s*s", node.text, re.ASCII) if isinstance(node, Scalar) else None
    if match is None or int(match[1]) == 0:
        raise node.mark.error(f"expected records a second such as 100/s, not {kind_of(node)}")
    return Bytes(int(match[1]))


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
    reader = Reader(node, "when", ("fleet", "is", "step", "after", "stats-refreshed", "pressure", "on", "of"))
    if not reader.node.fields:
        raise reader.mark.error("when is empty; leave it out or name a trigger")
    fleet = reader.read("fleet", lambda n: _fleet(n, fleets))
    state = reader.read("is", lambda n: read.choice(n, ("Running", "Ready"), "state"))
    if (fleet is None) != (state is None):
        raise reader.mark.error("when needs 'fleet' and 'is' together")
    if reader.has("of") and not reader.has("on"):
        raise reader.key_mark("of").error("'of' says to whom 'on' happens; there is no 'on'")
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
        event=cast(
            "Literal['evicted', 'oom', 'ended', 'restarted'] | None",
            reader.read("on", lambda n: read.choice(n, EVENTS, "event")),
        ),
        event_of=reader.read("of", lambda n: _one_of(n, fleets)),
    )


def _fleet(node: Node, fleets: tuple[str, ...]) -> str:
    if not isinstance(node, Scalar):
        raise node.mark.error(f"expected one fleet or all, not {kind_of(node)}")
    return read.names(node, (*fleets, "all"), "fleet")[0]


def _one_of(node: Node, fleets: tuple[str, ...]) -> str | None:
    """A fleet; None for `all`."""
    name = _fleet(node, fleets)
    return None if name == "all" else name


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
            verb = next((key for key in item.fields if key in ARGUMENTS or key in PROFILES), None)
            if verb is not None:
                item.fields["name"] = Scalar(item.mark, default_name(verb, index), default_name(verb, index))
                item.marks["name"] = item.mark


def default_name(verb: str, index: int) -> str:
    """Name of a step that was given none: `grow-1` for the first of the list."""
    return f"{verb}-{index + 1}"
