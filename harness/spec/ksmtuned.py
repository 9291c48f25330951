"""Reading a file such as ksmtuned's ksmtuned.conf: shell assignments, read without a shell.

ksmtuned sources the file, so anything a shell can do may stand in it. Here a line is a comment, or one assignment of a whole
number that is written out; all else is an error where it stands, since what it would come to is not known. As for a
shell the last assignment of a name counts, and as for ksmtuned an empty one is none. Source: data/ksmtuned.conf of ksmtuned 0.1.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from harness.spec.errors import closest
from harness.spec.model import KsmTuned
from harness.spec.nodes import Fields, Mark, Node, Scalar, kind_of
from harness.spec.read import Reader, whole

_MOST: Final = (1 << 31) - 1
BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "KSM_MONITOR_INTERVAL": (1, 86400),
    "KSM_SLEEP_MSEC": (0, 1_000_000),
    "KSM_NPAGES_BOOST": (0, _MOST),
    "KSM_NPAGES_DECAY": (-_MOST, 0),
    "KSM_NPAGES_MIN": (0, _MOST),
    "KSM_NPAGES_MAX": (1, _MOST),
    "KSM_THRES_COEF": (0, 100),
    "KSM_THRES_CONST": (0, _MOST),
}
"""Name → least and most. Seconds, ms on 16 GiB, pages, percent, kB. Beyond them the file is a mistake, not a setting."""
_SAYS_NOTHING: Final = ("LOGFILE", "DEBUG", "PIDFILE")
"""Of ksmtuned's own log; there is none here."""
_OWN: Final = {"KSM_NPAGES_MIN": 64, "KSM_NPAGES_MAX": 1250}
"""ksmtuned's own, where the file says nothing."""
_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)=(?P<rest>.*)", re.ASCII)
_SPACED: Final = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>[^\s=#;]+).*", re.ASCII)
_VALUE: Final = re.compile(
    r"""(?:'(?P<single>[^']*)'|"(?P<double>[^"$`\\]*)"|(?P<bare>[^\s'"$`\\;&|<>()#]*))(?:\s+(?:\#.*)?)?""",
    re.ASCII,
)
_WHOLE: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")
"""A shell takes 010 for eight."""


def read_tuned(node: Node, open_file: Callable[[str, Mark], str] | None = None) -> KsmTuned:
    """The path of such a file, or a mapping of the same names. Raises SpecError. `open_file` None: no file can be named."""
    if isinstance(node, Fields):
        reader = Reader(node, "tuned", tuple(BOUNDS))
        found = {name: reader.need(name) for name in node.fields}
        values = {name: whole(of, least=BOUNDS[name][0], most=BOUNDS[name][1]) for name, of in found.items()}
        _check_order(values, {name: of.mark for name, of in found.items()})
        return KsmTuned(values=values)
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
        raise node.mark.error(
            f"expected the path of a file such as ksmtuned.conf, or its settings as a mapping, not {kind_of(node)}"
        )
    if open_file is None:
        raise node.mark.error("no file can be named here; write its settings as a mapping")
    text = open_file(node.value, node.mark)
    return KsmTuned(file=node.value, values=parse_tuned(text, file=node.value))


def parse_tuned(text: str, *, file: str) -> Mapping[str, int]:
    """The settings of a file's text, by their names there; what it leaves out is ksmtuned's own. Raises SpecError."""
    values: dict[str, int] = {}
    marks: dict[str, Mark] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, written, mark = _assignment(line, file, number)
        if name in _SAYS_NOTHING:
            continue
        values.pop(name, None)
        marks[name] = mark
        if written:
            values[name] = _number(name, written, mark)
    _check_order(values, marks)
    return values


def _assignment(line: str, file: str, number: int) -> tuple[str, str, Mark]:
    """Name, value as written and where that stands."""

    def at(index: int) -> Mark:
        return Mark(file, number, index + 1)

    if line.endswith("\r"):
        raise at(len(line) - 1).error("a carriage return; a shell would take it for part of the value")
    start = len(line) - len(line.lstrip())
    spaced = _SPACED.fullmatch(line)
    meant = f"{spaced['name']}={spaced['value']}" if spaced else None
    match = _ASSIGNMENT.fullmatch(line)
    if match is None:
        raise at(start).error(
            "a shell takes no space around '='"
            if meant
            else "expected a comment or an assignment such as KSM_NPAGES_MAX=1250",
            suggestion=meant,
        )
    name, rest = match["name"], match["rest"]
    if name not in BOUNDS and name not in _SAYS_NOTHING:
        raise at(match.start("name")).error(
            f"ksmtuned knows no '{name}'", suggestion=closest(name.upper(), BOUNDS)
        )
    if meant and rest[:1].isspace() and not rest.lstrip().startswith("#"):
        raise at(match.end("name")).error("a shell takes no space around '='", suggestion=meant)
    value = _VALUE.fullmatch(rest)
    if value is None:
        raise at(match.start("rest")).error(
            "there is no shell here: write the value out, one assignment a line"
        )
    written = next(text for text in (value["single"], value["double"], value["bare"]) if text is not None)
    return name, written, at(match.start("rest"))


def _number(name: str, written: str, mark: Mark) -> int:
    least, most = BOUNDS[name]
    if _WHOLE.fullmatch(written) is None:
        digits = re.match(r"([+-]?)0*([0-9]+)", written)
        near = digits[1] + digits[2] if digits else None
        raise mark.error(f"{name} must be a whole number, not '{written}'", suggestion=near)
    number = int(written)
    if not least <= number <= most:
        bound = f"less than {least}" if number < least else f"more than {most}"
        meant = str(-number) if least <= -number <= most else None
        raise mark.error(f"{name}: {number} is {bound}", suggestion=meant)
    return number


def _check_order(values: Mapping[str, int], marks: Mapping[str, Mark]) -> None:
    least, most = ({**_OWN, **values}[name] for name in ("KSM_NPAGES_MIN", "KSM_NPAGES_MAX"))
    if least > most:
        mark = marks["KSM_NPAGES_MAX" if "KSM_NPAGES_MAX" in values else "KSM_NPAGES_MIN"]
        raise mark.error(f"KSM_NPAGES_MAX {most} is less than KSM_NPAGES_MIN {least}")
