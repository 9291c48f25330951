"""One guest under TCG for tests: the QEMU line of docs/guest.md, its console as lines and its power button."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

from workloads.image import GuestImage

QEMU = shutil.which("qemu-system-x86_64")
APPEND = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check 8250.nr_uarts=1 cryptomgr.notests audit=0"
MIB = 1 << 20


class TestGuest:
    """A running guest. Lines are kept with the loop time they came at."""

    __test__ = False

    def __init__(self, process: asyncio.subprocess.Process, directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.lines: list[tuple[float, str]] = []
        self.connected = asyncio.Event()
        self._seen = 0
        self._more = asyncio.Condition()
        self._writer: asyncio.StreamWriter | None = None
        self._ids = 0

    async def on_connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connected.set()
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                async with self._more:
                    self.lines.append((time.monotonic(), line.decode(errors="replace").rstrip()))
                    self._more.notify_all()
        writer.close()

    async def expect(self, start: str, *, within: float = 30.0) -> dict[str, str]:
        """The next line (from where the last expect ended) that begins so, as key → value."""
        async with asyncio.timeout(within), self._more:
            while True:
                while self._seen < len(self.lines):
                    line = self.lines[self._seen][1]
                    self._seen += 1
                    if line.startswith(start):
                        return dict(word.partition("=")[::2] for word in line.split()[2:])
                await self._more.wait()

    async def send(self, command: str) -> int:
        assert self._writer is not None
        self._ids += 1
        self._writer.write(f"{self._ids} {command}\n".encode())
        await self._writer.drain()
        return self._ids

    async def ask(self, command: str, *, within: float = 30.0) -> dict[str, str]:
        """Send and wait for its ok."""
        number = await self.send(command)
        return await self.expect(f"@ ok id={number} ", within=within)

    def pss(self) -> int:
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        # Not `Pss`: 28 MiB of it are QEMU's own files, of which a guest's part grows when another QEMU on the machine ends.
        return sum(int(text.split(f"\n{row}:")[1].split()[0]) * 1024 for row in ("Pss_Anon", "Pss_Shmem"))

    async def power_button(self) -> None:
        for _ in range(100):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                reader, writer = await asyncio.open_unix_connection(self.directory / "qmp")
                break
            await asyncio.sleep(0.02)
        await reader.readline()
        for command in ("qmp_capabilities", "system_powerdown"):
            writer.write(json.dumps({"execute": command}).encode() + b"\n")
            while b'"return"' not in await reader.readline():
                pass
        writer.close()


@contextlib.asynccontextmanager
async def boot(
    image: GuestImage,
    directory: Path,
    *,
    memory_mib: int = 256,
    arguments: str = "",
    reporting: bool = True,
    devices: tuple[str, ...] = (),
) -> AsyncIterator[TestGuest]:
    """Start a guest; it is killed on the way out if it still runs."""
    assert QEMU is not None
    serial = directory / "serial"
    started: asyncio.Future[TestGuest] = asyncio.get_running_loop().create_future()

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (await started).on_connect(reader, writer)

    server = await asyncio.start_unix_server(on_connect, serial)
    process = await asyncio.create_subprocess_exec(
        QEMU,
        *("-nodefaults", "-no-user-config", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=32"),
        *(
            "-cpu",
            "qemu64",
            "-smp",
            "1",
            "-m",
            str(memory_mib),
            "-display",
            "none",
            "-vga",
            "none",
            "-no-reboot",
        ),
        *("-chardev", f"socket,id=ser,path={serial}", "-serial", "chardev:ser"),
        *("-qmp", f"unix:{directory / 'qmp'},server=on,wait=off"),
        *("-device", f"virtio-balloon-pci,free-page-reporting={'on' if reporting else 'off'}"),
        *devices,
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", f"{APPEND} {arguments}"),
    )
    guest = TestGuest(process, directory)
    started.set_result(guest)
    try:
        yield guest
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        server.close()
