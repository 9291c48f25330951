"""Programs that may hang: each runs in a session of its own, and its deadline ends it with everything it started.

A process is recognised as a call's own by its process group, or by a token in its environment, which children inherit
even when they leave the group and their parents die (/proc/<pid>/environ of one's own processes is readable).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.errors import ClusterError

TOKEN = "DENSITY_CALL"  # noqa: S105 - a name
POLITE = 0.5
"""Seconds between SIGTERM and SIGKILL."""
GONE = 3.0
"""Seconds in which a killed tree must have vanished."""
LEFT_OPEN = 2.0
"""Seconds to wait for output that a grandchild keeps open after the program itself has ended."""


class CallError(ClusterError):
    """A program is missing, failed or took too long; the message is one line."""

    def __init__(self, message: str, *, code: int | None = None, output: str = "") -> None:
        super().__init__(message)
        self.code = code
        """Exit code; None: it did not start, or was ended by us."""
        self.output = output


class CallTimeout(CallError):
    """A program outlived its deadline and was ended with its children."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One program to run. `name` is what messages call it; `seconds` is its deadline."""

    arguments: Sequence[str]
    seconds: float
    environment: Mapping[str, str] | None = None
    stdin: bytes = b""
    hold_stdin: bool = False
    """Keep standard input open until the program ends (its end would tell it that we died)."""
    name: str = ""
    cwd: Path | None = None

    @property
    def title(self) -> str:
        """`kind create cluster`: program and verbs."""
        if self.name:
            return self.name
        verbs = []
        for word in self.arguments[1:4]:
            if word.startswith("-"):
                break
            verbs.append(word)
        return " ".join([Path(self.arguments[0]).name, *verbs[:2]])


async def run(call: Call) -> str:
    """Run to the end and return standard output. Raises CallError, CallTimeout; cancellation ends the tree too."""
    token = secrets.token_hex(8)
    process = await _start(call, token)
    # communicate() waits for the pipes' end, which a daemonised grandchild may keep open: so both are watched.
    talk = asyncio.ensure_future(_communicate(process, call))
    finished = False
    try:
        done, _ = await asyncio.wait({talk}, timeout=call.seconds)
        if not done:
            raise _timed_out(call)
        out, err = talk.result()
        finished = True
    finally:
        if not finished:
            await asyncio.shield(asyncio.to_thread(end_tree, process.pid, token))
            talk.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await talk
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GONE)
            _close(process)
    return _judge(call, process.returncode, out, err)


async def _start(call: Call, token: str) -> asyncio.subprocess.Process:
    """Start a program. Cancellation waits until it is started, and then ends it with its children.

    asyncio, cancelled meanwhile, kills the program alone and waits for the end of its output, which a child may keep
    open for ever. Raises CallError.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *call.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd=call.cwd,
            limit=1 << 20,
            env=_environment(call, token),
        )
    )
    try:
        return await asyncio.shield(starting)
    except OSError as error:
        raise _not_started(call, error) from error
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            process = await starting
            await asyncio.shield(asyncio.to_thread(end_tree, process.pid, token))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GONE)
            _close(process)
        raise


async def _communicate(process: asyncio.subprocess.Process, call: Call) -> tuple[bytes, bytes]:
    """`communicate`, but the program's end counts, not that of its output (with a little patience for it)."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = bytearray(), bytearray()
    readers = [
        asyncio.create_task(_collect(process.stdout, out)),
        asyncio.create_task(_collect(process.stderr, err)),
    ]
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(call.stdin)
            await process.stdin.drain()
        if not call.hold_stdin:
            process.stdin.close()
        await _ended(process)
        await asyncio.wait(readers, timeout=LEFT_OPEN)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        _close_pipes(process)
    await process.wait()
    return bytes(out), bytes(err)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of the program itself; `Process.wait` waits for that of its output too."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:  # before Linux 5.3, or forbidden
        await process.wait()
        return
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    loop.add_reader(handle, lambda: None if gone.done() else gone.set_result(None))
    try:
        await gone
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _close_pipes(process: asyncio.subprocess.Process) -> None:
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined] # noqa: SLF001
    for number in (0, 1, 2):
        pipe = transport.get_pipe_transport(number)
        if pipe is not None:
            pipe.close()


