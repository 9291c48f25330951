"""Reading the lines under `promises:` and `requires:` as expectations.

One function a kind: what becomes of VMs here, what cluster and host show in `checks_cluster` and `checks_memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, cast

from harness.spec import checks_cluster, checks_memory, read
from harness.spec.errors import closest
from harness.spec.expectations import (
    KINDS,
    Check,
    Evicted,
    Expectation,
    Grace,
    GuestMemory,
    Oom,
    PerColumn,
    Phase,
    Qos,
    Request,
    Scope,
    Shutdown,
    Survives,
)
from harness.spec.nodes import Fields, Items, Node, Scalar, flow, kind_of
from harness.spec.read import Reader
from harness.spec.subjects import WHOM, Subjects, bounds, count, some_bytes, victims_from, whom
from harness.units import Bytes

COLUMNS: Final = ("v1.6", "v1.7", "v1.8", "v1.9", "main")
"""KubeVirt version columns, oldest first."""
CONTAINERS: Final = ("compute", "guest-console-log")
QOS_CLASSES: Final = ("Guaranteed", "Burstable", "BestEffort")
VMI_PHASES: Final = ("Pending", "Scheduling", "Scheduled", "Running", "Succeeded", "Failed")
POD_PHASES: Final = ("Pending", "Running", "Succeeded", "Failed")
SCOPES: Final = ("guest", "container", "pod", "node")


def read_checks(
    node: Node, *, section: str, subjects: Subjects, claims: Collection[str] | None
) -> tuple[Check, ...]:
    """All checks of a section. `claims`: the known ids; None: any is accepted. Raises SpecError."""
    result = []
    for index, item in enumerate(read.items(node, section)):
        promised = section == "promises"
        reader = Reader(item, f"an item of {section}", (*(("claim",) if promised else ()), *KINDS))
        kinds = [key for key in KINDS if key in reader.node.fields]
        if len(kinds) != 1:
            marks = [reader.node.marks[key] for key in kinds]
            raise (marks[1] if len(marks) > 1 else reader.mark).error(
                f"two expectations in one item: {' and '.join(kinds[:2])}"
                if kinds
                else f"an item of {section} needs one expectation: {', '.join(KINDS)}"
            )
        claim = None
        if promised:
            claim_node = reader.need("claim")
            claim = read.text(claim_node)
            if claims is not None and claim not in claims:
                raise claim_node.mark.error(f"unknown claim '{claim}'", suggestion=closest(claim, claims))
        result.append(
            Check(
                id=f"{section}/{index}",
                kind=kinds[0],
                expectation=read_expectation(kinds[0], reader.need(kinds[0]), subjects),
                claim=claim,
                text=flow(item),
                line=item.mark.line,
            )
        )
    return tuple(result)


def read_expectation(kind: str, node: Node, subjects: Subjects) -> Expectation:
    """One expectation of a known kind. Raises SpecError."""
    return _READERS[kind](node, subjects)


def _request(node: Node, subjects: Subjects) -> Request:
    if not isinstance(node, Fields):
        raise node.mark.error(f"request must be a mapping, not {kind_of(node)}")
    # Names of volume and sidecar containers are the manifest's, so other containers are accepted unless near a known one.
    for key in node.fields:
        if key not in (*WHOM, *CONTAINERS) and (near := closest(key, (*WHOM, *CONTAINERS), cutoff=0.8)):
            raise node.marks[key].error(f"unknown container '{key}' in request", suggestion=near)
    reader = Reader(node, "request", tuple(node.fields))
    requests: dict[str, PerColumn] = {}
    limits: dict[str, PerColumn] = {}
    for container, value in node.fields.items():
        if container in WHOM:
            continue
        inner = Reader(value, f"request of {container}", ("requests", "limits"))
        if not inner.node.fields:
            raise inner.mark.error(f"request of {container} needs 'requests' or 'limits'")
        for key, into in (("requests", requests), ("limits", limits)):
            if key in inner.node.fields:
                into[container] = _per_column(inner.need(key))
    if not requests and not limits:
        raise reader.mark.error("request needs a container, e.g. compute: {requests: 1024M}")
    return Request(of=whom(reader, subjects, victim=False), requests=requests, limits=limits)


def _per_column(node: Node) -> PerColumn:
    """`1024M`, `none`, or a mapping of columns and ranges of columns to them."""
    if not isinstance(node, Fields):
        return {"*": _amount_or_none(node)}
    result: dict[str, Bytes | None] = {}
    for key, value in node.fields.items():
        for column in expand_columns(Scalar(node.marks[key], key, key)):
            if column in result:
                raise node.marks[key].error(f"column {column} is given twice")
            result[column] = _amount_or_none(value)
    if not result:
        raise node.mark.error("no column is given")
    return result


def _amount_or_none(node: Node) -> Bytes | None:
    return None if isinstance(node, Scalar) and node.text == "none" else read.memory(node, least=0)


def expand_columns(node: Node) -> tuple[str, ...]:
    """Columns of `main`, `v1.8`, `v1.6-v1.9`, `v1.7-main` or `*`."""
    written = read.text(node)
    if written == "*":
        return ("*",)
    first, dash, last = written.partition("-")
    ends = (first, last) if dash else (first,)
    for end in ends:
        if end not in COLUMNS:
            raise node.mark.error(
                f"unknown KubeVirt column '{end}'; one of {', '.join(COLUMNS)}",
                suggestion=closest(end, COLUMNS, cutoff=0.7),
            )
    low, high = COLUMNS.index(ends[0]), COLUMNS.index(ends[-1])
    if low > high:
        raise node.mark.error(f"columns '{written}' run backwards", suggestion=f"{last}-{first}")
    return COLUMNS[low : high + 1]


def _qos(node: Node, subjects: Subjects) -> Qos:
    reader = Reader(node, "qos", (*WHOM, "pod", "vmi"))
    return Qos(
        of=whom(reader, subjects, victim=False),
        pod=read.choice(reader.need("pod"), QOS_CLASSES, "QoS class"),
        vmi=reader.read("vmi", lambda n: read.choice(n, QOS_CLASSES, "QoS class")),
    )


def _guest_memory(node: Node, subjects: Subjects) -> GuestMemory:
    reader = Reader(node, "guest-memory", (*WHOM, "min", "max"))
    reader.need("min")
    reader.need("max")
    low, high = bounds(reader, some_bytes)
    return GuestMemory(of=whom(reader, subjects, victim=False), min=low, max=high)


def _evicted(node: Node, subjects: Subjects) -> Evicted:
    reader = Reader(node, "evicted", ("from", "count", "after", "within", "of", "order"))
    fleets = victims_from(reader, subjects)
    low, high = count(reader, subjects.deaths(fleets))
    after, within = reader.read("after", read.duration), reader.read("within", read.duration)
    if after is not None and within is not None and after > within:
        raise reader.need("after").mark.error(f"after {after:g}s is later than within {within:g}s")
    order = reader.read("order", lambda n: read.names(n, fleets, "fleet")) or ()
    return Evicted(
        fleets=fleets,
        min_count=low,
        max_count=high,
        after=after,
        within=within,
        since=reader.read("of", lambda n: _since(n, subjects)) or "threshold-crossed",
        order=order,
    )


def _since(node: Node, subjects: Subjects) -> str:
    known = ("threshold-crossed", "workload-done", *(f"step:{step}" for step in subjects.steps))
    return read.choice(node, known, "moment")


def _survives(node: Node, subjects: Subjects) -> Survives:
    return Survives(of=whom(Reader(node, "survives", WHOM), subjects, victim=False))


def _grace(node: Node, subjects: Subjects) -> Grace:
    reader = Reader(node, "grace", (*WHOM, "min", "max"))
    low, high = bounds(reader, read.duration)
    return Grace(of=whom(reader, subjects, victim=True), min=low, max=high)


def _shutdown(node: Node, subjects: Subjects) -> Shutdown:
    reader = Reader(node, "shutdown", (*WHOM, "clean"))
    return Shutdown(of=whom(reader, subjects, victim=True), clean=read.boolean(reader.need("clean")))


def _oom(node: Node, subjects: Subjects) -> Oom:
    reader = Reader(node, "oom", ("from", "scope", "count", "before-eviction"))
    fleets = victims_from(reader, subjects)
    low, high = count(reader, subjects.deaths(fleets))
    scope = reader.read("scope", lambda n: read.choice(n, SCOPES, "scope"))
    return Oom(
        fleets=fleets,
        scope=cast("Scope | None", scope),
        min_count=low,
        max_count=high,
        before_eviction=reader.read("before-eviction", read.boolean),
    )


def _phase(node: Node, subjects: Subjects) -> Phase:
    reader = Reader(node, "phase", (*WHOM, "vmi", "pod"))
    if not reader.has("vmi") and not reader.has("pod"):
        raise reader.mark.error("phase needs 'vmi' or 'pod'")
    return Phase(
        of=whom(reader, subjects, victim=True),
        vmi=reader.read("vmi", lambda n: _phases(n, VMI_PHASES)) or (),
        pod=reader.read("pod", lambda n: _phases(n, POD_PHASES)) or (),
    )


def _phases(node: Node, known: tuple[str, ...]) -> tuple[str, ...]:
    found = [
        read.choice(item, known, "phase") for item in (node.items if isinstance(node, Items) else [node])
    ]
    if not found:
        raise node.mark.error("no phase is named")
    return tuple(dict.fromkeys(found))


_READERS: Final[Mapping[str, Callable[[Node, Subjects], Expectation]]] = {
    "request": _request,
    "qos": _qos,
    "guest-memory": _guest_memory,
    "evicted": _evicted,
    "survives": _survives,
    "grace": _grace,
    "shutdown": _shutdown,
    "oom": _oom,
    "phase": _phase,
    **checks_cluster.READERS,
    **checks_memory.READERS,
}
