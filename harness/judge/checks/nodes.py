"""`allocatable`, `configz`: how large a node says it is, and how its kubelet says it is set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from harness.judge.checks.bounded import all_of
from harness.judge.interval import Interval, Truth
from harness.judge.seen import Run, Seen, merge, unobservable
from harness.records import served
from harness.spec.durations import parse_duration
from harness.spec.expectations import Allocatable, Configz
from harness.spec.fragments import KUBELET_FIELDS


def nodes_of(run: Run, name: str) -> list[str]:
    """Return the cluster's nodes a scenario's node name (or `all`) stands for: those its fleets ran on, if it names none."""
    known = {key: str(served.dig(value, "name") or key) for key, value in run.provenance.nodes.items()}
    if name != "all":
        return [known.get(name, name)]
    if known and run.scenario.nodes:
        return sorted(set(known.values()))
    ran = {e.incarnation.node for m in run.cast.members for e in run.inside(m)} - {""}
    return sorted(ran or set(run.timeline.configz))


def _each(run: Run, of: str, look: Callable[[str], Seen]) -> Seen:
    nodes = nodes_of(run, of)
    if not nodes:
        return unobservable("no node was recorded", open_=not run.timeline.closed)
    parts = [look(node) for node in nodes]
    return merge([_about(part, node) for part, node in zip(parts, nodes, strict=True)])


def _about(seen: Seen, node: str) -> Seen:
    # Subjects are VMIs; a node is named in the text.
    return replace(seen, text=f"{node}: {seen.text}")


def look_allocatable(run: Run, wanted: Allocatable) -> Seen:
    """Judge what the node's status says last."""

    def one(node: str) -> Seen:
        track = run.timeline.nodes.get(node)
        if track is None or not track.sizes:
            return unobservable("its object was not recorded", open_=not run.timeline.closed)
        last = track.sizes[-1]
        parts: list[Seen] = []
        for what, value, literal in (
            ("allocatable", last.allocatable, wanted.memory),
            ("capacity", last.capacity, wanted.capacity),
        ):
            if literal is None:
                continue
            if value is None:
                parts.append(unobservable(f"it serves no {what} of memory"))
                continue
            off = abs(value - literal)
            parts.append(
                Seen(
                    truth=Truth.of(off <= wanted.tolerance),
                    text=f"{what} {value} bytes",
                    interval=Interval(float(value), float(value)),
                    margin=float(wanted.tolerance - off),
                    proof=(last.line,),
                    reason=f"{what} {value} instead of {literal} bytes" if off > wanted.tolerance else "",
                    timed=False,
                )
            )
        return all_of(parts)

    return _each(run, wanted.of, one)


def look_configz(run: Run, wanted: Configz) -> Seen:
    """Compare fields of the kubelet's effective configuration as text, quantity or duration."""

    def one(node: str) -> Seen:
        found = run.timeline.configz.get(node)
        if found is None:
            return unobservable("its /configz was not recorded", open_=not run.timeline.closed)
        line, config = found
        told: list[str] = []
        wrong: list[str] = []
        for path, literal in wanted.values.items():
            value = served.dig(config, *path)
            told.append(f"{'.'.join(path)} {_shown(value)}")
            if not equal(value, literal):
                wrong.append(f"{'.'.join(path)} should be {'none' if literal is None else literal}")
        hidden = [field for field in wanted.knows if field not in config]
        told += [f"{field} {'not served' if field in hidden else 'known'}" for field in wanted.knows]
        wrong += [f"no kubelet has {field}" for field in hidden if field not in KUBELET_FIELDS]
        if hidden and not wrong:
            # KubeletConfiguration leaves unset fields out (`omitempty`): known or not can't be told then.
            return unobservable(f"{', '.join(hidden)} is not served: unknown to this kubelet, or unset")
        return Seen(
            truth=Truth.of(not wrong),
            text=", ".join(told),
            proof=(line,),
            reason="; ".join(wrong),
            timed=False,
        )

    return _each(run, wanted.of, one)


def _shown(value: object) -> str:
    if _nothing(value):
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nothing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, Mapping | list) and not value)


def equal(value: object, literal: str | None) -> bool:
    """Whether a served value is what a literal says: as text, quantity or duration; None is missing, null or empty."""
    if literal is None or _nothing(value):
        return literal is None and _nothing(value)
    text = _shown(value)
    if text == literal or (isinstance(value, bool) and text == literal.lower()):
        return True
    for read in (served.maybe_quantity, _seconds):
        mine, theirs = read(text), read(literal)
        if mine is not None and theirs is not None:
            return bool(mine == theirs)
    return False


def _seconds(text: str) -> float | None:
    try:
        return float(parse_duration(text))
    except ValueError:
        return None
