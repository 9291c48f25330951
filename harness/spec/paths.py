r"""Dotted paths into a scenario or manifest: `nodes.target.memory`, `workload.0.grow.rate`, `spec.domain.memory.guest`.

A segment is a key of a mapping, or for a list an index (from 0) or the `name` of an item. A dot inside a key may be
escaped (`memory\.available`); unescaped, the longest key that exists wins, and where none exists yet, the keys that
Kubernetes spells with a dot (the eviction signals) are known.
"""

from __future__ import annotations

import re
from typing import Final

from harness.spec.errors import SpecError, closest
from harness.spec.nodes import Fields, Items, Mark, Node, Scalar, kind_of

DOTTED_KEYS: Final = (
    "memory.available",
    "allocatableMemory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
)
"""The kubelet's eviction signals (pkg/kubelet/eviction/api/types.go, 1.36)."""

PATH_KEYED: Final = ("set", "control")
"""Mappings whose keys are themselves dotted paths: the rest of a path is one key there."""

_SEGMENT: Final = re.compile(r"((?:[^.\\\[\]]|\\.)+)|\[(\d+)\]", re.DOTALL)


def split(path: str) -> tuple[str, ...]:
    """Segments of a path, escapes resolved; an escaped dot stays inside its segment. Raises ValueError."""
    segments: list[str] = []
    position = 0
    while position < len(path):
        if segments and path[position] == ".":
            position += 1
        elif segments and path[position] != "[":
            raise ValueError(f"'{path}' is not a path")
        match = _SEGMENT.match(path, position)
        if match is None:
            raise ValueError(f"'{path}' is not a path")
        segments.append(match[2] if match[2] is not None else re.sub(r"\\(.)", r"\1", match[1]))
        position = match.end()
    if not segments:
        raise ValueError("the path is empty")
    return tuple(segments)


def join(segments: tuple[str, ...]) -> str:
    """The path of these segments, escaped where needed; the inverse of `split`."""
    return ".".join(re.sub(r"([.\\\[\]])", r"\\\1", segment) for segment in segments)


def assign(root: Node, path: str, value: Node, mark: Mark) -> None:
    """Set what the path names, making mappings on the way; a null value removes a key. Raises SpecError at `mark`."""
    try:
        segments = split(path)
    except ValueError as error:
        raise mark.error(str(error)) from error
    node = root
    done: tuple[str, ...] = ()
    while True:
        if isinstance(node, Fields):
            key, rest = _key(node, segments[len(done) :], parent=done[-1] if done else "")
            if not rest:
                _put(node, key, value, mark)
                return
            child = node.fields.get(key)
            if child is None or (isinstance(child, Scalar) and child.value is None):
                child = Fields(mark, {}, {})
                node.fields[key] = child
                node.marks[key] = mark
            node, done = child, segments[: len(segments) - len(rest)]
        elif isinstance(node, Items):
            index = _index(node, segments[len(done)], done, mark)
            done = segments[: len(done) + 1]
            if len(done) == len(segments):
                node.items[index] = value
                return
            node = node.items[index]
        else:
            raise mark.error(f"'{join(done)}' is {kind_of(node)} and has no '{segments[len(done)]}'")


def _put(node: Fields, key: str, value: Node, mark: Mark) -> None:
    if isinstance(value, Scalar) and value.value is None:
        node.fields.pop(key, None)
        node.marks.pop(key, None)
        return
    node.fields[key] = value
    node.marks[key] = mark


def _key(node: Fields, segments: tuple[str, ...], *, parent: str) -> tuple[str, tuple[str, ...]]:
    if parent in PATH_KEYED:
        for key in node.fields:
            try:
                if split(key) == segments:
                    return key, ()
            except ValueError:
                continue
        return join(segments), ()
    for known in (node.fields, DOTTED_KEYS):
        for length in range(len(segments), 0, -1):
            key = ".".join(segments[:length])
            if key in known:
                return key, segments[length:]
    return segments[0], segments[1:]


def _index(node: Items, segment: str, done: tuple[str, ...], mark: Mark) -> int:
    if segment.isdecimal():
        index = int(segment)
        if index < len(node.items):
            return index
        raise mark.error(f"'{join(done)}' has {len(node.items)} items, no index {segment}")
    names = []
    for index, item in enumerate(node.items):
        if isinstance(item, Fields) and isinstance(name := item.fields.get("name"), Scalar):
            names.append(name.text)
            if name.text == segment:
                return index
    raise mark.error(f"'{join(done)}' has no item named '{segment}'", suggestion=closest(segment, names))


def split_override(text: str) -> tuple[str, str, Mark]:
    """Path, value text and mark of a `--set path=value` argument. Raises SpecError."""
    position = 0
    while position < len(text) and text[position] != "=":
        position += 2 if text[position] == "\\" else 1
    mark = Mark(f"--set {text}", 1, 1)
    if position >= len(text):
        raise SpecError("expected path=value", file=mark.file)
    return text[:position].strip(), text[position + 1 :], Mark(mark.file, 1, position + 2)
