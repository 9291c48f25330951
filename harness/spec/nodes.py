"""A YAML document as a tree that remembers where everything stood, for errors with file, line and column.

YAML is only ever composed (never constructed into objects of the writer's choice). Differences from plain PyYAML, all
towards what `kubectl` accepts or towards one clear error: keys are their text (`on:` is the key "on"), timestamps and
sexagesimal numbers stay text, duplicate keys and multiplying aliases are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import yaml

from harness.spec.errors import SpecError

MAX_NODES: Final = 20_000
"""Nodes a document may expand to. The largest scenario of the suites has some hundred; aliases multiply."""
MAX_DEPTH: Final = 64

type_names: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something stood. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def error(self, message: str, *, suggestion: str | None = None) -> SpecError:
        """Make the error that points here."""
        return SpecError(message, file=self.file, line=self.line, column=self.column, suggestion=suggestion)


@dataclass(slots=True)
class Scalar:
    """A leaf: its value (None, bool, int, float or str) and its text as written."""

    mark: Mark
    value: Any
    text: str


@dataclass(slots=True)
class Items:
    """A list."""

    mark: Mark
    items: list[Node]


@dataclass(slots=True)
class Fields:
    """A mapping, in the order written. `marks` says where each key stood."""

    mark: Mark
    fields: dict[str, Node]
    marks: dict[str, Mark] = field(default_factory=dict)


Node = Scalar | Items | Fields


def kind_of(node: Node) -> str:
    """What a node is, in words for an error."""
    if isinstance(node, Fields):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return f"{node.text!r} (true or false)"
    return repr(node.text)


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars."""
    if isinstance(node, Fields):
        return {key: plain(value) for key, value in node.fields.items()}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return node.value


def from_plain(value: Any, mark: Mark) -> Node:
    """The tree of plain data, everything standing at one mark."""
    if isinstance(value, dict):
        return Fields(
            mark,
            {str(key): from_plain(item, mark) for key, item in value.items()},
            {str(key): mark for key in value},
        )
    if isinstance(value, list | tuple):
        return Items(mark, [from_plain(item, mark) for item in value])
    if value is None or isinstance(value, bool | int | float | str):
        return Scalar(mark, value, "null" if value is None else str(value))
    raise TypeError(f"{type(value).__name__} cannot stand in YAML")


def copied(node: Node) -> Node:
    """The same tree as nodes of its own, so that changing one copy leaves the other."""
    if isinstance(node, Fields):
        return Fields(node.mark, {key: copied(value) for key, value in node.fields.items()}, dict(node.marks))
    if isinstance(node, Items):
        return Items(node.mark, [copied(item) for item in node.items])
    return Scalar(node.mark, node.value, node.text)


def flow(node: Node) -> str:
    """The node on one line, as one would write it in flow style: for reports."""
    if isinstance(node, Fields):
        return "{" + ", ".join(f"{key}: {flow(value)}" for key, value in node.fields.items()) + "}"
    if isinstance(node, Items):
        return "[" + ", ".join(flow(item) for item in node.items) + "]"
    return "null" if node.value is None else " ".join(node.text.split())


def parse(text: str, file: str) -> Node:
    """Compose one YAML document. Raises SpecError for everything that is not exactly one document of plain data."""
    return copied(_document(text, file))


@lru_cache(maxsize=64)
def _document(text: str, file: str) -> Node:
    """The same, kept: every combination of a matrix, and every control, begins with the same text."""
    if not text.strip("\ufeff \t\r\n"):
        raise SpecError("the file is empty", file=file)
    documents = list(_compose(text, file))
    if not documents:
        raise SpecError("the file holds only comments", file=file)
    root = documents[0]
    for more in documents[1:]:
        if not (isinstance(more, yaml.ScalarNode) and more.value == ""):
            raise _mark(more, file).error("a second YAML document begins here; one document a file")
    return _Converter(file).convert(root, depth=0, path=())


def parse_value(text: str, mark: Mark) -> Node:
    """Compose the value of `--set path=value`; everything stands at `mark`. Raises SpecError."""
    if not text.strip():
        raise mark.error("no value after '='; write null to remove")
    try:
        node = parse(text, mark.file)
    except SpecError as error:
        raise mark.error(error.message, suggestion=error.suggestion) from error
    return _moved(node, mark)


def _moved(node: Node, mark: Mark) -> Node:
    if isinstance(node, Fields):
        return Fields(
            mark,
            {key: _moved(value, mark) for key, value in node.fields.items()},
            dict.fromkeys(node.fields, mark),
        )
    if isinstance(node, Items):
        return Items(mark, [_moved(item, mark) for item in node.items])
    return Scalar(mark, node.value, node.text)


class _TooDeep(yaml.MarkedYAMLError):
    """YAML, but not what a person wrote."""


