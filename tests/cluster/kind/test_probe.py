"""The node probe: its program on a directory of cgroup files, read by a real shell; its parsing; the kernel log."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.base import Reading
from harness.cluster.gathering import owner
from harness.cluster.kind.observe import Observation
from harness.cluster.kind.tools import Tools
from harness.cluster.nodes.kernel_log import Kmsg, scope
from harness.cluster.nodes.looks import Looks, Owner, pod_uid
from harness.embedded.api.resources import PODS
from tests.cluster.kind.world import Scene, until

UID = "e0ca701e-cfe4-4699-9dad-19d5623ba8e0"
SLICE = f"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{UID.replace('-', '_')}.slice"
V2 = {
    "memory.current": "1000\n",
    "memory.stat": "anon 700\nfile 200\ninactive_file 150\nslab 5\n",
    "memory.max": "max\n",
    "memory.swap.current": "0\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n",
    "memory.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
}
V1 = {
    "memory.usage_in_bytes": "1000\n",
    "memory.stat": "cache 200\nrss 600\ninactive_file 1\ntotal_rss 700\ntotal_inactive_file 150\ntotal_swap 0\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.failcnt": "3\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
}


def tree(root: Path, groups: dict[str, dict[str, str]]) -> None:
    for group, files in groups.items():
        (root / group).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (root / group / name).write_text(text)


@pytest.fixture
async def watched(kind: Scene) -> Scene:
    """A scene with one fake node, and its VMI's pod in the API."""
    world = kind.world
    made = {"n": {"containers": {"node-1": {"id": "1d" + "a" * 62, "role": "worker"}}, "created": 0.0}}
    world.write("state.json", {"clusters": made})
    root = world.node("node-1")
    for folder in ("run/density", "proc", "sys/kernel/mm/ksm", "dev"):
        (root / folder).mkdir(parents=True)
    (root / "run/density/proc").mkdir()
    (root / "run/density/proc/meminfo").write_text(
        "MemTotal: 16 kB\nMemFree: 8 kB\nSwapTotal: 4 kB\nSwapFree: 2 kB\n"
    )
    (root / "sys/kernel/mm/ksm/run").write_text("1\n")
    (root / "sys/kernel/mm/ksm/pages_sharing").write_text("42\n")
    os.mkfifo(root / "dev/kmsg")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "virt-launcher-hog",
            "ownerReferences": [
                {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "hog", "uid": "u"}
            ],
        },
        "spec": {"containers": [{"name": "compute", "image": "i"}]},
    }
    kind.store.create(PODS, pod, namespace="default")
    return kind


def observation(scene: Scene) -> Observation:
    tools = Tools.find(scene.world.pool().settings, scene.world.environment)
    return Observation(
        engine=tools.engine,
        nodes=("node-1",),
        ids={"1d" + "a" * 62: "node-1"},
        kubeconfig=scene.server.kubeconfig,
    )


async def collect(observed: Observation, enough: Any) -> list[Reading]:
    found: list[Reading] = []
    async with asyncio.timeout(20), aclosing(observed.readings()) as readings:
        async for reading in readings:
            found.append(reading)
            if enough(found):
                break
    return found


def samples(readings: list[Reading], source: str) -> dict[str, dict[str, Any]]:
    return {
        r.fields["subject"]: r.fields["data"]
        for r in readings
        if r.stream == "sample" and r.fields["source"] == source
    }


