"""The lesser agent in a real guest: its user data's script as init of a guest with nothing but Python in it."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workloads.qemu import MIB, QEMU, boot
from workloads.image import GuestImage, ImageError, build, cpio
from workloads.lesser import user_data

pytestmark = pytest.mark.guest
PYTHON = Path("/usr/bin/python3")
INIT = """#!{python} -IS
import ctypes, os, sys, tty
for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
    ctypes.CDLL(None).mount(kind.encode(), where.encode(), kind.encode(), 0, None)
kept = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)  # settings last as long as somebody has it open
tty.setraw(kept)
sys.argv = ["agent", "x"]
exec(compile(open("/agent.py").read(), "/agent.py", "exec"))
"""
MODULES = (
    "import ctypes, hashlib, json, mmap, os, select, signal, sys, time, tty, encodings.latin_1\n"
    "print(json.dumps([m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)]))"
)


def libraries(binary: Path) -> set[Path]:
    """What the dynamic linker loads for it, itself included."""
    told = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    words = [word for line in told.splitlines() for word in line.split() if word.startswith("/")]
    return {Path(word) for word in words}


def with_python(script: bytes) -> bytes:
    """An initramfs of the system's Python, the modules that the script needs, and the script."""
    python = PYTHON.resolve()
    found = subprocess.run([python, "-IS", "-c", MODULES], check=True, capture_output=True, text=True).stdout
    files = {Path(name) for name in json.loads(found)}
    for binary in {python, *(f for f in files if f.suffix == ".so")}:
        files |= {binary, *libraries(binary)}
    entries = [
        cpio.file("init", INIT.replace("{python}", str(python)).encode(), mode=0o755),
        cpio.file("agent.py", script),
        cpio.directory("proc"),
        cpio.directory("sys"),
        cpio.character_device("dev/console", 5, 1),
        cpio.character_device("dev/urandom", 1, 9),  # Python's hash seed, before there is a devtmpfs
        *(cpio.file(str(f)[1:], f.read_bytes(), mode=0o755) for f in sorted(files)),
    ]
    return cpio.archive(entries)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> GuestImage:
    if QEMU is None:
        pytest.skip("qemu-system-x86_64 is not installed: apt-get install qemu-system-x86")
    if not PYTHON.exists() or shutil.which("ldd") is None:
        pytest.skip("no python3 of the distribution: apt-get install python3")
    try:
        image = build()
    except ImageError as error:
        pytest.skip(str(error))
    initramfs = tmp_path_factory.mktemp("lesser") / "initramfs.cpio"
    initramfs.write_bytes(with_python(gzip.decompress(user_data(nonce="c0ffee", deaf=False))))
    return replace(image, initramfs=initramfs)


async def test_a_guest_holds_what_the_small_agent_is_told_to(image: GuestImage, tmp_path: Path) -> None:
    async with boot(image, tmp_path) as guest:
        hello = await guest.expect("@ hello ", within=45)
        assert (hello["proto"], hello["nonce"], hello["deaf"]) == ("1", "c0ffee", "0")
        assert int(hello["memtotal"]) > int(hello["memavailable"]) > 100 * MIB
        base = guest.pss()
        for to, pages in ((20 * MIB, "unique"), (60 * MIB, "zero"), (100_000_001, "shared")):
            assert (await guest.ask(f"grow to={to} rate={100 * MIB} pages={pages} seed=1", within=40))[
                "held"
            ] == str(to)
            # 14 MiB less were seen, thrice: Python's start had touched and freed them, and there is no primer
            assert to - 40 * MIB <= guest.pss() - base <= to * 1.03 + 16 * MIB
        assert (await guest.ask("touch pages=1000"))["held"] == "100000001"
        assert (await guest.ask("rewrite bytes=8192"))["held"] == "100000001"
        assert (await guest.ask("shrink to=4096"))["held"] == "4096"
        await guest.send("bye")
        assert (await guest.expect("@ bye "))["reason"] == "command"
