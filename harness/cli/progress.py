"""Showing a run while it goes on: one live line on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol, TextIO

from harness.records.model import Action, Kernel, Note, Record, Watch
from harness.records.rundir import RunDirectory
from harness.run.world import World, evicted_by_kubelet, vmi_of_pod
from harness.spec.model import Scenario
from harness.units import MIB, Bytes

if TYPE_CHECKING:
    from harness.run.session import Result
    from harness.run.verdict import Verdict

WORTH_TELLING = frozenset(
    {"gap", "loop-lag", "lost-sample", "lost-command", "left-behind", "warning", "clock-step"}
)
"""Notes shown with -v."""


class Bottom(Protocol):
    """The line at the bottom of a terminal that is redrawn."""

    def line(self, text: str) -> None:
        """Print a line above it."""
        ...

    def update(self, text: str) -> None:
        """Show this instead."""
        ...

    def pause(self) -> AbstractContextManager[None]:
        """Take it away while something else prints."""
        ...


class View:
    """Prints what happens. `live` is None for plain lines."""

    def __init__(self, out: TextIO, *, verbose: int = 0, live: Bottom | None = None) -> None:
        self._out = out
        self._verbose = verbose
        self._live = live
        self._began = time.monotonic()
        self._world = World()
        self._evicted: set[str] = set()
        self._phase = ""
        self._told = ""

    # -- run.settings.Progress -----------------------------------------------------------------------------------------

    def started(self, directory: RunDirectory, scenario: Scenario) -> None:
        """Name the run."""
        self._world, self._evicted = World(), set()
        self._line(f"{scenario.name}: {directory.path}")

    def step(self, text: str) -> None:
        """Say what is being done."""
        self._phase = text
        self._line(text)

    def record(self, line: int, record: Record) -> None:
        """Say what is worth a line of its own, and keep the live line up to date."""
        self._world.apply(line, record)
        match record:
            case Action(what="configure-kubelet"):
                name = str(record.args.get("name") or record.target)
                if isinstance(record.args.get("memory"), int):
                    self._world.capacity[name] = Bytes(record.args["memory"])
            case Action(what="create"):
                self._world.expect_guest(record.target, str(record.args.get("nonce", "")))
            case Action(what="step-start"):
                whose = [*record.args.get("fleets", ()), *record.args.get("daemons", ())]
                about = ", ".join(whose) or "the machine"
                self._line(f"step {record.target}: {record.args.get('verb')} {about}")
            case Action(what="step-done" | "window-end"):
                self._line(f"{record.what} {record.target} {record.args.get('reason', '')}".rstrip())
            case Kernel():
                self._line(f"OOM kill ({record.scope}) of {record.vmi or record.process}")
            case Watch() if record.object.get("kind") == "Pod":
                self._pod(record)
            case Note() if self._verbose and record.what in WORTH_TELLING:
                self._line(f"{record.what}: {record.text}")
            case _:
                pass
        self._redraw()

    def _pod(self, record: Watch) -> None:
        uid = (record.object.get("metadata") or {}).get("uid", "")
        if evicted_by_kubelet(record.object) and uid not in self._evicted:
            self._evicted.add(uid)
            self._line(f"evicted: {vmi_of_pod(record.object) or uid}")

    # -- after ---------------------------------------------------------------------------------------------------------

    def finished(self, result: Result, verdict: Verdict) -> None:
        """Print findings and what they mean for the exit code."""
        from harness.cli.present import present  # noqa: PLC0415 - reports draw pictures

        with self._live.pause() if self._live else nullcontext():
            # A run that was cut short is judged as far as it goes; what it then lacks is no news.
            whole = result.run.outcome in {"complete", "not-observable"}
            present(result.run.directory, verdict if whole else None, out=self._out)
            for run in (result.run, result.control):
                if run is not None and run.reason:
                    self._out.write(f"{run.outcome}: {run.reason}\n")

    def error(self, text: str) -> None:
        """Print an error that did not end everything."""
        with self._live.pause() if self._live else nullcontext():
            print(f"density: {text}", file=sys.stderr)  # noqa: T201 - the command line's own output

    # -- drawing -------------------------------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:7.1f}s  {text}"
        if self._live is not None:
            self._live.line(line)
        else:
            self._out.write(f"{line}\n")
            self._out.flush()

    def _redraw(self) -> None:
        if self._live is None:
            return
        nodes = [
            f"{node} {available // MIB} MiB available"
            for node in self._world.capacity
            if (available := self._world.available(node)) is not None
        ]
        guests = [
            f"{vmi.rpartition('/')[2]} {'ended' if self._world.is_dead(vmi) else f'{view.held // MIB} MiB'}"
            for vmi, view in self._world.guests.items()
        ]
        text = "  ".join([self._phase, *nodes, *guests])
        if text != self._told:
            self._told = text
            self._live.update(text)


@contextmanager
def show(*, verbose: int = 0, out: TextIO | None = None) -> Iterator[View]:
    """Yield a view: with a live bottom line where standard output is a terminal."""
    stream = out or sys.stdout
    if not stream.isatty():
        yield View(stream, verbose=verbose)
        return
    from harness.cli.live import Terminal  # noqa: PLC0415 - rich, only where there is a terminal

    with Terminal(stream) as terminal:
        yield View(stream, verbose=verbose, live=terminal)