class _Loader(yaml.SafeLoader):
    """A composer that stops at MAX_DEPTH, before Python's own stack does."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node; events are only read as deep as this goes."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            at = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise _TooDeep(problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=at)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _compose(text: str, file: str) -> Iterator[yaml.Node]:
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                assert node is not None
                yield node
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        raise SpecError(
            f"character U+{_ordinal(error.character):04X} may not stand in YAML",
            file=file,
            line=line,
            column=error.position - (before.rfind("\n") + 1) + 1,
        ) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(text, file, error) from error


def _ordinal(character: Any) -> int:
    return character if isinstance(character, int) else ord(str(character)[0])


def _syntax_error(text: str, file: str, error: yaml.MarkedYAMLError) -> SpecError:
    at = error.problem_mark or error.context_mark
    line, column = (at.line + 1, at.column + 1) if at is not None else (1, 1)
    problem = (error.problem or "syntax error").strip()
    if (elided := _elision(text.splitlines(), line)) is not None:
        return SpecError(
            "'[...]' stands for what the page leaves out: complete the manifest here",
            file=file,
            line=elided[0],
            column=elided[1],
        )
    if "\\t" in problem:
        problem = "a tab; indent with spaces"
    elif problem.startswith("found undefined alias"):
        problem = problem.replace("found undefined alias", "undefined alias")
    elif problem == "second occurrence":
        problem = str(error.context).split(";", maxsplit=1)[0].replace("found ", "")
    elif problem == "could not find expected ':'":
        problem = "a key without ':'"
    prefix = "" if isinstance(error, _TooDeep) else "not YAML: "
    return SpecError(f"{prefix}{problem}", file=file, line=line, column=column)


def _elision(lines: list[str], line: int) -> tuple[int, int] | None:
    """Where `[...]` stands as a line of its own, there or just before: it is how documentation elides."""
    for number in range(min(line, len(lines)), 0, -1):
        written = lines[number - 1]
        if written.strip() == "[...]":
            return number, written.index("[") + 1
        if number < line and written.strip():
            return None
    return None


def _mark(node: yaml.Node, file: str) -> Mark:
    return Mark(file, node.start_mark.line + 1, node.start_mark.column + 1)


class _Converter:
    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0
        self._resolver = yaml.SafeLoader("")

    def convert(self, node: yaml.Node, *, depth: int, path: tuple[int, ...]) -> Node:
        mark = _mark(node, self.file)
        self.count += 1
        if self.count > MAX_NODES:
            raise mark.error(f"aliases multiply to more than {MAX_NODES} nodes")
        if depth > MAX_DEPTH:  # by aliases
            raise mark.error(f"nested more than {MAX_DEPTH} levels deep")
        if id(node) in path:
            raise mark.error("an alias inside its own anchor")
        path = (*path, id(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, mark)
        if isinstance(node, yaml.SequenceNode):
            self._expect_tag(node, "tag:yaml.org,2002:seq", mark)
            return Items(mark, [self.convert(item, depth=depth + 1, path=path) for item in node.value])
        assert isinstance(node, yaml.MappingNode)
        self._expect_tag(node, "tag:yaml.org,2002:map", mark)
        return self._mapping(node, mark, depth, path)

    def _mapping(self, node: yaml.MappingNode, mark: Mark, depth: int, path: tuple[int, ...]) -> Fields:
        result = Fields(mark, {}, {})
        merged = Fields(mark, {}, {})
        for key_node, value_node in node.value:
            at = _mark(key_node, self.file)
            if not isinstance(key_node, yaml.ScalarNode):
                raise at.error("a key must be text")
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._merge(self.convert(value_node, depth=depth + 1, path=path), merged, at)
                continue
            key = key_node.value
            if key in result.fields:
                raise at.error(f"duplicate key '{key}', first in line {result.marks[key].line}")
            result.fields[key] = self.convert(value_node, depth=depth + 1, path=path)
            result.marks[key] = at
        for key, value in merged.fields.items():
            if key not in result.fields:
                result.fields[key] = value
                result.marks[key] = merged.marks[key]
        return result

    @staticmethod
    def _merge(source: Node, into: Fields, at: Mark) -> None:
        for mapping in source.items if isinstance(source, Items) else [source]:
            if not isinstance(mapping, Fields):
                raise at.error(f"'<<' merges mappings, not {kind_of(mapping)}")
            for key, value in mapping.fields.items():
                into.fields.setdefault(key, value)
                into.marks.setdefault(key, mapping.marks.get(key, at))

    @staticmethod
    def _expect_tag(node: yaml.Node, tag: str, mark: Mark) -> None:
        if node.tag != tag:
            raise mark.error(f"YAML tag '{node.tag}' is not allowed; plain data only")

    def _scalar(self, node: yaml.ScalarNode, mark: Mark) -> Scalar:
        text: str = node.value
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if tag in {"str", "timestamp", "value"} or (tag in {"int", "float"} and ":" in text):
            return Scalar(mark, text, text)
        if tag == "null":
            return Scalar(mark, None, text or "null")
        if tag not in {"bool", "int", "float"}:
            raise mark.error(f"YAML tag '{node.tag}' is not allowed; plain data only")
        try:
            value = self._resolver.construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError) as error:
            raise mark.error(f"{text[:40]!r} is not {type_names[_TAGGED[tag]]}") from error
        assert isinstance(value, bool | int | float)
        return Scalar(mark, value, text)


_TAGGED: Final[dict[str, type]] = {"bool": bool, "int": int, "float": float}