@asynccontextmanager
async def streaming(call: Call) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program whose output is read while it runs; leaving closes its input, and ends it if that doesn't.

    `call.seconds` is how long it may take to end by itself then. Raises CallError if it can't be started.
    """
    token = secrets.token_hex(8)
    process = await _start(call, token)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), call.seconds)
        if any(family(process.pid, token)):
            await asyncio.shield(asyncio.to_thread(end_tree, process.pid, token))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GONE)
        _close(process)


async def _collect(stream: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await stream.read(65536):
        into += chunk


def _close(process: asyncio.subprocess.Process) -> None:
    # Process offers no way to close pipes that others keep open.
    process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001


def run_blocking(call: Call) -> str:
    """`run` for where there is no event loop to use: undoing. Raises CallError, CallTimeout."""
    token = secrets.token_hex(8)
    try:
        process = subprocess.Popen(
            list(call.arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=call.cwd,
            env=_environment(call, token),
        )
    except OSError as error:
        raise _not_started(call, error) from error
    with process:
        try:
            out, err = process.communicate(call.stdin, timeout=call.seconds)
        except subprocess.TimeoutExpired as error:
            raise _timed_out(call) from error
        finally:
            if process.poll() is None:
                end_tree(process.pid, token)
                process.kill()
    return _judge(call, process.returncode, out, err)


def _environment(call: Call, token: str) -> dict[str, str]:
    base = dict(os.environ if call.environment is None else call.environment)
    return {**base, TOKEN: token}


def _not_started(call: Call, error: OSError) -> CallError:
    program = call.arguments[0]
    if error.errno == errno.ENOEXEC:
        return CallError(f"{program} is not a program for this machine's architecture")
    return CallError(f"{program}: {error.strerror or error}")


def _timed_out(call: Call) -> CallTimeout:
    return CallTimeout(f"{call.title} did not end within {call.seconds:g} s; it was stopped")


def _judge(call: Call, code: int | None, out: bytes, err: bytes) -> str:
    text = out.decode("utf-8", errors="replace")
    if code == 0:
        return text
    complaint = err.decode("utf-8", errors="replace")
    raise CallError(f"{call.title}: {last_words(complaint, text, code)}", code=code, output=complaint + text)


def last_words(stderr: str, stdout: str, code: int | None) -> str:
    """Return the line of a failed program's output that says most: an ERROR line, else its last one."""
    for text in (stderr, stdout):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith(("error", "err:"))]
        # kind puts what the engine said into a line of its own
        details = [line for line in lines if line.startswith("Command Output:")]
        if errors or lines:
            return " ".join(" ".join([*(errors[:1] or lines[-1:]), *details[:1]]).split())[:500]
    return f"ended by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


# -- ending a tree ------------------------------------------------------------------------------------------------


def end_tree(pid: int, token: str) -> int:
    """End a session's processes and all that carry the token: SIGTERM, then SIGKILL. Returns how many remain (0).

    Takes at most POLITE + GONE seconds. Zombies count as gone.
    """
    _signal(pid, token, signal.SIGTERM)
    _until_gone(pid, token, POLITE)
    end = time.monotonic() + GONE
    while (left := tuple(family(pid, token))) and time.monotonic() < end:
        _signal(pid, token, signal.SIGKILL)  # again: a process may have forked between look and kill
        time.sleep(0.02)
    return len(left)


def _until_gone(pid: int, token: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(family(pid, token)) and time.monotonic() < end:
        time.sleep(0.02)


def _signal(pid: int, token: str, number: signal.Signals) -> None:
    for one in tuple(family(pid, token)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one, number)


def family(group: int, token: str) -> Iterator[int]:
    """Yield living processes of a session or process group, or with the token in their environment."""
    needle = f"{TOKEN}={token}".encode()
    for entry in Path("/proc").iterdir():
        name = entry.name
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            stat = (entry / "stat").read_bytes()
            # proc(5): pid (comm) state ppid pgrp session; comm may hold anything, so from its last parenthesis on
            state, _, pgrp, session = stat[stat.rindex(b")") + 2 :].split()[:4]
            if state in {b"Z", b"X"}:
                continue
            if group in {int(pgrp), int(session)} or needle in (entry / "environ").read_bytes().split(b"\0"):
                yield int(name)
        except (OSError, ValueError):
            continue
