from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedded.machine.linux import oom

RECORDING = Path(__file__).parents[2] / "recordings/kind-1.36-kubevirt-container-oom.ndjson.gz"
TREE = "/kubevirt-density/run-1"

NODE_LIMIT = [
    "4,10,1000,-;qemu-system-x86 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "6,11,1001,-;memory: usage 327680kB, limit 327680kB, failcnt 68",
    (
        "6,12,1002,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
        "oom_memcg=/kubevirt-density/run-1/node,task_memcg=/kubevirt-density/run-1/node/kubepods/burstable/podu0/compute,"
        "task=qemu-system-x86,pid=4711,uid=0"
    ),
    (
        "3,13,1003,-;Memory cgroup out of memory: Killed process 4711 (qemu-system-x86) total-vm:1926156kB, "
        "anon-rss:163660kB, file-rss:25824kB, shmem-rss:16kB, UID:0 pgtables:1008kB oom_score_adj:844"
    ),
]


def reports(records: list[str]) -> list[oom.Report]:
    parser = oom.Parser()
    return [report for record in records if (report := parser.feed(oom.message(record)))]


def test_a_node_limit_names_the_node_as_domain_and_the_pod_as_victim() -> None:
    (report,) = reports(NODE_LIMIT)
    kill = report.kill("run-1")
    assert (kill.domain, kill.node, kill.pod_uid, kill.container) == ("node", "node", "u0", "compute")
    assert (kill.pid, kill.process, kill.oom_score_adj) == (4711, "qemu-system-x86", 844)
    assert kill.rss == (163660 + 25824 + 16) * 1024
    assert [line.split(":")[0] for line in kill.lines] == [
        "qemu-system-x86 invoked oom-killer",
        "memory",
        "oom-kill",
        "Memory cgroup out of memory",
    ]


def test_the_second_kill_of_a_double_kill_is_its_own_report() -> None:
    second = [line.replace("4711", "4712").replace("podu0", "podu1") for line in NODE_LIMIT]
    kills = [report.kill("run-1") for report in reports(NODE_LIMIT + second)]
    assert [(kill.pid, kill.pod_uid) for kill in kills] == [(4711, "u0"), (4712, "u1")]


def test_kills_whose_lines_interleave_are_told_apart() -> None:
    second = [line.replace("4711", "4712").replace("podu0", "podu1") for line in NODE_LIMIT]
    mixed = [*NODE_LIMIT[:3], second[2], second[3], NODE_LIMIT[3]]
    assert [(r.pid, r.kill("run-1").pod_uid) for r in reports(mixed)] == [(4712, "u1"), (4711, "u0")]


def test_a_group_that_dies_together_is_one_report_a_process() -> None:
    group = TREE + "/node/kubepods/burstable/podu0/compute"
    together = f"6,14,1004,-;Tasks in {group} are going to be killed due to memory.oom.group set"
    other = NODE_LIMIT[3].replace("4711", "4712")
    kills = [report.kill("run-1") for report in reports([*NODE_LIMIT, together, NODE_LIMIT[3], other])]
    assert [(kill.pid, kill.domain, kill.container) for kill in kills] == [
        (4711, "node", "compute"),
        (4712, "node", "compute"),
    ]
    later = [line.replace("4711", "4713").replace("podu0", "podu1") for line in NODE_LIMIT]
    assert [r.kill("run-1").pod_uid for r in reports([*NODE_LIMIT, together, *later])] == ["u0", "u1"]


def test_a_rate_limited_report_has_the_pid_but_no_place() -> None:
    (report,) = reports(NODE_LIMIT[3:])
    assert report.pid == 4711
    assert report.oom_memcg is None
    assert report.kill("run-1").node == ""


def test_another_runs_kill_is_not_ours() -> None:
    (report,) = reports(NODE_LIMIT)
    kill = report.kill("run-2")
    assert (kill.domain, kill.node) == ("global", "")


