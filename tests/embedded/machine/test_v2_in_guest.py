"""cgroup v2 for real: a guest kernel with `cgroup_no_v1=all`, Python as its init, our code against its files."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.embedded.machine.base import ContainerShape, DiskShape, GuestImage, GuestShape, PodShape
from harness.embedded.machine.linux.machine import LinuxMachine
from harness.run.undo import UndoFile
from harness.units import MIB, Bytes
from workloads.image import cpio
from workloads.image.modules import collect

ROOT = Path(__file__).parents[3]
PYTHON = Path("/usr/bin/python3.11")
LIBRARY = Path("/usr/lib/python3.11")
LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip|distutils|pydoc_data|site-packages)/"
)

pytestmark = [pytest.mark.guest, pytest.mark.soak, pytest.mark.timeout(600)]


def python_entries(modules: Mapping[str, bytes]) -> list[cpio.Entry]:
    """Debian's Python, its libraries, our package, the QMP client and kernel modules, as an initramfs."""
    trace = {**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"}
    text = subprocess.run([PYTHON], env=trace, capture_output=True, text=True, check=True).stdout
    binaries = [Path(word) for word in text.split() if word.startswith("/")]
    for module in LIBRARY.glob("lib-dynload/*.so"):
        text = subprocess.run(["/usr/bin/ldd", module], capture_output=True, text=True, check=True).stdout
        binaries += [Path(word) for word in text.split() if word.startswith("/")]
    qmp = importlib.util.find_spec("qemu.qmp")
    assert qmp is not None
    assert qmp.origin is not None
    client = Path(qmp.origin).parent
    files = {str(path).lstrip("/"): path for path in (PYTHON, *binaries)}
    files |= {str(path).lstrip("/"): path for path in LIBRARY.rglob("*") if path.suffix in {".py", ".so"}}
    files |= {f"app/qemu/qmp/{path.name}": path for path in client.glob("*.py")}
    files |= {
        f"app/{path.relative_to(ROOT)}": path for path in (ROOT / "harness/embedded/machine").rglob("*.py")
    }
    files |= {f"app/{path.relative_to(ROOT)}": path for path in (ROOT / "harness/rules").glob("*.py")}
    kubelet = ("embedded/kubelet/__init__", "embedded/kubelet/shapes")
    for name in (
        "__init__",
        "units",
        "embedded/__init__",
        *kubelet,
        "run/__init__",
        "run/errors",
        "run/undo_machine",
        "run/undo_operations",
    ):
        files[f"app/harness/{name}.py"] = ROOT / f"harness/{name}.py"
    init = f"#!{PYTHON}\nimport sys\nsys.path.insert(0, '/app')\n"
    checks = (ROOT / "tests/embedded/machine/v2_checks.py").read_text(encoding="utf-8")
    return [
        cpio.file(
            "init", (init + checks.replace("from __future__ import annotations\n", "")).encode(), mode=0o755
        ),
        *(
            cpio.file(name, path.read_bytes(), mode=0o755)
            for name, path in files.items()
            if not LEFT_OUT.search(name)
        ),
        cpio.file("modules.list", "".join(f"/modules/{name}.ko\n" for name in modules).encode()),
        *(cpio.file(f"modules/{name}.ko", data) for name, data in modules.items()),
    ]


@pytest.fixture
def python(image: GuestImage, tmp_path: Path) -> GuestImage:
    """The guest image with Python instead of the agent."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there to be put into a guest")
    initramfs = tmp_path / "python.cpio"
    tree = image.kernel.parents[1] / "lib/modules" / image.release
    modules = collect(tree, ("virtio_pci", "virtio_blk"))
    if modules.missing:
        pytest.skip(f"no modules {modules.missing} of the guest kernel")
    initramfs.write_bytes(cpio.archive(python_entries(modules.files)))
    return GuestImage(kernel=image.kernel, initramfs=initramfs, release=image.release)


@pytest.fixture
def swap_disk(tmp_path: Path) -> DiskShape:
    """A disk that is a swap area."""
    path = tmp_path / "kubevirt-density-swap.raw"
    with path.open("wb") as file:
        file.truncate(128 * MIB)
    subprocess.run(["/usr/sbin/mkswap", path], check=True, stdout=subprocess.DEVNULL)
    return DiskShape(path=path, size=Bytes(128 * MIB))


async def test_our_v2_code_holds_against_a_kernel_with_nothing_but_v2(
    python: GuestImage, swap_disk: DiskShape, undo: UndoFile, tmp_path: Path
) -> None:
    seen = b""
    async with LinuxMachine(
        python, undo=undo, run_id=f"test-{secrets.token_hex(3)}", accel="tcg", scratch=tmp_path
    ) as linux:
        node = await linux.create_node("worker", Bytes(1536 * MIB))
        pod = await node.add_pod(
            PodShape(
                uid="v2",
                name="v2",
                qos="Burstable",
                limit=None,
                containers={"compute": ContainerShape(limit=None, oom_score_adj=0)},
            )
        )
        shape = GuestShape(
            name="v2",
            memory=Bytes(768 * MIB),
            graphics=False,
            disk=swap_disk,
            kernel_args="cgroup_no_v1=all PYTHONHASHSEED=0",
        )
        guest = await pod.start_guest("compute", shape)
        async with asyncio.timeout(560):
            async for chunk in guest.console.read(from_start=True):
                seen += chunk
    found = re.search(rb"V2 (\{.*\})", seen)
    assert found is not None, seen[-2000:]
    result = json.loads(found[1])
    assert "error" not in result, result["error"]
    assert result == {
        "detected": ["v2", "/sys/fs/cgroup"],
        "boxed limit": 8 * MIB,
        "we sit in": "0::/box/kubevirt-density.leaf",
        "boxed undo failed": [],
        "we are back in": "0::/box",
        "node limit": 64 * MIB,
        "kubepods limit": 60 * MIB,
        "usage rises": True,
        "node sees it": True,
        "untouched": None,
        "adj": "0",
        "greedy ended by": 9,
        "its group died with it": 9,
        "container kill": ["container", ["container", "small", "compute"]],
        "bystander lives": True,
        "hog ended by": 9,
        "node kill": ["node", ["node", "hog", "compute"]],
        "bystander lives on": True,
        "node counts kills": True,
        "swap areas": ["/dev/vda"],
        "without a share ended by": 9,
        "with a share it lives": True,
        # 40Mi of 128Mi, of 96Mi of swap; NoSwap
        "swap limits": ["max", "31457280", 31457280, 0],
        "pressure is told": ["events.oom_kill", "pgmajfault", "someTotal", "swap.max"],
        "swapped out": True,
        "swap is off": True,
        "undo failed": [],
        "resting ended by": 9,
        "tree is gone": True,
        "root control": [],
    }
