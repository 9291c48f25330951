"""`--node-reader`: the DaemonSet's program is run on this host, and comes through a pod's log as the probe of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.base import NodeRequest, Reading
from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import Options, node_pods, reading
from harness.cluster.kubeconfig.reading import Stream
from harness.cluster.nodes.looks import NODE_PROGRAM, Owner
from harness.embedded.api.resources import NAMESPACES
from harness.records.model import Sample
from harness.run import undo_kubeconfig
from harness.run.undo import UndoFile
from tests.cluster.kubeconfig.privileged import FakeNode
from tests.cluster.kubeconfig.scene import GROW, OnFakes, carry_out, cluster, foreign, objects
from tests.run.scenarios import load

READS: dict[str, Any] = {"node_reader": True, "node_reader_image": "registry.example/busybox:1"}
UID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def test_a_run_records_what_the_reader_reads_and_removes_it(tmp_path: Path) -> None:
    async with foreign("node-stats", "node-reader") as there:
        with FakeNode(there, tmp_path / "node").running() as node:
            result = await carry_out(there, load(tmp_path, GROW), tmp_path, **READS)
            left = node.pods("reader")
    assert result.run.outcome == "complete", result.run.reason
    assert there.rbac.denied == []
    assert left == []
    samples = [r for _, r in result.run.directory.records() if isinstance(r, Sample)]
    sources = {r.source for r in samples}
    assert {"meminfo", "stats/summary", "configz"} <= sources
    assert {r.node for r in samples if r.source == "meminfo"} == {"worker"}
    assert all(r.data["MemTotal"] > 1 << 30 for r in samples if r.source == "meminfo")
    assert result.run.directory.provenance.capabilities["kmsg"] == "yes"
    assert result.run.directory.provenance.qualifiers["node-reader"] == "registry.example/busybox:1"


async def test_in_a_namespace_of_its_own_that_lets_it_in(tmp_path: Path) -> None:
    told: list[Mapping[str, Any]] = []
    async with foreign("node-stats", "namespaces", "node-reader") as there:
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(there.kubeconfig))
        options = Options(kubeconfig=file, agent_image="i", **READS)
        with FakeNode(there, tmp_path / "node").running() as node:
            async with OnFakes(options, undo=told.append, run="abc123") as seen:
                await seen.prepare_nodes((NodeRequest(name="target", memory=None),))
                labels = {
                    n["metadata"]["name"]: n["metadata"].get("labels") for n in objects(there, NAMESPACES)
                }
                (pod,) = node.pods("reader")
            left = [
                n["metadata"]["name"]
                for n in objects(there, NAMESPACES)
                if "deletionTimestamp" not in n["metadata"]
            ]
    assert labels["density-nodes-abc123"] == {
        "kubernetes.io/metadata.name": "density-nodes-abc123",
        "density.dev/run": "abc123",
        "pod-security.kubernetes.io/enforce": "privileged",
    }
    assert pod["metadata"]["labels"]["density.dev/run"] == "abc123"
    assert [(e["op"], e["target"], e["run"]) for e in told] == [
        ("namespace-delete", "density-nodes-abc123", "abc123"),
        ("node-reader-delete", "density-reader-abc123", "abc123"),
    ]
    assert "density-nodes-abc123" not in left


async def test_a_crash_leaves_what_clean_removes(tmp_path: Path) -> None:
    assert undo_kubeconfig.__name__  # imported: it registers the operation
    async with foreign("node-stats", "node-reader") as there:
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(there.kubeconfig))
        options = Options(kubeconfig=file, namespace="density", agent_image="i", **READS)
        with FakeNode(there, tmp_path / "node").running() as node:
            undo = UndoFile.create(run="abc123")
            async with OnFakes(options, undo=undo, run="abc123") as seen:
                await seen.prepare_nodes((NodeRequest(name="target", memory=None),))
                seen._work._reader = None  # as if killed
            assert len(node.pods("reader")) == 1
            # the server of this test runs in the loop that a synchronous undo would block
            done = await asyncio.to_thread(undo.close)
            assert [(item.op, item.did, item.failed) for item in done] == [
                ("node-reader-delete", "deleted", "")
            ]
            assert node.pods("reader") == []


async def test_a_log_that_is_cut_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AGAIN", 0.05)
    seen: list[Reading] = []
    async with foreign("node-stats", "node-reader") as there:
        with FakeNode(there, tmp_path / "node", cut_after=2).running():
            async with cluster(there, **READS) as source:
                handles = await source.prepare_nodes((NodeRequest(name="target", memory=None),))
                async with asyncio.timeout(20), aclosing(source.probe(handles)) as probe:
                    async for found in probe:
                        seen.append(found)
                        told = [r.fields["what"] for r in seen if r.stream == "note"]
                        rows = [r for r in seen if r.fields.get("source") == "meminfo"]
                        if "reconnect" in told and seen[-1] in rows and len(rows) >= 2:
                            break
    texts = [r.fields["text"] for r in seen if r.stream == "note" and r.fields["what"] == "reconnect"]
    assert texts == ["worker: its log ended; reading it again"]
    assert next(r.fields["what"] for r in seen if r.stream == "note") == "node-reader"


async def test_what_is_in_its_way_is_one_line(tmp_path: Path) -> None:
    async with foreign("node-stats") as there:
        there.rbac._rules = [rule for rule in there.rbac._rules if "limitranges" not in rule[1]["resources"]]
        with pytest.raises(
            ClusterError,
            match=r"^--node-reader: RBAC denies get daemonsets.apps in namespace density: density rbac --node-reader \|",
        ):
            async with cluster(there, **READS):
                pass
    async with foreign("node-stats", "node-reader") as there:
        refuse = 'daemonsets.apps is forbidden: violates PodSecurity "restricted": privileged'
        with FakeNode(there, tmp_path / "node", refuse_daemonsets=refuse).running():
            async with cluster(there, **READS) as seen:
                with pytest.raises(
                    ClusterError, match=r'DaemonSet was refused: .*violates PodSecurity "restr'
                ):
                    await seen.prepare_nodes((NodeRequest(name="target", memory=None),))


def test_an_image_must_be_named() -> None:
    with pytest.raises(
        ClusterError, match="--node-reader runs a privileged pod on the nodes: name its image"
    ):
        Options.of({"DENSITY_NODE_READER": "1"}, {})
    assert not Options.of({"DENSITY_NODE_READER": "0"}, {}).node_reader


# -- the manifest ------------------------------------------------------------------------------------------------------


def test_the_daemonset_reads_only_and_survives_the_pressure_it_is_to_see() -> None:
    made = node_pods.reader(image="i", namespace="ns", run="r1", nodes=["a", "b"])
    labels = {"density.dev/run": "r1", "density.dev/node-pod": "reader"}
    assert made["metadata"]["labels"] == labels
    assert made["spec"]["selector"]["matchLabels"] == labels == made["spec"]["template"]["metadata"]["labels"]
    spec = made["spec"]["template"]["spec"]
    assert spec["hostPID"]
    assert not spec["automountServiceAccountToken"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    (container,) = spec["containers"]
    assert container["volumeMounts"] == [{"name": "host-0", "mountPath": "/sys/fs/cgroup", "readOnly": True}]
    assert spec["volumes"] == [{"name": "host-0", "hostPath": {"path": "/sys/fs/cgroup"}}]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [t["matchFields"][0]["values"] for t in terms["nodeSelectorTerms"]] == [["a"], ["b"]]


def test_the_kubelet_leaves_the_program_as_it_is() -> None:
    """k8s.io/kubernetes third_party/forked/golang/expansion: `$$` is `$`, and `$(name)` is replaced."""
    made = node_pods.reader(image="i", namespace="ns", run="r1", nodes=["a"])
    command = made["spec"]["template"]["spec"]["containers"][0]["command"]
    assert [word.replace("$$", "$") for word in command][6] == NODE_PROGRAM
    assert not any("$(" in word.replace("$$", "") for word in command)


# -- the stream --------------------------------------------------------------------------------------------------------


def fed(stream: Stream, *lines: str, at: float = 0.0) -> list[Reading]:
    stream.clock = at
    return [reading for line in lines for reading in stream.feed(line)]


def opened(node: str = "n1") -> Stream:
    stream = Stream(node, {UID: Owner(pod="ns/p", vmi="ns/v")})
    fed(stream, "H 2 /sys/fs/cgroup /sys/fs/cgroup/kubepods.slice")
    return stream


def look(up: float, *rows: str) -> tuple[str, ...]:
    return (f"T {up}", *rows, "E")


def test_the_true_root_uses_what_its_kubelet_says_it_does() -> None:
    """v2 has no memory.current there; facts: usage = anon + file, working set less inactive_file."""
    rows = [f"/sys/fs/cgroup/memory.stat:{row}" for row in ("anon 700", "file 300", "inactive_file 100")]
    (reading,) = fed(opened(), *look(10.0, *rows))
    assert reading.fields["subject"] == "/"
    assert reading.fields["node"] == "n1"
    assert (reading.fields["data"]["usage"], reading.fields["data"]["workingSet"]) == (1000, 900)


def test_the_machines_own_rows_are_of_the_node() -> None:
    (reading,) = fed(opened(), *look(10.0, "/proc/meminfo:MemTotal:  1000 kB"))
    assert (reading.fields["source"], reading.fields["node"], reading.fields["data"]) == (
        "meminfo", "n1", {"MemTotal": 1024000},
    )  # fmt: skip


def test_a_pods_kill_and_a_machines_kill_are_told_apart() -> None:
    stream = opened()
    fed(stream, *look(10.0))
    slice_ = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
    scope = f"{slice_}/cri-containerd-{'a' * 64}.scope"
    choice = "3,50,11000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,"
    killed = "Killed process 77 (qemu-kvm) total-vm:9kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:107 pgtables:1kB"
    found = fed(
        stream,
        f"{choice}oom_memcg={scope},task_memcg={scope},task=qemu-kvm,pid=77,uid=107",
        f"3,51,11000001,-;Memory cgroup out of memory: {killed} oom_score_adj:900",
        " SUBSYSTEM=memory",
    )
    assert [(r.stream, r.fields["scope"], r.fields["node"], r.fields["vmi"]) for r in found] == [
        ("kernel", "container", "n1", "ns/v")
    ]
    choice = "3,60,12000000,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=x,mems_allowed=0,"
    found = fed(
        stream,
        f"{choice}global_oom,task_memcg={scope},task=qemu-kvm,pid=77,uid=107",
        f"3,61,12000001,-;Out of memory: {killed} oom_score_adj:900",
    )
    assert [(r.fields["scope"], r.fields["node"]) for r in found] == [("global", "n1")]


def test_what_the_kernel_said_before_us_is_old() -> None:
    killed = (
        "Out of memory: Killed process 7 (qemu-kvm) total-vm:9kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
    )
    old, new = f"3,10,9000000,-;{killed} oom_score_adj:1", f"3,11,12000000,-;{killed} oom_score_adj:2"
    numbered = opened()
    # two pipes: records of the log may come before the first look, and times may lie
    fed(numbered, "K 10", old.replace("9000000", "99000000"))
    found = fed(numbered, *look(10.0), new)
    assert [r.fields["oomScoreAdj"] for r in found] == [2]
    # busybox's dd knows no iflag=nonblock
    timed = opened()
    fed(timed, "K -1", old)
    assert [r.fields["oomScoreAdj"] for r in fed(timed, *look(10.0), old, new)] == [2]


def test_a_log_that_is_read_again_from_a_little_earlier_doubles_nothing() -> None:
    stream = opened()
    row = "/proc/meminfo:MemTotal:  1000 kB"
    assert len(fed(stream, *look(10.0, row), *look(10.5, row))) == 2
    again = fed(
        stream, "H 2 /sys/fs/cgroup /sys/fs/cgroup/kubepods.slice", *look(10.0, row), *look(10.5, row), *look(11.0, row)
    )  # fmt: skip
    assert [r.fields.get("source") for r in again] == ["meminfo"]


def test_a_look_that_comes_late_is_told() -> None:
    stream = opened()
    assert fed(stream, *look(10.0), at=100.0) == []
    assert fed(stream, *look(10.5), at=100.9) == []
    (late,) = fed(stream, *look(11.0), at=102.0)
    assert (late.fields["what"], late.fields["data"]) == ("late-pass", {"seconds": 1.0})
