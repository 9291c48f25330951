"""Reading the lines of the guest agent (console protocol 1, docs/architecture.md). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = "@ "


@dataclass(frozen=True, slots=True)
class AgentLine:
    """A line of the agent: `word` (hello, stat, held, ok, err, power, bye) and its `key=value` fields."""

    word: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def number(self, key: str) -> int | None:
        """Return a decimal field, None where it is missing or not a number."""
        value = self.fields.get(key, "")
        return int(value) if value.isascii() and value.isdigit() else None


def parse(line: str) -> AgentLine | None:
    """Return the agent's line, None for anything else on the console (kernel messages, firmware)."""
    if not line.startswith(PREFIX):
        return None
    word, _, rest = line[len(PREFIX) :].strip().partition(" ")
    if not word.isalpha():
        return None
    fields: dict[str, str] = {}
    words = rest.split()
    for index, part in enumerate(words):
        key, equals, value = part.partition("=")
        if not equals:
            continue
        if word == "err" and key == "msg":  # the reason is free text to the end of the line
            fields[key] = " ".join([value, *words[index + 1 :]])
            break
        fields[key] = value
    return AgentLine(word, fields)


def command(number: int, verb: str, **arguments: object) -> str:
    """Return a command line for the agent, without line end."""
    return " ".join([str(number), verb, *(f"{key}={value}" for key, value in arguments.items())])
