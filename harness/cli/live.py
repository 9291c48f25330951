"""The live bottom line of a terminal, drawn by rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

PER_SECOND = 4
"""Redraws: enough to see it move, little beside guests that share the processor."""


class Terminal:
    """One line that is redrawn, and lines above it that stay."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._text = ""
        self._live = self._make()

    def _make(self) -> Live:
        return Live(
            Text(self._text, style="dim", no_wrap=True, overflow="ellipsis"),
            console=self._console,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def line(self, text: str) -> None:
        """Print a line above the live one."""
        self._console.print(Text(text))

    def update(self, text: str) -> None:
        """Show this instead, at the next redraw."""
        self._text = text
        self._live.update(Text(text, style="dim", no_wrap=True, overflow="ellipsis"))

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Take the line away while something else prints."""
        self._live.stop()
        self._text = ""
        try:
            yield
        finally:
            self._live = self._make()
            self._live.start()
