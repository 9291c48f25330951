"""What the harness adds to booting guests: N of them until each said hello, against the same QEMUs started by a bare script.

Five pairs, interleaved, and the median of their ratios. Through the harness: everything `density run` does from the cluster's
start until the last hello was heard over the API's console (control plane, cgroups, watches, probe, statistics, records). Bare:
the same command lines, one process each with the same priority (nice, and a session of its own: on a busy machine that decides),
and a socket for each console. CPU is that of the guests and of whoever started them.

Run: `python -m benchmarks boot` on a quiet machine; exits 1 when a ratio is worse than its bound, 0 without QEMU.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.local import LocalCluster
from harness.embedded.kubelet.guests import guest_shape
from harness.embedded.machine.base import GuestImage
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import qemu
from harness.records.model import Record
from harness.records.rundir import RunDirectory
from harness.resources import data_dir
from harness.run.interrupt import Interrupt
from harness.run.lifecycle import run_once
from harness.run.settings import Settings
from harness.run.undo import UndoFile
from harness.spec.claims import load_claims
from harness.spec.loader import load_scenario
from harness.spec.model import Claim, Scenario
from workloads.image import ImageError, build

GUESTS = 4
PAIRS = 5
MEMORY = "256Mi"
BOUNDS = {"wall": 1.25, "cpu": 1.10}
SCENARIO = f"""\
apiVersion: density/v1
kind: Scenario
metadata: {{name: boot, title: Guests that only boot}}
observe: 1s
nodes: [{{name: target, memory: 2Gi}}]
fleet:
  - name: guest
    count: {GUESTS}
    manifest: {data_dir("suites") / "manifests" / "agent.yaml"}
    set: {{spec.domain.memory.guest: {MEMORY}, spec.domain.resources.requests.memory: 64Mi}}
requires: [survives: {{fleet: guest}}]
"""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds."""

    wall: float
    cpu: float


def cpu_of(pids: Iterable[int]) -> float:
    """Return the CPU seconds that processes have used so far (proc(5): utime, stime)."""
    used = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / _TICKS


@dataclass
class Watcher:
    """Takes the time when the harness says that every guest was heard."""

    pids: Callable[[], list[int]]
    began: float = 0.0
    cpu: float = 0.0
    cost: list[Cost] = field(default_factory=list)

    def started(self, directory: RunDirectory, scenario: Scenario) -> None:
        pass

    def record(self, line: int, record: Record) -> None:
        pass

    def step(self, text: str) -> None:
        if text == "running the workload":
            spent = time.process_time() - self.cpu + cpu_of(self.pids())
            self.cost.append(Cost(time.perf_counter() - self.began, spent))


async def through_harness(scenario: Scenario, claims: Mapping[str, Claim], folder: Path) -> Cost:
    with UndoFile.create(run="bench", where=folder / "undo") as undo:
        cluster = LocalCluster(undo=undo, run="bench", accel="tcg")
        watcher = Watcher(
            lambda: [pod.guest.pid for pod in cluster.embedded.running.pods() if pod.guest is not None]
        )
        watcher.began, watcher.cpu = time.perf_counter(), time.process_time()
        run = await run_once(
            scenario,
            claims,
            cluster,
            settings=Settings(runs=folder / "runs", progress=watcher),
            interrupt=Interrupt(),
            undo=undo,
        )
    if not watcher.cost:
        raise SystemExit(f"boot: the run did not get its guests: {run.reason}")
    return watcher.cost[0]


async def hello_of(arguments: list[str], serial: Path, stack: AsyncExitStack) -> int:
    """Start one QEMU and return its pid once its guest said hello."""
    heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            if b"@ hello" in line and not heard.done():
                heard.set_result(None)

    server = await asyncio.start_unix_server(listen, serial)
    stack.callback(server.close)
    confinement = qemu.Confinement(parent=os.getpid(), cgroup=None)
    process = await asyncio.create_subprocess_exec(
        *arguments, start_new_session=True, preexec_fn=confinement.hook(report=sys.stderr.fileno())
    )

    async def end() -> None:
        process.kill()
        await process.wait()

    stack.push_async_callback(end)
    await heard
    return process.pid


async def bare(scenario: Scenario, folder: Path) -> Cost:
    built, program = build(), qemu.find()
    image = GuestImage(kernel=built.kernel, initramfs=built.initramfs, release=built.release)
    vmi = {**scenario.fleet[0].manifest, "metadata": {"name": "guest", "namespace": "bench"}}
    began, cpu = time.perf_counter(), time.process_time()
    async with AsyncExitStack() as stack, asyncio.timeout(120):
        boots = []
        for number in range(GUESTS):
            sockets = qemu.Sockets.under(folder / f"g{number}")
            sockets.serial.parent.mkdir()
            arguments = qemu.command(
                program=program,
                shape=guest_shape(vmi, {}),
                image=image,
                sockets=sockets,
                accelerator="tcg",
            )
            boots.append(hello_of(arguments, sockets.serial, stack))
        pids = await asyncio.gather(*boots)
        return Cost(time.perf_counter() - began, time.process_time() - cpu + cpu_of(pids))


def pair(scenario: Scenario, *, harness_first: bool) -> tuple[Cost, Cost]:
    """Measure one pair; return the harness's cost and the bare script's."""
    claims = load_claims()
    with tempfile.TemporaryDirectory(prefix="bench-") as one, tempfile.TemporaryDirectory(prefix="b-") as two:
        if harness_first:
            ours = asyncio.run(through_harness(scenario, claims, Path(one)))
            return ours, asyncio.run(bare(scenario, Path(two)))
        theirs = asyncio.run(bare(scenario, Path(two)))
        return asyncio.run(through_harness(scenario, claims, Path(one))), theirs


def main() -> int:
    try:
        qemu.find()
        build()
    except (MachineError, ImageError) as error:
        print(f"boot: not measured: {error}")
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(SCENARIO)
        file.flush()
        scenario = load_scenario(Path(file.name))
    pairs = []
    for number in range(PAIRS):
        ours, theirs = pair(scenario, harness_first=number % 2 == 0)
        pairs.append((ours, theirs))
        print(
            f"pair {number + 1}: {GUESTS} guests of {MEMORY} in {ours.wall:.2f} s, {ours.cpu:.2f} CPU s; "
            f"bare {theirs.wall:.2f} s, {theirs.cpu:.2f} CPU s",
            flush=True,
        )
    worse = 0
    for name, bound in BOUNDS.items():
        each = [getattr(ours, name) / getattr(theirs, name) for ours, theirs in pairs]
        middle = statistics.median(each)
        worse |= middle > bound
        shown = ", ".join(f"{value:.2f}" for value in sorted(each))
        print(f"{name}: median ratio {middle:.2f} (of {shown}), bound {bound:.2f}")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
