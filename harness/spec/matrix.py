"""One file, several scenarios: `matrix:`, `repeats:`, `per-cluster:` values. All of it on the tree, before it is read.

An axis of the matrix is `technique`, a dotted path into the file (as for `--set`), or a name whose value is written
`$(name)` wherever it belongs; of a value that is a mapping `$(name.key)` is one part. A value's label is its text, or its
key where an axis is a mapping of labels to values.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from harness.spec import read
from harness.spec.errors import closest
from harness.spec.nodes import Fields, Items, Mark, Node, Scalar, copied, flow, kind_of
from harness.spec.paths import assign
from harness.spec.read import Reader

TECHNIQUE: Final = "technique"
EXCLUDE: Final = "exclude"
PER_CLUSTER: Final = "per-cluster"
CLUSTERS: Final = ("local", "kind", "kubeconfig", "model")
DEFAULT: Final = "default"
MOST_SCENARIOS: Final = 200
MOST_REPEATS: Final = 100
MOST_NAME: Final = 100
_HOLE: Final = re.compile(r"\$\$\(|\$\(([^()\s]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The axes of a file: name → label → value."""

    axes: Mapping[str, Mapping[str, Node]]
    excluded: tuple[Mapping[str, str], ...] = ()
    mark: Mark

    def combinations(self) -> Iterator[Mapping[str, str]]:
        """Every combination of labels that is not excluded, the last axis fastest."""
        for labels in itertools.product(*(axis for axis in self.axes.values())):
            chosen = dict(zip(self.axes, labels, strict=True))
            if not any(rule.items() <= chosen.items() for rule in self.excluded):
                yield chosen


def read_matrix(root: Fields) -> Matrix | None:
    """The file's matrix; None where it has none. Raises SpecError."""
    node = root.fields.get("matrix")
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return None
    if not isinstance(node, Fields) or not node.fields:
        raise node.mark.error("matrix must be a mapping of axes to lists of values")
    axes: dict[str, Mapping[str, Node]] = {}
    for name, values in node.fields.items():
        if name != EXCLUDE:
            axes[name] = _axis(name, values)
    if not axes:
        raise node.mark.error("matrix has no axis")
    holes = set(_holes(root))
    _check_parts(axes, holes)
    holes |= {hole.partition(".")[0] for hole in holes}
    for name in axes:
        if name == TECHNIQUE:
            if TECHNIQUE in root.fields:
                raise root.marks[TECHNIQUE].error("'technique' is an axis of the matrix already")
        elif "." not in name and name not in holes:
            near = closest(name, holes)
            raise node.marks[name].error(
                f"the values of '{name}' are used nowhere; write $({name}) where they belong",
                suggestion=None if near is None or near in axes else f"$({near})",
            )
    matrix = Matrix(axes=axes, excluded=_excluded(node.fields.get(EXCLUDE), axes), mark=node.mark)
    count = sum(1 for _ in itertools.islice(matrix.combinations(), MOST_SCENARIOS + 1))
    if count == 0:
        raise node.mark.error("'exclude' leaves nothing of the matrix")
    if count > MOST_SCENARIOS:
        raise node.mark.error(f"the matrix makes more than {MOST_SCENARIOS} scenarios")
    return matrix


def _axis(name: str, node: Node) -> Mapping[str, Node]:
    found: dict[str, Node] = {}
    if isinstance(node, Fields):
        pairs = [(label, value, node.marks[label]) for label, value in node.fields.items()]
    else:
        pairs = [(_label(item), item, item.mark) for item in read.items(node, f"axis '{name}'")]
    slugs: dict[str, str] = {}
    for label, value, mark in pairs:
        slug = slug_of(label)
        if not slug:
            raise mark.error(f"'{label}' of axis '{name}' has no letter or digit to name it by")
        if slug in slugs:
            raise mark.error(f"'{label}' and '{slugs[slug]}' of axis '{name}' have the same name '{slug}'")
        slugs[slug] = label
        found[label] = value
    if not found:
        raise node.mark.error(f"axis '{name}' has no values")
    return found


def _check_parts(axes: Mapping[str, Mapping[str, Node]], holes: set[str]) -> None:
    """Every value of an axis has the parts that `$(axis.part)` asks for."""
    for axis, values in axes.items():
        for part in sorted(hole.partition(".")[2] for hole in holes if hole.startswith(f"{axis}.")):
            for label, value in values.items():
                if not isinstance(value, Fields) or part not in value.fields:
                    near = closest(part, value.fields) if isinstance(value, Fields) else None
                    raise value.mark.error(
                        f"'{label}' of axis '{axis}' has no '{part}', which $({axis}.{part}) asks for",
                        suggestion=near,
                    )


def _label(node: Node) -> str:
    if not isinstance(node, Scalar):
        raise node.mark.error(
            f"a value that is {kind_of(node)} needs a name: make the axis a mapping of names to values"
        )
    return flow(node)


