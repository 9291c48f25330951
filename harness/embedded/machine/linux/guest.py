"""A running QEMU: started inside its cgroup, watched until it is gone, its end explained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from harness.embedded.machine.base import Console, GuestExit, OomKill, Undo
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import ksm, procfs, qemu
from harness.embedded.machine.linux.console import SerialConsole
from harness.units import Bytes, Seconds

_LOG = logging.getLogger(__name__)
# the library logs as errors what it also raises; here a socket that is not there yet is no error
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

_START = 30.0
"""Seconds until QEMU has connected its console; 0.1 on an idle machine."""
_QMP = 5.0
_DRAIN = 2.0
_STDERR = 8192

Blame = Callable[["LinuxGuest"], Awaitable[OomKill | None]]
"""Asks who killed a guest that went by a SIGKILL nobody here sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything needed to start one QEMU."""

    name: str
    container: str
    arguments: list[str]
    sockets: qemu.Sockets
    confinement: qemu.Confinement
    disk: Path | None = None
    """Its file, to be read when the guest has ended."""


class LinuxGuest:
    """A QEMU process with its console. Made by `start`; `supervise` runs in the machine's task group."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process, console: SerialConsole) -> None:
        self.name = launch.name
        self.container = launch.container
        self.pid = process.pid
        self.console: Console = console
        self._serial = console
        self.oom_score_adj: int | None = None
        self._launch = launch
        self._process = process
        # a pid may be reused once asyncio has reaped it, and Popen.send_signal would reap it under asyncio's feet
        self._pidfd = os.pidfd_open(process.pid)
        self._signalled: set[int] = set()
        self._stderr = b""
        self._exit: asyncio.Future[GuestExit] = asyncio.get_running_loop().create_future()
        self.died = asyncio.Event()
        self.disk = launch.disk
        self.settled = asyncio.Event()
        """Its disk has been read, or it had none: whoever follows may have the file."""

    async def supervise(self, blame: Blame) -> None:
        """Reap the process, let the console run dry, find out about an OOM kill, tell the waiters. Never raises."""
        try:
            await self._supervise(blame)
        finally:
            if not self._exit.done():  # cancelled: the machine is going down in disorder
                self.kill()
                self._exit.set_result(GuestExit(code=None, signal=signal.SIGKILL, oom=None, at=Seconds(0.0)))

    async def _supervise(self, blame: Blame) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(4096):
            self._stderr = (self._stderr + chunk)[-_STDERR:]
        code = await self._process.wait()
        at = Seconds(asyncio.get_running_loop().time())
        self.died.set()
        os.close(self._pidfd)
        self._pidfd = -1
        if self._serial.connected.is_set():
            await self._serial.drained(_DRAIN)
        self._serial.close()
        number = -code if code < 0 else None
        oom = None
        if number == signal.SIGKILL and signal.SIGKILL not in self._signalled:
            oom = await blame(self)
        for path in (self._launch.sockets.serial, self._launch.sockets.qmp, self._launch.sockets.vnc):
            path.unlink(missing_ok=True)
        self._exit.set_result(GuestExit(code=None if code < 0 else code, signal=number, oom=oom, at=at))

    async def started(self) -> None:
        """Return once QEMU has its console and runs, or was OOM-killed on the way, which is an end like any other.

        Raises MachineError with what QEMU said, when it ended for another reason.

        The console connects early; a kernel that can't be loaded or memory that can't be had is refused after that.
        The main loop answers QMP only when all of it is done.
        """
        loop = asyncio.get_running_loop()
        waits = [loop.create_task(self._serial.connected.wait()), loop.create_task(self.died.wait())]
        try:
            await asyncio.wait(waits, timeout=_START, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self._serial.connected.is_set() and await self._qmp("query-status", within=_START):
            return
        if not self.died.is_set():
            self.kill()
        ended = await self.wait()
        if ended.oom is not None:
            return
        said = self.stderr_text() or f"exit code {ended.code}, signal {ended.signal}"
        raise MachineError(f"guest {self.name}: {qemu.PROGRAM} did not start: {said}")

    def stderr_text(self) -> str:
        """What QEMU wrote to stderr, on one line."""
        return " | ".join(self._stderr.decode("utf-8", errors="replace").split("\n")).strip(" |")

    async def power_button(self) -> None:
        """Press the ACPI power button (QMP system_powerdown). Raises MachineError; a guest that is gone is no error."""
        await self._qmp("system_powerdown", within=_QMP)

    async def _qmp(self, command: str, *, within: float, answer: list[Any] | None = None) -> bool:
        """Execute one QMP command; False when QEMU is gone. Raises MachineError when it lives but does not answer.

        What QEMU returns is appended to `answer`; what it refuses is refused at once.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while not self.died.is_set():
            client = QMPClient(self.name)
            try:
                async with asyncio.timeout_at(deadline):
                    await client.connect(str(self._launch.sockets.qmp))
                    said = await client.execute(command)
                    if answer is not None:
                        answer.append(said)
            except ExecuteError as error:
                raise MachineError(f"guest {self.name}: QMP refuses {command}: {error}") from error
            except (QMPError, OSError, EOFError) as error:  # TimeoutError is an OSError
                if self.died.is_set():
                    break
                if loop.time() >= deadline:
                    raise MachineError(f"guest {self.name}: QMP does not answer: {error}") from error
                await asyncio.sleep(0.01)  # the socket appears slightly later than the serial connection
            else:
                return True
            finally:
                with contextlib.suppress(QMPError, OSError, EOFError):
                    await client.disconnect()
        return False

    def terminate(self) -> None:
        """SIGTERM to QEMU."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to QEMU."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._pidfd >= 0:
            self._signalled.add(number)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> GuestExit:
        """Return once the process is gone and reaped. Any number of waiters."""
        return await asyncio.shield(self._exit)

    def process_memory(self) -> Mapping[str, int]:
        """`{"pid", "rss", "pss", "swapPss"}`, and `ksmMerging` and `ksmProfit` where KSM tells, in bytes; {} when gone."""
        now = None if self.died.is_set() else procfs.process_memory(self.pid)
        if now is None:
            return {}
        merged = {f"ksm{name.capitalize()}": value for name, value in ksm.process(self.pid).items()}
        return {"pid": self.pid, "rss": now.rss, "pss": now.pss, "swapPss": now.swap_pss, **merged}

    async def balloon(self) -> Bytes | None:
        """What the balloon leaves the guest (QMP query-balloon `actual`); None without a balloon, or when gone."""
        answer: list[Any] = []
        try:
            await self._qmp("query-balloon", within=_QMP, answer=answer)
        except MachineError:
            return None
        return Bytes(answer[0]["actual"]) if answer else None


async def spawn(launch: Launch, *, undo: Undo, own: Callable[[LinuxGuest], None]) -> LinuxGuest:
    """Start QEMU and return when its console is connected. `own` hands the guest to the task that reaps it.

    Raises MachineError, with nothing left running.
    """
    console = SerialConsole()
    server = await console.listen(launch.sockets.serial)
    try:
        guest = LinuxGuest(launch, await _execute(launch), console)
        own(guest)
        try:
            who = procfs.identity(guest.pid)
            if who is not None:
                undo({"op": "kill", "pid": guest.pid, "start": who.start, "name": who.name})
            guest.oom_score_adj = _settled_adj(guest.pid, launch.confinement.oom_score_adj)
            await guest.started()
        except BaseException:
            guest.kill()
            raise
        return guest
    finally:
        server.close()  # not wait_closed: since Python 3.12 that waits for the connection too


async def _execute(launch: Launch) -> asyncio.subprocess.Process:
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return await asyncio.create_subprocess_exec(
            *launch.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for the harness alone
            preexec_fn=launch.confinement.hook(report=writing),
        )
    except OSError as error:
        raise MachineError(
            f"guest {launch.name}: {launch.arguments[0]}: {error.strerror}: run `{qemu.INSTALL}`"
        ) from error
    except subprocess.SubprocessError as error:
        with contextlib.suppress(BlockingIOError):
            said = os.read(reading, 4096).decode("utf-8", errors="replace").strip()
            raise MachineError(
                f"guest {launch.name}: {said}: run as root, or see `density doctor`"
            ) from error
        raise MachineError(f"guest {launch.name}: its process could not be set up") from error
    finally:
        os.close(reading)
        os.close(writing)


def _settled_adj(pid: int, asked: int) -> int | None:
    """Return the oom_score_adj if the kernel took it as asked, else None."""
    got = procfs.oom_score_adj(pid)
    if got != asked:
        _LOG.info("oom_score_adj %d was not permitted for pid %d, it is %s", asked, pid, got)
        return None
    return got


def warm(paths: tuple[Path, ...]) -> int:
    """Read files once, so that their page cache is charged to us and not to the first pod. Returns bytes read."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            while size := len(file.read(1 << 20)):
                total += size
    return total


def loaded_files(program: Path, image_files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files a QEMU maps or reads: itself, its libraries, its TCG module, firmware, kernel and initramfs."""
    environment = {**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"}
    text = subprocess.run(
        [program], env=environment, capture_output=True, text=True, timeout=20, check=False
    ).stdout
    libraries = [Path(word) for word in text.split() if word.startswith("/")]
    modules = [folder / "qemu/accel-tcg-x86_64.so" for folder in {library.parent for library in libraries}]
    firmware = [Path("/usr/share/seabios/bios-256k.bin"), Path("/usr/share/qemu/linuxboot_dma.bin")]
    return (program, *libraries, *modules, *firmware, *image_files)
