"""Reading expectations of what the cluster answers and shows: admission, nodes, conditions, successors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, cast

from harness.spec import read
from harness.spec.errors import closest
from harness.spec.expectations import (
    Admission,
    Allocatable,
    Condition,
    Configz,
    Expectation,
    OomScoreAdj,
    Successor,
    Vnc,
)
from harness.spec.fragments import KUBELET_FIELDS
from harness.spec.nodes import Fields, Node, Scalar, kind_of
from harness.spec.read import Reader
from harness.spec.subjects import (
    ENDLESS,
    WHOM,
    Subjects,
    asked,
    bounds,
    count,
    share,
    signed,
    some_bytes,
    span,
    which_node,
    whom,
)

OBJECTS: Final = ("vmi", "pod", "vm", "node")
STATUSES: Final = ("True", "False", "Unknown", "absent")
PLACES: Final = ("same", "other", "any")
REACHED: Final = ("scheduled", "running")
_WORST: Final = 1000
"""Bound of oom_score_adj (include/uapi/linux/oom.h)."""


def _admission(node: Node, subjects: Subjects) -> Admission:
    reader = Reader(node, "admission", (*WHOM, "allowed", "code", "message", "warning", "warnings"))
    warnings = reader.get("warnings")
    low, high = (None, None) if warnings is None else span(warnings, most=ENDLESS, what="number of warnings")
    return Admission(
        of=whom(reader, subjects, more=("kubevirt",)),
        allowed=read.boolean(reader.need("allowed")),
        code=reader.read("code", lambda n: read.whole(n, least=100, most=599)),
        message=reader.read("message", read.text),
        warning=reader.read("warning", read.text),
        min_warnings=low,
        max_warnings=high,
    )


def _oom_score_adj(node: Node, subjects: Subjects) -> OomScoreAdj:
    reader = Reader(node, "oom-score-adj", (*WHOM, "min", "max"))

    def score(one: Node) -> int:
        return signed(one, least=-_WORST, most=_WORST)

    low, high = bounds(reader, score)
    return OomScoreAdj(
        of=whom(reader, subjects),
        min=-_WORST if low is None else low,
        max=_WORST if high is None else high,
    )


def _allocatable(node: Node, subjects: Subjects) -> Allocatable:
    reader = Reader(node, "allocatable", ("node", "of", "memory", "capacity", "tolerance"))
    asked(reader, ("memory", "capacity"))
    return Allocatable(
        of=which_node(reader, subjects),
        memory=reader.read("memory", some_bytes),
        capacity=reader.read("capacity", some_bytes),
        tolerance=read.or_else(reader.read("tolerance", some_bytes), some_bytes(Scalar(node.mark, 0, "0"))),
    )


def _configz(node: Node, subjects: Subjects) -> Configz:
    if not isinstance(node, Fields):
        raise node.mark.error(f"configz must be a mapping, not {kind_of(node)}")
    own = ("node", "of", "knows")
    for key in node.fields:
        if key not in own and (near := closest(key, KUBELET_FIELDS, cutoff=0.75)) not in {None, key}:
            raise node.marks[key].error(f"unknown field '{key}' in KubeletConfiguration", suggestion=near)
    reader = Reader(node, "configz", tuple(node.fields))
    values: dict[tuple[str, ...], str | None] = {}
    for key, value in node.fields.items():
        if key not in own:
            _flatten(value, (key,), values)
    knows = tuple(
        read.text(item) for item in (read.items(reader.need("knows"), "knows") if reader.has("knows") else ())
    )
    if not values and not knows:
        raise reader.mark.error("configz needs a field of KubeletConfiguration, or 'knows'")
    return Configz(of=which_node(reader, subjects), values=values, knows=knows)


def _flatten(node: Node, path: tuple[str, ...], into: dict[tuple[str, ...], str | None]) -> None:
    if isinstance(node, Fields) and node.fields:
        for key, value in node.fields.items():
            _flatten(value, (*path, key), into)
    elif isinstance(node, Scalar):
        into[path] = None if node.value is None or node.text == "none" else node.text
    else:
        raise node.mark.error(f"expected a value or none, not {kind_of(node)}")


def _vnc(node: Node, subjects: Subjects) -> Vnc:
    reader = Reader(node, "vnc", (*WHOM, "status", "message"))
    return Vnc(
        of=whom(reader, subjects),
        status=read.whole(reader.need("status"), least=100, most=599),
        message=reader.read("message", read.text),
    )


def _condition(node: Node, subjects: Subjects) -> Condition:
    reader = Reader(node, "condition", (*WHOM, "object", "type", "status", "reason", "ever"))
    return Condition(
        of=whom(reader, subjects, victim=True),
        object=cast(
            "Literal['vmi', 'pod', 'vm', 'node']",
            reader.read("object", lambda n: read.choice(n, OBJECTS, "object")) or "vmi",
        ),
        type=read.text(reader.need("type")),
        status=cast(
            "Literal['True', 'False', 'Unknown', 'absent']",
            read.choice(_spelled(reader.need("status")), STATUSES, "status"),
        ),
        reason=reader.read("reason", read.text),
        ever=reader.read("ever", read.boolean) or False,
    )


def _spelled(node: Node) -> Node:
    """A condition's status is text; YAML's true and false are taken for it."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return Scalar(node.mark, str(node.value), str(node.value))
    return node


def _successor(node: Node, subjects: Subjects) -> Successor:
    reader = Reader(node, "successor", (*WHOM, "node", "count", "after", "within", "until", "max-usage"))
    low, high = count(reader, None, default=(1, ENDLESS))
    after, within = reader.read("after", read.duration), reader.read("within", read.duration)
    if after is not None and within is not None and after > within:
        raise reader.need("after").mark.error(f"after {after:g}s is later than within {within:g}s")
    if high == 0:
        for key in ("node", "after", "within", "until", "max-usage"):
            if reader.has(key):
                raise reader.key_mark(key).error(f"'{key}' has no meaning for count 0: there is no successor")
    return Successor(
        of=whom(reader, subjects, victim=True, default="victim"),
        node=cast(
            "Literal['same', 'other', 'any']",
            reader.read("node", lambda n: read.choice(n, PLACES, "place")) or "any",
        ),
        min_count=low,
        max_count=high,
        after=after,
        within=within,
        until=cast(
            "Literal['scheduled', 'running']",
            reader.read("until", lambda n: read.choice(n, REACHED, "moment")) or "scheduled",
        ),
        max_usage=reader.read("max-usage", share),
    )


READERS: Final[Mapping[str, Callable[[Node, Subjects], Expectation]]] = {
    "admission": _admission,
    "oom-score-adj": _oom_score_adj,
    "allocatable": _allocatable,
    "configz": _configz,
    "vnc": _vnc,
    "condition": _condition,
    "successor": _successor,
}