@pytest.mark.parametrize(("files", "mode"), [(V2, "v2"), (V1, "v1")])
async def test_a_real_shell_reads_nodes_pods_processes_and_the_host(
    watched: Scene, files: dict[str, str], mode: str
) -> None:
    (pod,) = watched.store.list(PODS)[0]
    uid = pod["metadata"]["uid"]
    top = watched.world.node("node-1") / "sys/fs/cgroup"
    if mode == "v1":
        top /= "memory"
        kubepods, podpath = "kubelet/kubepods", f"kubelet/kubepods/burstable/pod{uid}"
    else:
        kubepods = "kubelet.slice/kubelet-kubepods.slice"
        podpath = SLICE.replace(UID.replace("-", "_"), uid.replace("-", "_"))
    qemu = watched.world.root / "qemu-fake"
    shutil.copy("/bin/sleep", qemu)
    guest = subprocess.Popen([str(qemu), "60"])  # noqa: ASYNC220 - it only has to be there
    try:
        container = {"cgroup.procs": f"{guest.pid}\n"}
        tree(
            top, {"": files, kubepods: files, podpath: files, f"{podpath}/cri-containerd-1.scope": container}
        )
        readings = await collect(
            observation(watched),
            lambda found: len(samples(found, "ksm")) > 0 and samples(found, "process"),
        )
    finally:
        guest.kill()
        guest.wait()
    rows = samples(readings, "cgroup")
    assert set(rows) == {"/", "/kubepods", f"pod/{uid}"}
    assert rows["/"] == {
        "usage": 1000,
        "workingSet": 850,
        "inactiveFile": 150,
        "rss": 700,
        "swap": 0,
        "failcnt": 3,
        "oomKill": 1,
        "mode": mode,
    }
    mine = rows[f"pod/{uid}"]
    assert (mine["pod"], mine["vmi"]) == ("default/virt-launcher-hog", "default/hog")
    (process,) = samples(readings, "process").items()
    assert process[0] == "default/hog"
    assert process[1]["pid"] == guest.pid
    assert process[1]["process"] == "qemu-fake"
    assert process[1]["rss"] >= process[1]["pss"] > 0
    assert "oomScoreAdj" in process[1]
    # the machine's own rows, past the covered /proc/meminfo
    assert samples(readings, "meminfo") == {
        "host": {"MemTotal": 16384, "MemFree": 8192, "SwapTotal": 4096, "SwapFree": 2048}
    }
    assert samples(readings, "swap") == {"host": {"total": 4096, "free": 2048}}
    assert samples(readings, "ksm") == {"host": {"run": 1, "pages_sharing": 42}}
    if mode == "v2":
        assert samples(readings, "psi")["/"]["some"] == {
            "avg10": 1.5,
            "avg60": 0.0,
            "avg300": 0.0,
            "total": 12.0,
        }