def _excluded(node: Node | None, axes: Mapping[str, Mapping[str, Node]]) -> tuple[Mapping[str, str], ...]:
    rules = []
    for item in read.items(node, EXCLUDE) if node is not None else ():
        reader = Reader(item, f"an item of {EXCLUDE}", tuple(axes))
        rules.append(
            {name: read.choice(reader.need(name), tuple(axes[name]), name) for name in reader.node.fields}
        )
        if not rules[-1]:
            raise item.mark.error(f"an item of {EXCLUDE} that names nothing excludes everything")
    return tuple(rules)


def slug_of(label: str) -> str:
    """A label as part of a name: `ksm+swap` is `ksm-swap`, `256Mi` is `256mi`."""
    return re.sub(r"[^a-z0-9]+", "-", label.casefold()).strip("-")


def choose(root: Fields, matrix: Matrix, labels: Mapping[str, str]) -> None:
    """Make the tree that of one combination: values written where they belong, `matrix` gone. Raises SpecError."""
    values: dict[str, Node] = {}
    for axis, known in matrix.axes.items():
        label = labels.get(axis)
        if label is None:
            raise matrix.mark.error(f"no value of axis '{axis}' is chosen; one of {', '.join(known)}")
        if label not in known:
            raise matrix.mark.error(
                f"'{label}' is no value of axis '{axis}'; one of {', '.join(known)}",
                suggestion=closest(label, known),
            )
        values[axis] = known[label]
    if extra := [axis for axis in labels if axis not in matrix.axes]:
        raise matrix.mark.error(
            f"the matrix has no axis '{extra[0]}'", suggestion=closest(extra[0], matrix.axes)
        )
    root.fields.pop("matrix", None)
    root.marks.pop("matrix", None)
    for axis, value in values.items():
        if axis == TECHNIQUE:
            root.fields[TECHNIQUE], root.marks[TECHNIQUE] = value, value.mark
        elif "." in axis:
            assign(root, axis, copied(value), value.mark)
    parts = {
        f"{axis}.{part}": inner
        for axis, value in values.items()
        if isinstance(value, Fields)
        for part, inner in value.fields.items()
    }
    fill(root, {**parts, **values})


def fill(node: Node, values: Mapping[str, Node]) -> Node:
    """Put values into the `$(name)` of a tree, in place; return what stands in the node's place. `$$(` is a plain `$(`."""
    if isinstance(node, Fields):
        for key, inner in node.fields.items():
            node.fields[key] = fill(inner, values)
        return node
    if isinstance(node, Items):
        node.items[:] = [fill(item, values) for item in node.items]
        return node
    if not isinstance(node.value, str):
        return node
    whole = _HOLE.fullmatch(node.text)
    if whole is not None and whole[1] in values:
        value = values[whole[1]]
        return Scalar(node.mark, value.value, value.text) if isinstance(value, Scalar) else copied(value)

    def put(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$("
        value = values.get(match[1])
        if value is None:
            return match[0]
        if not isinstance(value, Scalar):
            raise node.mark.error(f"$({match[1]}) is {kind_of(value)} and can't stand inside text")
        return value.text

    text = _HOLE.sub(put, node.text)
    return node if text == node.text else Scalar(node.mark, text, text)


def _holes(node: Node) -> Iterator[str]:
    if isinstance(node, Fields):
        for inner in node.fields.values():
            yield from _holes(inner)
    elif isinstance(node, Items):
        for inner in node.items:
            yield from _holes(inner)
    elif isinstance(node.value, str):
        yield from (match[1] for match in _HOLE.finditer(node.text) if match[1])


def take_cluster(node: Node, cluster: str) -> Node:
    """Replace every `{per-cluster: {local: …, kind: …, default: …}}` by this cluster's value, in place. Raises SpecError.

    A cluster that is not named has the value of `default`. `cluster` '' is `local`.
    """
    if isinstance(node, Items):
        node.items[:] = [take_cluster(item, cluster) for item in node.items]
        return node
    if not isinstance(node, Fields):
        return node
    if PER_CLUSTER in node.fields:
        if len(node.fields) > 1:
            other = next(key for key in node.fields if key != PER_CLUSTER)
            raise node.marks[other].error(f"'{other}' beside '{PER_CLUSTER}', which stands for a whole value")
        reader = Reader(node.fields[PER_CLUSTER], PER_CLUSTER, (*CLUSTERS, DEFAULT))
        wanted = cluster or CLUSTERS[0]
        for key in (wanted, DEFAULT):
            if key in reader.node.fields:
                return take_cluster(copied(reader.node.fields[key]), cluster)
        raise reader.mark.error(f"no value for cluster '{wanted}' and no '{DEFAULT}'")
    for key, inner in node.fields.items():
        node.fields[key] = take_cluster(inner, cluster)
    return node
