"""The agent on a host: the same sources as in a guest, spoken to over pipes."""

from __future__ import annotations

import contextlib
import os
import re
import select
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

KEY_POWER = 116
INPUT_EVENT = struct.Struct("llHHi")  # struct input_event: time, type, code, value


class HostAgent:
    """`agent --stdio`. Every line it writes must begin with `@ `."""

    def __init__(self, binary: Path, *arguments: str, under: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*under, str(binary), "--stdio", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def send(self, data: str | bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data.encode() if isinstance(data, str) else data)
        self.process.stdin.flush()

    def line(self, within: float = 10.0) -> str:
        """The next line, or '' at the end."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + within
        while b"\n" not in self._rest:
            if not select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"no line within {within:.1f} s; so far {self._rest!r}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return ""
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        text = line.decode("ascii")
        assert text.startswith("@ "), text
        return text

    def until(self, start: str, within: float = 10.0) -> list[str]:
        """All lines up to and with the first that begins with `start`."""
        lines: list[str] = []
        deadline = time.monotonic() + within
        while not lines or not lines[-1].startswith(start):
            line = self.line(deadline - time.monotonic())
            if not line:
                assert self.process.stderr is not None
                raise EOFError(f"ended: {self.process.stderr.read().decode()}; lines {lines[-3:]}")
            lines.append(line)
        return lines

    def ask(self, command: str, within: float = 10.0) -> str:
        """Send a command with its id, return its ok or err line."""
        number = command.split(maxsplit=1)[0]
        self.send(command + "\n")
        while True:
            line = self.until("@ ", within)[-1]
            if line.startswith((f"@ ok id={number} ", f"@ err id={number} ")):
                return line

    def stat(self) -> dict[str, int]:
        self.send("900 stat\n")
        line = self.until("@ stat id=900 ")[-1]
        self.until("@ ok id=900 ")
        return fields(line)

    def held_memory(self, capacity: int) -> bytes:
        """What lies in the held region, read from outside the agent."""
        held = self.stat()["held"]
        for line in Path(f"/proc/{self.process.pid}/maps").read_text().splitlines():
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if end - begin == capacity:
                with Path(f"/proc/{self.process.pid}/mem").open("rb") as memory:
                    memory.seek(begin)
                    return memory.read(held)
        raise AssertionError("no region of that capacity")


def fields(line: str) -> dict[str, int]:
    """The numbers of a line."""
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)(?= |$)", line)}


def press(fifo: Path, *, code: int = KEY_POWER, value: int = 1) -> None:
    """What evdev would write for a key."""
    with fifo.open("wb") as stream:
        stream.write(INPUT_EVENT.pack(0, 0, 1, code, value) + INPUT_EVENT.pack(0, 0, 0, 0, 0))