async def test_looks_are_at_most_half_a_second_apart_and_nothing_is_left(watched: Scene) -> None:
    tree(watched.world.node("node-1") / "sys/fs/cgroup", {"": V2, "kubelet.slice/kubelet-kubepods.slice": V2})
    clock = asyncio.get_running_loop().time
    seen: list[float] = []

    def enough(found: list[Reading]) -> bool:
        last = found[-1]
        if last.stream == "sample" and last.fields["source"] == "cgroup" and last.fields["subject"] == "/":
            seen.append(clock())
        return len(seen) >= 5

    readings = await collect(observation(watched), enough)
    notes = [r for r in readings if r.stream == "note"]
    gaps = [b - a for a, b in pairwise(seen)]
    # on a busy machine a late look is told
    assert sorted(gaps)[len(gaps) // 2] <= 0.6 or notes
    root = str(watched.world.node("node-1"))
    await until(lambda: not _mentioning(root), within=5.0)


def _mentioning(words: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if words in line:
                found.append(line[:200])
    return found


async def test_a_node_that_dies_is_read_again_and_the_gap_is_told(watched: Scene) -> None:
    tree(watched.world.node("node-1") / "sys/fs/cgroup", {"": V2, "kubelet.slice/kubelet-kubepods.slice": V2})
    killed: list[str] = []

    def enough(found: list[Reading]) -> bool:
        looks = [r for r in found if r.stream == "sample" and r.fields["subject"] == "/"]
        if len(looks) >= 2 and not killed:
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and str(watched.world.node("node-1")) in _line(entry):
                    killed.append(entry.name)
                    os.kill(int(entry.name), signal.SIGKILL)
        what = [r.fields["what"] for r in found if r.stream == "note"]
        return "lost-sample" in what and "reconnect" in what

    readings = await collect(observation(watched), enough)
    lost = [r.fields for r in readings if r.stream == "note" and r.fields["what"] == "lost-sample"]
    assert lost[-1]["data"]["seconds"] >= 1.0


def _line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


async def test_an_oom_kill_in_the_kernel_log_becomes_a_kernel_reading(watched: Scene) -> None:
    tree(watched.world.node("node-1") / "sys/fs/cgroup", {"": V2, "kubelet.slice/kubelet-kubepods.slice": V2})
    (pod,) = watched.store.list(PODS)[0]
    uid = pod["metadata"]["uid"]
    identity = "1d" + "a" * 62

    def record(sequence: int, text: str) -> str:
        # the log's clock stands anywhere: a machine that was suspended has another uptime
        return f"4,{sequence},{sequence},-;{text}\n SUBSYSTEM=memory\n"

    def report(sequence: int, pid: int) -> str:
        path = f"/system.slice/docker-{identity}.scope/{SLICE.replace(UID.replace('-', '_'), uid.replace('-', '_'))}/cri-containerd-1.scope"
        return record(
            sequence,
            f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg={path},"
            f"task_memcg={path},task=qemu-system-x86,pid={pid},uid=107",
        ) + record(
            sequence + 1,
            f"Memory cgroup out of memory: Killed process {pid} (qemu-system-x86) total-vm:9kB, anon-rss:8kB, "
            "file-rss:1kB, shmem-rss:0kB, UID:107 pgtables:1kB oom_score_adj:844",
        )

    log = watched.world.node("node-1") / "dev/kmsg"
    log.unlink()
    log.write_text(report(1, 7))

    def enough(found: list[Reading]) -> bool:
        if samples(found, "cgroup") and not any(r.stream == "kernel" for r in found):
            log.write_text(report(1, 7) + report(5, 8) + report(5, 8))
        return any(r.stream == "kernel" for r in found)

    readings = await collect(observation(watched), enough)
    (kill,) = [r.fields for r in readings if r.stream == "kernel"]
    assert kill["pid"] == 8
    assert (kill["node"], kill["scope"], kill["vmi"]) == ("node-1", "container", "default/hog")
    assert (kill["oomScoreAdj"], kill["rss"], kill["process"]) == (844, 9 * 1024, "qemu-system-x86")


# -- parsing -----------------------------------------------------------------------------------------------------------


def recorded() -> Iterator[str]:
    path = Path(__file__).parents[2] / "recordings/kind-1.36-kubevirt-container-oom.ndjson.gz"
    with gzip.open(path, "rt") as file:
        for line in file:
            item = json.loads(line)
            if item["stream"] == "kernel":
                yield item["line"]


def test_the_recorded_oom_of_a_real_kind_node_is_attributed() -> None:
    node = "82ce459b204fb01b6d8459646eee24a6a184fbfa403252d550f2b5419c8cab0b"
    log = Kmsg({node: "real-worker"}, {UID: Owner(pod="default/virt-launcher-oom-1", vmi="default/oom-1")})
    log.since = 0
    (kill,) = [reading.fields for line in recorded() if (reading := log.feed(line)) is not None]
    assert (kill["node"], kill["vmi"], kill["scope"]) == ("real-worker", "default/oom-1", "container")
    assert (kill["pid"], kill["process"], kill["oomScoreAdj"]) == (31444, "qemu-system-x86", 844)
    # another cluster on the same machine: not ours to tell
    stranger = Kmsg({"0" * 64: "other"}, {})
    stranger.since = 0
    assert [line for line in recorded() if stranger.feed(line)] == []


NODES = {"abc": "n"}


@pytest.mark.parametrize(
    ("memcg", "expected"),
    [
        (None, "global"),
        ("/", "global"),
        ("/user.slice", "global"),
        ("/docker/abc", "node"),
        ("/system.slice/docker-abc.scope/system.slice", "node"),
        ("/system.slice/docker-abc.scope/kubelet.slice/kubelet-kubepods.slice", "kubepods"),
        ("/docker/abc/kubelet/kubepods/burstable", "kubepods"),
        (f"/docker/abc/kubelet/kubepods/burstable/pod{UID}", "pod"),
        (f"/docker/abc/{SLICE}", "pod"),
        (f"/docker/abc/{SLICE}/cri-containerd-x.scope", "container"),
    ],
)
def test_scope_is_whose_limit_was_hit(memcg: str | None, expected: str) -> None:
    assert scope(memcg, NODES) == expected


def test_uids_are_read_from_both_layouts() -> None:
    assert pod_uid(f"/x/{SLICE}") == UID
    assert pod_uid(f"/x/kubepods/pod{UID}") == UID


def test_late_and_lost_looks_are_told() -> None:
    looks = Looks("n", {})
    found = [
        r
        for line in ("H 2 /cg /cg/k", "T 10.0", "E", "T 10.45", "E", "T 11.1", "E", "T 14.1", "E")
        for r in looks.feed(line)
    ]
    assert [(r.fields["what"], r.fields["data"]["seconds"]) for r in found] == [
        ("late-pass", 0.15),
        ("lost-sample", 3.0),
    ]


def test_a_group_that_vanished_while_being_read_is_left_out() -> None:
    looks = Looks("n", {})
    lines = ["H 2 /cg /cg/k", "T 1.0", "/cg/memory.current:5", f"/cg/k/pod{UID}/memory.max:7", "E"]
    found = [r for line in lines for r in looks.feed(line)]
    assert [r.fields["subject"] for r in found] == ["/"]


def test_whose_a_pod_is() -> None:
    pod = {
        "metadata": {"namespace": "ns", "name": "p", "ownerReferences": [{"kind": "ReplicaSet", "name": "r"}]}
    }
    assert owner(pod) == Owner(pod="ns/p", vmi="")
