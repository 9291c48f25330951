"""The real command line as a process, in a place of its own, and what it leaves there or on this machine.

Other harnesses may run at the same time: everything looked for carries this place's mark (an environment variable that
QEMU inherits), the ids its undo files name, or lies in its directories.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
ROAD = ROOT / "suites" / "road"
MARK = "DENSITY_E2E_PLACE"


def leftovers() -> ModuleType:
    """Return tools/leftovers.py as a module."""
    spec = importlib.util.spec_from_file_location("leftovers", ROOT / "tools" / "leftovers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    def __str__(self) -> str:
        return f"exit {self.code} after {self.seconds:.0f} s\n{self.out}\n{self.err}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A run that has been made, for tests that only look at it."""

    done: Done
    directory: Path
    left: list[str]


class Running:
    """A command that runs; its output is read as it comes."""

    def __init__(self, process: subprocess.Popen[str], place: Place) -> None:
        self.process = process
        self._place = place
        self._began = time.monotonic()
        self._lines: list[str] = []
        self._errors: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(process.stdout, self._lines), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, self._errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Any, into: list[str]) -> None:
        for line in pipe:
            with self._news:
                into.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def until(self, text: str, *, within: float) -> float:
        """Wait until a line with this text was printed; return the seconds since the start. Fails if it ends first."""
        end = time.monotonic() + within
        with self._news:
            while not any(text in line for line in self._lines):
                left = end - time.monotonic()
                over = self.process.poll() is not None and not any(r.is_alive() for r in self._readers)
                if left <= 0 or over:
                    raise AssertionError(f"{text!r} was not printed:\n{self.text()}")
                self._news.wait(min(left, 0.2))
        self._place.learn()
        return time.monotonic() - self._began

    def text(self) -> str:
        """Return everything printed so far."""
        return "".join(self._lines) + "".join(self._errors)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, to it alone."""
        self._place.learn()
        self.process.send_signal(number)

    def forget(self) -> None:
        """Wait for the end of its output and close the pipes."""
        for reader in self._readers:
            reader.join(timeout=10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def wait(self, *, within: float) -> Done:
        """Wait for its end. It is killed, and the test fails, if that takes longer."""
        end = time.monotonic() + within
        while self.process.poll() is None:
            self._place.learn()
            if time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"did not end within {within:g} s:\n{self.text()}")
            time.sleep(0.05)
        self.forget()
        return Done(
            code=self.process.returncode,
            out="".join(self._lines),
            err="".join(self._errors),
            seconds=time.monotonic() - self._began,
        )


@dataclass(slots=True, kw_only=True)
class Place:
    """Where one test runs commands."""

    root: Path
    environment: dict[str, str]
    user: int | None = None
    """Run commands as this user (needs root)."""
    python: str = sys.executable
    prefix: list[str] = field(default_factory=list)
    """What starts each command, such as a shell with mounts of its own."""
    runs_seen: set[str] = field(default_factory=set)
    """Short ids that undo files named: directories of cgroups carry them."""
    _started: list[Running] = field(default_factory=list)

    @property
    def runs(self) -> Path:
        """Directory of run directories."""
        return self.root / "runs"

    @property
    def undo(self) -> Path:
        """Directory of undo files."""
        return self.root / "state" / "kubevirt-density" / "undo"

    @property
    def temporary(self) -> Path:
        """TMPDIR: sockets."""
        return self.root / "t"

    def start(self, *arguments: str | Path, **environment: str) -> Running:
        """Start `density …`."""
        process = subprocess.Popen(
            [*self.prefix, self.python, "-m", "harness.cli", *map(str, arguments)],
            cwd=self.root,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user is not None else None,
        )
        running = Running(process, self)
        self._started.append(running)
        return running

    def density(self, *arguments: str | Path, within: float = 60.0, **environment: str) -> Done:
        """Run `density …` to its end."""
        return self.start(*arguments, **environment).wait(within=within)

    def run_directories(self) -> list[Path]:
        """Run directories, oldest first."""
        return sorted(self.runs.iterdir()) if self.runs.is_dir() else []

    def learn(self) -> None:
        """Remember the ids of runs that have an undo file now."""
        for path in self.undo.glob("*.ndjson"):
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                self.runs_seen.add(json.loads(path.read_bytes().splitlines()[0])["run"])

    def processes(self) -> list[str]:
        """Return `pid: command line` of living processes that were started from here."""
        mark = f"{MARK}={self.environment[MARK]}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                # A zombie and a process of the kernel have no environment.
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"{entry.name}: {command[:150]}")
            except OSError:
                continue
        return found

    def left(self) -> list[str]:
        """Return everything that is left of what ran here; `runs` and caches are not, nor settings of the machine."""
        self.learn()
        return [
            *(f"process {line}" for line in self.processes()),
            *(f"undo file {path.name}" for path in self.undo.glob("*")),
            *(f"file {path}" for path in self.temporary.rglob("*")),
            *(
                f"cgroup {path}"
                for path in leftovers().Machine().cgroups()
                if self.runs_seen & set(Path(path).parts)
            ),
        ]

    def close(self) -> None:
        """End what still runs (a test has failed then) and remove everything."""
        for running in self._started:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()
            running.forget()
        if any(self.undo.glob("*.ndjson")):
            subprocess.run(
                [sys.executable, "-m", "harness.cli", "clean"],
                cwd=self.root,
                env=self.environment,
                capture_output=True,
                timeout=60,
                check=False,
            )
        shutil.rmtree(self.root, ignore_errors=True)


@contextlib.contextmanager
def place(*, user: int | None = None) -> Iterator[Place]:
    """Make a place and take it away. Its path is short, since sockets' are limited, and does not carry our name."""
    root = Path(tempfile.mkdtemp(prefix="de-e2e-", dir="/tmp"))
    for name in ("t", "home", "state"):
        (root / name).mkdir()
        if user is not None:
            os.chown(root / name, user, user)
    if user is not None:
        os.chown(root, user, user)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV", "DENSITY"))},
        MARK: secrets.token_hex(8),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_STATE_HOME": str(root / "state"),
        "TMPDIR": str(root / "t"),
        "DENSITY_RUNS_DIR": str(root / "runs"),
        "COLUMNS": "200",
    }
    if user is not None:
        environment["HOME"] = str(root / "home")
        environment.pop("XDG_CACHE_HOME", None)
    made = Place(root=root, environment=environment, user=user)
    try:
        yield made
    finally:
        made.close()
