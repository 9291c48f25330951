"""Reading marked nodes as typed values: one function a type, each with one clear error.

`Reader` walks one mapping: it takes keys one by one and refuses what is left over, with a suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from harness.rules.quantities import Quantity
from harness.spec.durations import parse_duration, suggest_duration
from harness.spec.errors import closest
from harness.spec.nodes import Fields, Items, Mark, Node, Scalar, kind_of
from harness.units import Bytes, Seconds

T = TypeVar("T")


def or_else(value: T | None, default: T) -> T:
    """The value unless it is None; 0 and empty values count."""
    return default if value is None else value


_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
MAX_NAME: Final = 40
"""Room for `-<member>` and a suffix below Kubernetes' 63 characters."""
_UNITS: Final = {
    "b": "",
    "k": "k",
    "kib": "Ki",
    "ki": "Ki",
    "m": "M",
    "mb": "Mi",  # `Mb`; `MB` is 10^6 and caught before
    "mib": "Mi",
    "mi": "Mi",
    "g": "G",
    "gb": "Gi",
    "gib": "Gi",
    "gi": "Gi",
    "t": "T",
    "tb": "Ti",
    "tib": "Ti",
    "ti": "Ti",
}


class Reader:
    """One mapping of a known shape. `what` names it in errors."""

    def __init__(self, node: Node, what: str, known: Sequence[str]) -> None:
        if not isinstance(node, Fields):
            raise node.mark.error(f"{what} must be a mapping, not {kind_of(node)}")
        self.node = node
        self.mark = node.mark
        self.what = what
        for key in node.fields:
            if key not in known:
                raise node.marks[key].error(f"unknown key '{key}' in {what}", suggestion=closest(key, known))

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self.get(key) is not None

    def get(self, key: str) -> Node | None:
        """The node of a key; None where it is missing or null."""
        node = self.node.fields.get(key)
        return None if isinstance(node, Scalar) and node.value is None else node

    def key_mark(self, key: str) -> Mark:
        """Where the key stood."""
        return self.node.marks.get(key, self.mark)

    def need(self, key: str) -> Node:
        """The node of a key that must be there."""
        if (node := self.get(key)) is None:
            mark = self.key_mark(key) if key in self.node.fields else self.mark
            raise mark.error(f"{self.what} needs '{key}'")
        return node

    def read(self, key: str, reader: Callable[[Node], T]) -> T | None:
        """The value of a key by `reader`; None where it is missing."""
        node = self.get(key)
        return None if node is None else reader(node)


def text(node: Node) -> str:
    """Text, not empty. Numbers and booleans are refused: they are mistakes more often than not."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
        raise node.mark.error(f"expected text, not {kind_of(node)}")
    return node.value


def boolean(node: Node) -> bool:
    """True or false."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    suggestion = None
    if isinstance(node, Scalar) and node.text.casefold() in {"true", "false"}:
        suggestion = node.text.casefold()
    raise node.mark.error(f"expected true or false, not {kind_of(node)}", suggestion=suggestion)


def whole(node: Node, *, least: int = 0, most: int | None = None) -> int:
    """A whole number within bounds."""
    if not isinstance(node, Scalar) or isinstance(node.value, bool) or not isinstance(node.value, int):
        raise node.mark.error(f"expected a whole number, not {kind_of(node)}")
    if node.value < least:
        raise node.mark.error(f"{node.value} is less than {least}")
    if most is not None and node.value > most:
        raise node.mark.error(f"{node.value} is more than {most}")
    return node.value


def name(node: Node) -> str:
    """A name that Kubernetes objects may carry (RFC 1123 label, at most 40 characters)."""
    value = node.text if isinstance(node, Scalar) and node.value is not None else text(node)
    if _NAME.fullmatch(value) is None or len(value) > MAX_NAME:
        tidy = re.sub(r"[^a-z0-9]+", "-", value.casefold()).strip("-")[:MAX_NAME]
        raise node.mark.error(
            f"'{value}' is not a name (lower case letters, digits and '-', at most {MAX_NAME})",
            suggestion=tidy or None,
        )
    return value


