"""Reading `fleet:`: named groups of VMIs made from manifests as one would `kubectl apply` them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from harness.spec import read
from harness.spec.manifests import check_manifest, check_path
from harness.spec.model import FleetSpec
from harness.spec.nodes import Fields, Mark, Node, Scalar, kind_of, parse, plain
from harness.spec.paths import assign
from harness.spec.read import Reader, or_else
from harness.spec.techniques import Technique, apply_to_manifest
from harness.units import Seconds

KEYS: Final = (
    "name",
    "manifest",
    "set",
    "count",
    "fill",
    "stagger",
    "node",
    "deaf",
    "shutdown",
    "validation",
    "match",
)
RESERVED: Final = ("all", "victim", "none")
MOST_MEMBERS: Final = 500
VALIDATIONS: Final = ("Strict", "Warn", "Ignore")

OpenFile = Callable[[str, Mark], str]
"""Text of a file named in a scenario, relative to it. Raises SpecError at the mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Techniques that every fleet's manifest is changed by, and where the scenario names them."""

    found: tuple[Technique, ...]
    base: Mapping[str, Node]
    mark: Mark


def read_fleet(
    node: Node, nodes: tuple[str, ...], open_file: OpenFile, applied: Applied | None = None
) -> tuple[FleetSpec, ...]:
    """All fleets. `nodes`: the names a fleet may be pinned to. Raises SpecError."""
    result: list[FleetSpec] = []
    owner: dict[str, str] = {}
    for item in read.items(node, "fleet"):
        reader = Reader(item, "a fleet", KEYS)
        name_node = reader.need("name")
        name = read.name(name_node)
        if name in RESERVED:
            raise name_node.mark.error(f"a fleet cannot be named '{name}'")
        if any(other.name == name for other in result):
            raise name_node.mark.error(f"two fleets are named '{name}'")
        fleet = _one(reader, name, nodes, open_file, applied)
        for vmi in fleet.members:
            if vmi in owner:
                raise name_node.mark.error(f"fleets '{owner[vmi]}' and '{name}' would both hold '{vmi}'")
            owner[vmi] = name
        result.append(fleet)
    if not result:
        raise node.mark.error("fleet is empty")
    return tuple(result)


def _one(
    reader: Reader, name: str, nodes: tuple[str, ...], open_file: OpenFile, applied: Applied | None
) -> FleetSpec:
    match = reader.read("match", _match) or ()
    if match:
        for key in ("set", "count", "fill", "stagger", "node", "validation"):
            if reader.has(key):
                raise reader.key_mark(key).error(f"'{key}' has no meaning beside 'match': nothing is created")
    elif not reader.has("manifest"):
        raise reader.mark.error("a fleet needs 'manifest' (or 'match' for an imported recording)")
    fill = reader.read("fill", read.boolean) or False
    if fill and not reader.has("count"):
        raise reader.key_mark("fill").error("'fill' needs 'count': the most VMIs it may come to")
    if fill and reader.has("stagger"):
        raise reader.key_mark("stagger").error(
            "'stagger' has no meaning beside 'fill': the scheduler sets the pace"
        )
    return FleetSpec(
        name=name,
        manifest=_manifest(reader, open_file, applied if not match else None)
        if reader.has("manifest")
        else {},
        count=or_else(reader.read("count", lambda n: read.whole(n, least=1, most=MOST_MEMBERS)), 1),
        node=reader.read("node", lambda n: _node(n, nodes)),
        deaf=reader.read("deaf", read.boolean) or False,
        shutdown=or_else(reader.read("shutdown", read.duration), Seconds(0.0)),
        fill=fill,
        stagger=or_else(reader.read("stagger", read.duration), Seconds(0.0)),
        validation=cast(
            "Literal['Strict', 'Warn', 'Ignore'] | None",
            reader.read("validation", lambda n: read.choice(n, VALIDATIONS, "field validation")),
        ),
        match=match,
    )


def _node(node: Node, nodes: tuple[str, ...]) -> str:
    if not isinstance(node, Scalar):
        raise node.mark.error(f"expected one node, not {kind_of(node)}")
    return read.names(node, nodes, "node")[0]


def _match(node: Node) -> tuple[str, ...]:
    names = Reader(node, "match", ("names",)).need("names")
    found = tuple(read.text(item) for item in read.items(names, "names"))
    if not found:
        raise names.mark.error("names is empty")
    return found


def _manifest(reader: Reader, open_file: OpenFile, applied: Applied | None) -> Mapping[str, Any]:
    node = reader.need("manifest")
    if isinstance(node, Scalar):
        path = read.text(node)
        node = parse(open_file(path, node.mark), path)
    fields = check_manifest(node)
    kind = read.text(fields.fields["kind"])
    own: dict[str, Node] = {}
    if (changes := reader.get("set")) is not None:
        if not isinstance(changes, Fields):
            raise changes.mark.error(f"set must be a mapping of paths to values, not {kind_of(changes)}")
        for path, value in changes.fields.items():
            check_path(path, changes.marks[path], kind=kind)
            own[path] = value
    if applied is not None:
        apply_to_manifest(fields, applied.found, applied.base, own, at=applied.mark)
    elif isinstance(changes, Fields):
        for path, value in own.items():
            assign(fields, path, value, changes.marks[path])
    check_manifest(fields)
    return dict(plain(fields))
