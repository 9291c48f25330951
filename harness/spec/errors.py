"""What is wrong with a file people wrote: one line, `file:line:column: message (did you mean 'x'?)`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpecError(Exception):
    """A mistake in a scenario, manifest, claims or baseline file. `line` and `column` count from 1."""

    def __init__(
        self, message: str, *, file: str, line: int = 1, column: int = 1, suggestion: str | None = None
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.message = message
        self.suggestion = suggestion
        hint = "" if suggestion is None else f" (did you mean '{suggestion}'?)"
        super().__init__(_printable(f"{file}:{line}:{column}: {message}{hint}"))


def _printable(text: str) -> str:
    """One line, and nothing in it that a terminal would obey: what people wrote is quoted in errors."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word most like this one, or None. Ties are broken by the order of `known`, so answers are stable."""
    candidates = list(dict.fromkeys(known))
    by_folded = {candidate.casefold().replace("_", "-"): candidate for candidate in reversed(candidates)}
    if (same := by_folded.get(word.casefold().replace("_", "-"))) is not None:
        return same
    best, best_ratio = None, cutoff
    for candidate in candidates:
        ratio = difflib.SequenceMatcher(None, word, candidate).ratio()
        if ratio > best_ratio or (best is None and ratio >= cutoff):
            best, best_ratio = candidate, ratio
    return best