def choice(node: Node, options: Sequence[str], what: str) -> str:
    """One of a closed list."""
    value = node.text if isinstance(node, Scalar) and node.value is not None else text(node)
    if value not in options:
        raise node.mark.error(
            f"unknown {what} '{value}'; one of {', '.join(options)}",
            suggestion=closest(value, options),
        )
    return value


def items(node: Node, what: str) -> list[Node]:
    """A list."""
    if not isinstance(node, Items):
        raise node.mark.error(f"{what} must be a list, not {kind_of(node)}")
    return node.items


def names(node: Node, known: Iterable[str], what: str, *, every: str | None = None) -> tuple[str, ...]:
    """One known name or a list of them, without repetition; `every` stands for all of them."""
    known = tuple(known)
    result: list[str] = []
    for item in node.items if isinstance(node, Items) else [node]:
        value = item.text if isinstance(item, Scalar) and item.value is not None else text(item)
        if value == every:
            result.extend(n for n in known if n not in result)
            continue
        if value not in known:
            options = known if every is None else (*known, every)
            raise item.mark.error(f"no {what} named '{value}'", suggestion=closest(value, options))
        if value in result:
            raise item.mark.error(f"{what} '{value}' is named twice")
        result.append(value)
    if not result:
        raise node.mark.error(f"no {what} is named")
    return tuple(result)


def duration(node: Node) -> Seconds:
    """Seconds of a duration such as `90s`, `1m30s`, `500ms`."""
    if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
        raise node.mark.error(f"expected a duration such as 90s, not {kind_of(node)}")
    if node.text.startswith("-"):
        raise node.mark.error(f"a duration cannot be negative: '{node.text}'")
    try:
        return parse_duration(node.text)
    except ValueError as error:
        raise node.mark.error(str(error), suggestion=suggest_duration(node.text)) from error


def memory(node: Node, *, least: int = 1) -> Bytes:
    """Bytes of a Kubernetes quantity such as `512Mi` or `1024M`, or a plain number of bytes."""
    if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
        raise node.mark.error(f"expected a quantity such as 512Mi, not {kind_of(node)}")
    return quantity(node.text, node.mark, least=least)


def quantity(written: str, mark: Mark, *, least: int = 1) -> Bytes:
    """Bytes of the quantity written at `mark`."""
    try:
        parsed = Quantity.parse(written)
    except ValueError as error:
        raise mark.error(f"'{written}' is not a quantity", suggestion=suggest_quantity(written)) from error
    if parsed.nano < 0:
        raise mark.error(f"an amount of memory cannot be negative: '{written}'")
    if parsed.nano % 10**9:
        raise mark.error(
            f"'{written}' is not a whole number of bytes", suggestion=suggest_quantity(written, milli=True)
        )
    if parsed.value() < least:
        raise mark.error(f"'{written}' is less than {least} byte{'s' if least != 1 else ''}")
    if parsed.value() >= 1 << 62:
        raise mark.error(f"'{written}' is more memory than there is")
    return parsed.value()


def suggest_quantity(written: str, *, milli: bool = False) -> str | None:
    """What was probably meant by a wrong quantity, or None."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", written)
    if match is None:
        return None
    number, unit = match[1], match[2].casefold()
    if milli and unit == "m":
        return f"{number}Mi"
    if match[2] in {"kB", "KB", "MB", "GB", "TB"}:
        return f"{number}{match[2][0].replace('K', 'k')}"
    suffix = _UNITS.get(unit)
    if suffix is None and (near := closest(unit, _UNITS)) is not None:
        suffix = _UNITS[near]
    if suffix is None or f"{number}{suffix}" == written:
        return None
    return f"{number}{suffix}"
