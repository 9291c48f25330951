"""The documentation page as sentences, and how claims cover it: word by word.

A quote is a substring of the page after white space is folded and the markers of quotations and lists are dropped.
A sentence is covered when every word of it lies in a quote of some claim, so a changed word is noticed as surely as a
new sentence. Headings are not sentences; a code block is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from harness.spec.model import Claim

_UNDERLINE: Final = re.compile(r"^(=+|-+)\s*$")
_HEADING: Final = re.compile(r"^#{1,6}\s")
_ITEM: Final = re.compile(r"^\s{0,3}(?:[-*+]|\d+[.)])\s+")
_QUOTE: Final = re.compile(r"^\s{0,3}>\s?")
_FENCE: Final = re.compile(r"^\s{0,3}(```|~~~)")
_END: Final = re.compile(r"[.!?][\"'’”)\]]*\s+(?=[A-Z`\[(\"“*])")
_ABBREVIATION: Final = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|no)\.)\s+$", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\s]*\w[^\s]*")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence (or code block) of the page, white space folded, and the line it begins in (from 1)."""

    text: str
    line: int
    missing: tuple[str, ...] = ()
    """Words that no quote covers."""


@dataclass(slots=True)
class _Block:
    code: bool
    words: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, text: str, line: int) -> None:
        for word in text.split():
            self.words.append(word)
            self.lines.append(line)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def line_at(self, offset: int) -> int:
        return self.lines[self.text.count(" ", 0, offset)]


def fold(text: str) -> str:
    """White space folded to single spaces."""
    return " ".join(text.split())


def sentences(page: str) -> list[Sentence]:
    """Every sentence and code block of the page, in order."""
    return [
        Sentence(block.text[start:end], block.line_at(start))
        for block in _blocks(page)
        for start, end in _spans(block)
    ]


def uncovered(page: str, claims: Iterable[Claim]) -> list[Sentence]:
    """Sentences with words that no claim's quote covers."""
    quotes = [fold(claim.quote) for claim in claims]
    result = []
    for block in _blocks(page):
        text = block.text
        covered = bytearray(len(text))
        for quote in filter(None, quotes):
            at = text.find(quote)
            while at >= 0:
                covered[at : at + len(quote)] = b"\x01" * len(quote)
                at = text.find(quote, at + 1)
        for start, end in _spans(block):
            missing = tuple(
                match[0]
                for match in _WORD.finditer(text, start, end)
                if not all(covered[index] for index in range(*match.span()) if text[index].isalnum())
            )
            if missing:
                result.append(Sentence(text[start:end], block.line_at(start), missing))
    return result


def misquoted(page: str, claims: Iterable[Claim]) -> list[Claim]:
    """Claims whose quote is not on the page."""
    texts = [block.text for block in _blocks(page)]
    return [
        claim
        for claim in claims
        if not (quote := fold(claim.quote)) or not any(quote in text for text in texts)
    ]


def _spans(block: _Block) -> Iterator[tuple[int, int]]:
    text = block.text
    start = 0
    if not block.code:
        for match in _END.finditer(text):
            if _ABBREVIATION.search(text, start, match.end()) is None:
                yield start, match.start() + len(match[0].rstrip())
                start = match.end()
    if start < len(text):
        yield start, len(text)


def _blocks(page: str) -> list[_Block]:
    lines = page.splitlines()
    blocks: list[_Block] = []
    current: _Block | None = None
    fenced = False
    for index, raw in enumerate(lines):
        number = index + 1
        line = _QUOTE.sub("", raw)
        if _FENCE.match(line):
            fenced = not fenced
            current = None
            continue
        if fenced:
            current = _append(blocks, current, code=True)
            current.add(line, number)
            continue
        if not line.strip():
            # Blank lines inside an indented code block do not end it.
            if current is None or not current.code:
                current = None
            continue
        if line.startswith(("    ", "\t")) and (current is None or current.code):
            current = _append(blocks, current, code=True)
            current.add(line, number)
            continue
        if current is not None and current.code:
            current = None
        underlined = index + 1 < len(lines) and _UNDERLINE.match(lines[index + 1]) is not None
        if _HEADING.match(line) or _UNDERLINE.match(line) or (underlined and current is None):
            current = None
            continue
        if _ITEM.match(line):
            current = None
            line = _ITEM.sub("", line)
        current = _append(blocks, current, code=False)
        current.add(line, number)
    return [block for block in blocks if block.words]


def _append(blocks: list[_Block], current: _Block | None, *, code: bool) -> _Block:
    if current is None:
        current = _Block(code)
        blocks.append(current)
    return current