def test_the_machines_own_oom_is_global_with_our_pod_as_victim() -> None:
    line = (
        "6,12,1002,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
        "task_memcg=/kubevirt-density/run-1/node/kubepods/podu3/compute,task=qemu-system-x86,pid=4711,uid=0"
    )
    killed = NODE_LIMIT[3].replace("Memory cgroup out of memory", "Out of memory")
    kill = reports([line, killed])[0].kill("run-1")
    assert (kill.domain, kill.node, kill.pod_uid) == ("global", "node", "u3")


def test_the_recording_of_a_real_cluster_reads_as_one_kill_at_the_containers_limit() -> None:
    with gzip.open(RECORDING, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    found = reports([record["line"] for record in lines if record["stream"] == "kernel" and "line" in record])
    (report,) = found
    assert report.pid == 31444
    assert report.process == "qemu-system-x86"
    assert report.oom_score_adj == 844
    assert report.rss == (353660 + 25824) * 1024
    assert report.oom_memcg == report.task_memcg
    assert report.oom_memcg is not None
    assert report.oom_memcg.startswith("/docker/82ce459b204f")
    assert report.lines[1] == "memory: usage 393344kB, limit 393344kB, failcnt 0"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("global", "", "", "")),
        ("/kubevirt-density", ("global", "", "", "")),
        (TREE, ("global", "", "", "")),
        (f"{TREE}/n", ("node", "n", "", "")),
        (f"{TREE}/n/kubepods", ("kubepods", "n", "", "")),
        (f"{TREE}/n/kubepods/besteffort", ("kubepods", "n", "", "")),
        (f"{TREE}/n/kubepods/podU", ("pod", "n", "U", "")),
        (f"{TREE}/n/kubepods/burstable/podU", ("pod", "n", "U", "")),
        (f"{TREE}/n/kubepods/burstable/podU/compute", ("container", "n", "U", "compute")),
        (f"/docker/82ce{TREE}/n/kubepods/podU/compute", ("container", "n", "U", "compute")),
        ("/kubevirt-density/run-10/n", ("global", "", "", "")),
    ],
)
def test_a_path_of_the_kernel_is_placed_in_the_tree(path: str, expected: tuple[str, str, str, str]) -> None:
    found = oom.place(path, "run-1")
    assert (found.domain, found.node, found.pod_uid, found.container) == expected


def test_a_record_loses_its_prefix_and_its_dictionary() -> None:
    assert (
        oom.message(b"6,339,5140900,-;NET: registered\n SUBSYSTEM=pci\n DEVICE=+pci:0000\n")
        == "NET: registered"
    )


@given(st.lists(st.text(max_size=200)))
def test_any_text_is_read_without_an_error(texts: list[str]) -> None:
    parser = oom.Parser()
    for text in texts:
        parser.feed(oom.message(text))


@given(
    st.lists(
        st.sampled_from([*NODE_LIMIT, "6,1,1,-;something else", "4,1,1,-;oom-kill:constraint=X"]), max_size=30
    )
)
def test_as_many_kills_as_killed_lines(records: list[str]) -> None:
    assert len(reports(records)) == sum("Killed process" in record for record in records)


@given(
    comm=st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=15),
    pid=st.integers(1, 1 << 22),
    adj=st.integers(-1000, 1000),
)
def test_any_process_name_is_read(comm: str, pid: int, adj: int) -> None:
    first = NODE_LIMIT[2].replace("task=qemu-system-x86,pid=4711", f"task={comm},pid={pid}")
    last = (
        NODE_LIMIT[3]
        .replace("process 4711 (qemu-system-x86)", f"process {pid} ({comm})")
        .replace(":844", f":{adj}")
    )
    (report,) = reports([first, last])
    assert (report.process, report.pid, report.oom_score_adj) == (comm, pid, adj)
    assert report.kill("run-1").pod_uid == "u0"
