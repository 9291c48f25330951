"""What runs behind a served store, and a kubectl with a home of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.embedded.api.errors import StatusError
from harness.embedded.api.resources import Resource


async def until(condition: Callable[[], bool]) -> None:
    """Return once something that tells nobody has come to be; fail after 15 s."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - the things looked at set no event
            await asyncio.sleep(0.005)


class FakeConsole:
    """A guest that says what is put into it and keeps what is typed."""

    def __init__(self) -> None:
        self.typed: list[bytes] = []
        self.readers: list[asyncio.Queue[bytes | None]] = []

    def say(self, data: bytes | None) -> None:
        for reader in self.readers:
            reader.put_nowait(data)

    async def read(self, *, from_start: bool = False) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.readers.append(queue)
        try:
            while (chunk := await queue.get()) is not None:
                yield chunk
        finally:
            self.readers.remove(queue)

    async def write(self, data: bytes) -> None:
        self.typed.append(data)

    def history(self) -> bytes:
        return b""


@dataclass
class FakeHooks:
    consoles: dict[tuple[str, str], FakeConsole] = field(default_factory=dict)
    log: tuple[bytes, ...] = (b"one\n", b"two\n", b"three\n")
    later: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    def console(self, namespace: str, name: str) -> FakeConsole:
        return self.consoles.setdefault((namespace, name), FakeConsole())

    def stats_summary(self, node: str) -> Mapping[str, Any]:
        if node == "mute":
            raise ConnectionRefusedError("no kubelet")
        return {"node": {"nodeName": node, "memory": {"availableBytes": 1}}, "pods": []}

    def configz(self, node: str) -> Mapping[str, Any]:
        return {"kubeletconfig": {"evictionHard": {"memory.available": "200Mi"}}}

    async def pod_log(self, namespace: str, name: str, container: str, follow: bool) -> AsyncIterator[bytes]:
        for chunk in self.log:
            yield chunk
        while follow and (chunk_or_end := await self.later.get()) is not None:
            yield chunk_or_end


@dataclass(frozen=True)
class Admitted:
    obj: Mapping[str, Any]
    warnings: Sequence[str] = ()


class FakeAdmission:
    """Knows one misspelt field, refuses one name, and defaults one annotation."""

    def __call__(
        self, resource: Resource, operation: str, obj: dict[str, Any], old: Any, *, strict: bool
    ) -> Admitted:
        if obj["metadata"]["name"] == "forbidden":
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "message": 'admission webhook "w" denied the request: no',
                "reason": "Invalid",
                "code": 422,
            }
            raise StatusError(status)
        warnings = []
        if "tpyo" in obj.get("spec", {}):
            if strict:
                status = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "message": 'strict decoding error: unknown field "spec.tpyo"',
                    "reason": "BadRequest",
                    "code": 400,
                }
                raise StatusError(status)
            warnings.append('unknown field "spec.tpyo"')
            del obj["spec"]["tpyo"]
        return Admitted(obj, warnings)


class Clock:
    """A wall clock that moves when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Ran:
    code: int
    out: str
    err: str


class Kubectl:
    """Runs the real binary against the server, with a fresh HOME (its caches are keyed by host and port)."""

    def __init__(self, binary: Path, home: Path, kubeconfig: Path) -> None:
        self._argv = [str(binary), f"--kubeconfig={kubeconfig}"]
        self._env = {"HOME": str(home), "PATH": os.environ.get("PATH", "")}

    async def start(self, *args: str, stdin: bytes = b"") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *self._argv,
            *args,
            env=self._env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        return process

    async def __call__(self, *args: str, stdin: str = "", within: float = 20) -> Ran:
        process = await self.start(*args, stdin=stdin.encode())
        try:
            async with asyncio.timeout(within):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ran(process.returncode or 0, out.decode(), err.decode())
