"""The page sentence by sentence: which claims speak of each, under which heading it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.spec.model import Claim
from harness.spec.page import fold, sentences

_UNDERLINE = re.compile(r"^(?:=+|-+)\s*$")
_HEADING = re.compile(r"^#{1,6}\s+(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSentence:
    """One sentence (or code block) of the page, and the claims that quote from it, in order of their words."""

    number: int
    line: int
    text: str
    code: str
    """The block as the page has it, where it is one of code; else ''."""
    heading: str
    claims: tuple[Claim, ...]


def read_page(page: str, claims: Iterable[Claim]) -> tuple[PageSentence, ...]:
    """Return every sentence of the page with its claims."""
    found = sentences(page)
    starts: list[int] = []
    length = 0
    for sentence in found:
        starts.append(length)
        length += len(sentence.text) + 1
    text = " ".join(sentence.text for sentence in found)
    spans = [(claim, span) for claim in claims for span in _spans(text, fold(claim.quote))]
    headings, lines = _headings(page), page.splitlines()
    return tuple(
        PageSentence(
            number=number,
            line=sentence.line,
            text=sentence.text,
            code=_code(lines, sentence.line),
            heading=next((title for line, title in reversed(headings) if line <= sentence.line), ""),
            claims=_unique(
                claim
                for claim, (begin, end) in sorted(spans, key=lambda item: item[1])
                if begin < start + len(sentence.text) and end > start
            ),
        )
        for number, (sentence, start) in enumerate(zip(found, starts, strict=True), start=1)
    )


def _spans(text: str, quote: str) -> list[tuple[int, int]]:
    if not quote:
        return []
    return [(m.start(), m.end()) for m in re.finditer(re.escape(quote), text)]


def _code(lines: list[str], line: int) -> str:
    """Return the indented block that begins on a line (from 1), after a blank one; '' where none does."""
    block: list[str] = []
    if line > 1 and lines[line - 2].strip():
        return ""
    for text in lines[line - 1 :]:
        if text.strip() and not text.startswith("    "):
            break
        block.append(text[4:])
    return "\n".join(block).rstrip()


def _unique(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    return tuple({claim.id: claim for claim in claims}.values())


def _headings(page: str) -> list[tuple[int, str]]:
    lines = page.splitlines()
    found = []
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else ""
        if match := _HEADING.match(line):
            found.append((index + 1, match[1].strip()))
        elif line.strip() and not line.startswith((" ", ">")) and _UNDERLINE.match(following):
            found.append((index + 1, line.strip()))
    return found
