"""Causes: every recording of a real cluster, and small worlds for what no recording shows. Never the wrong one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest

from harness.explain.why import NoSuchVmi, why
from harness.explain.why_model import PostMortem, Report
from harness.explain.why_recording import read_recording
from harness.explain.why_text import text, to_data
from harness.records.model import Guest, Kernel, Provenance, Record, Sample, Watch
from tests.judge.recorded import FILES, recording, scenario
from tests.judge.world import MI, PROVENANCE, World, stamp

DEATHS: dict[str, dict[str, str]] = {
    "hard-eviction-pods": {"default/hog-a": "hard-eviction"},
    "hard-eviction": {"default/hog-1": "hard-eviction"},
    "soft-eviction": {"default/hog-2": "soft-eviction"},
    "load-without-crossing": {},
    "hard-eviction-deaf": {"default/hog-1": "hard-eviction"},
    "deaf-vmi-stays-running": {"default/hog-1": "hard-eviction"},
    "daemon-evicts-guaranteed": {"default/sure": "hard-eviction"},
    "soft-eviction-default-cap": {"default/hog-1": "soft-eviction"},
    "vm-always-evicted": {"default/vm-a": "hard-eviction"},
    "container-oom": {"default/oom-1": "container-oom"},
    "reserved": {"default/half": "hard-eviction"},
    "ksm-by-kubevirt": {},
}


@cache
def read(name: str) -> tuple[Provenance, list[tuple[int, Record]]]:
    return read_recording(recording(name))


@cache
def recorded(name: str, *, stated: bool) -> Report:
    return why(*read(name), scenario(name) if stated else None)


def test_the_table_has_every_recording() -> None:
    assert set(DEATHS) == set(FILES)


@pytest.mark.parametrize("stated", [False, True], ids=["alone", "with its scenario"])
@pytest.mark.parametrize("name", sorted(DEATHS))
def test_the_causes_of_every_recording(name: str, stated: bool) -> None:
    report = recorded(name, stated=stated)
    assert {post.subject: post.cause for post in report.dead} == DEATHS[name]


def one(name: str, *, stated: bool = True) -> PostMortem:
    (post,) = recorded(name, stated=stated).dead
    return post


def test_a_soft_eviction_is_told_from_a_hard_one_without_the_configuration() -> None:
    guessed, stated = one("soft-eviction", stated=False), one("soft-eviction")
    assert guessed.acted is not None
    assert stated.acted is not None
    assert (guessed.acted.kind, guessed.certain, guessed.acted.grace) == ("soft", False, None)
    assert "MemoryPressure stood 19.9 s before the eviction" in guessed.because
    assert "older than the kubelet's restart" in guessed.because
    assert (stated.acted.kind, stated.certain) == ("soft", True)
    assert (stated.acted.grace, stated.acted.cap) == (30.0, 30)
    assert math.isinf(stated.acted.crossing.low if stated.acted.crossing else 0.0)


def test_a_soft_eviction_with_the_default_cap_is_as_short_as_a_hard_one() -> None:
    post = one("soft-eviction-default-cap", stated=False)
    assert post.acted is not None
    assert (post.acted.kind, post.acted.cap, post.acted.grace) == ("soft", 0, 2.0)
    assert post.window is not None
    assert 1.7 < post.window.low <= post.window.high < 2.3
    assert any("evictionMaxPodGracePeriod as long as the guest needs" in line for line in post.saved_by)


def test_the_ranking_shows_the_lagged_figure_beside_the_truth() -> None:
    post = one("hard-eviction-deaf", stated=False)
    assert post.ranking is not None
    first, second, proxy, handler = post.ranking.rows
    assert [row.subject for row in post.ranking.rows][:2] == ["hog-1", "hog-2"]
    assert (first.usage.working_set, first.usage.request) == (587853824, 64 * MI + 35_000_000)
    assert first.truth is not None
    assert first.truth - 587853824 > 150 * MI
    assert first.age is not None
    assert 14 < first.age.low < first.age.high < 17
    assert second.usage.working_set == 739950592
    assert (proxy.usage.critical, handler.usage.exceeds) == (True, False)
    assert post.ranking.first is True
    assert post.acted is not None
    assert post.acted.signal == "memory.available"
    assert (post.acted.value, post.acted.available_value) == (300 * MI, 195052 * 1024)


def test_what_a_larger_request_and_a_priority_would_have_done() -> None:
    post = one("hard-eviction-deaf")
    assert post.saved_by[0].startswith(
        "A request of 528.3Mi or more in place of 97.4Mi: hog-2 would have been first. "
        "(The pod's, with KubeVirt's overhead in it; it must also fit the node"
    )
    assert post.saved_by[1] == "A higher priorityClass than the others': hog-2 would have been first."


def test_of_a_guaranteed_victim_the_limit_goes_with_the_request() -> None:
    post = one("daemon-evicts-guaranteed")
    assert post.saved_by[0].startswith(
        "A request and limit of 910.7Mi or more in place of 733.8Mi: half would"
    )


def test_the_guaranteed_victim_is_not_told_to_have_used_too_much() -> None:
    post = one("daemon-evicts-guaranteed")
    assert "no pod used more than it requested" in post.verdict
    assert "sure -271.7Mi (Guaranteed)" in post.verdict
    assert any("names no container" in line for line in post.unknown)
    assert any("outside the pods" in line for line in post.saved_by)


def test_priority_decides_between_pods_within_their_requests() -> None:
    post = one("reserved")
    assert post.ranking is not None
    assert post.ranking.decisive == (
        "neither used more than it requested; half has the lower priority (0 against virt-handler-q22rl's 1000000000)"
    )


def test_a_vmi_that_leaves_the_phase_running_late() -> None:
    ended, cut = one("deaf-vmi-stays-running"), one("hard-eviction-deaf")
    assert ended.phase_lag is not None
    assert 37 < ended.phase_lag.low < ended.phase_lag.high < 38.5
    assert cut.phase_lag is not None
    assert cut.phase_lag.low > 36
    assert math.isinf(cut.phase_lag.high)
    assert (ended.vmi_phase, cut.vmi_phase) == ("Failed", "Running")


def test_who_restarted_the_vm_where_and_when() -> None:
    post = one("vm-always-evicted")
    assert post.successor is not None
    assert post.successor.by == "VirtualMachine vm-a (runStrategy Always)"
    assert post.successor.same_node
    assert post.successor.node == "real-worker"
    assert 2.5 < post.successor.delay.low < post.successor.delay.high < 2.8
    assert post.successor.down is not None
    assert 50.4 < post.successor.down.low < 50.6
    assert "untolerated taint" in post.successor.waited_for
    assert any("The pod is deleted" in line for line in post.unknown)
    assert (post.life, post.lives) == (1, 2)
    texts = {fact.text: fact.proof for fact in post.timeline}
    # the VM's controller deletes what is over; nobody else asked for it
    assert texts["its VirtualMachine deletes the VMI that is over"] == (688,)
    assert "VMI is deleted through the API" not in texts
    assert texts["a new VMI of that name, made by VirtualMachine vm-a (runStrategy Always)"] == (745,)
    assert texts["the new VMI is Running on the same node, 50.5 s after the death"] == (1317,)


def test_who_deletes_a_running_vmi_is_not_known() -> None:
    (post,) = told(deleted()).dead
    assert "VMI is deleted through the API" in {fact.text for fact in post.timeline}


def test_a_clean_guest_of_a_hard_eviction() -> None:
    post = one("hard-eviction")
    assert post.reaction is not None
    assert post.reaction.kind == "clean"
    assert (post.vmi_phase, post.pod_phase, post.pod_reason) == ("Succeeded", "Failed", "Evicted")


def test_a_pod_that_succeeded_was_evicted_all_the_same() -> None:
    post = one("hard-eviction-pods")
    assert (post.pod_phase, post.pod_reason, post.is_vmi) == ("Succeeded", "", False)
    assert any("Succeeded without reason or message" in line for line in post.unknown)


def test_the_kernels_words_of_a_container_oom() -> None:
    post = one("container-oom", stated=False)
    (kill,) = [fact for fact in post.timeline if fact.text.startswith("kernel kills")]
    assert kill.text == (
        "kernel kills qemu-system-x86 (31444) for memory, container limit: 384.1Mi of 384.1Mi used, rss 370.6Mi, "
        "oom_score_adj 844"
    )
    assert post.saved_by[0].startswith("A compute limit of at least 768.1Mi in place of 384.1Mi")
    assert post.certain


def test_how_close_it_was_where_nobody_died() -> None:
    report = recorded("load-without-crossing", stated=False)
    assert report.verdict == "Nobody died: default/hog-1 and default/hog-2 lived to the end of the records."
    (close,) = report.closest
    assert close.distance == pytest.approx(46.3 * MI, abs=0.1 * MI)
    assert close.text.endswith(
        "46.3Mi above the hard threshold of 300Mi; hog-1 would have been the first to go"
    )


def test_stale_events_of_earlier_pods_are_no_deaths() -> None:
    assert [post.subject for post in recorded("soft-eviction", stated=False).dead] == ["default/hog-2"]


HONEST = {"eviction", "oom", "crashed", "unknown"}
"""What may be said where the evidence is missing."""


def lost(record: Record, what: str) -> bool:
    """Whether a record belongs to what was not recorded."""
    if isinstance(record, Watch):
        return record.object.get("kind") == what
    if isinstance(record, Sample):
        return record.source == what
    return {"guest": Guest, "kernel": Kernel}.get(what) is type(record)


@pytest.mark.parametrize(
    "missing",
    [
        ("Pod",),
        ("Event",),
        ("VirtualMachineInstance",),
        ("Node",),
        ("guest",),
        ("kernel",),
        ("cgroup",),
        ("stats/summary",),
        ("configz",),
        ("Pod", "Event"),
        ("cgroup", "stats/summary", "configz"),
        ("Event", "guest"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "name", ["hard-eviction-deaf", "vm-always-evicted", "soft-eviction", "container-oom", "reserved"]
)
def test_missing_evidence_never_makes_a_wrong_cause(name: str, missing: tuple[str, ...]) -> None:
    provenance, records = read(name)
    kept = [(n, record) for n, record in records if not any(lost(record, what) for what in missing)]
    if "configz" in missing:
        provenance = msgspec.structs.replace(provenance, kubelet={})
    report = why(provenance, kept)
    for post in report.dead:
        true = DEATHS[name].get(post.subject)
        assert post.cause == true or post.cause in HONEST or not post.certain, (post.subject, post.cause)
        assert post.subject in DEATHS[name] or post.cause in HONEST
        if not post.certain and post.cause != true:
            assert post.cause == "guest-shutdown"
            assert (
                "can't be excluded" in post.because
                or "KubeVirt says" in post.because
                or "by whom" in post.because
            )
        assert text(report)


@pytest.mark.parametrize("name", ["vm-always-evicted", "container-oom", "soft-eviction"])
def test_a_recording_cut_anywhere_is_read(name: str) -> None:
    provenance, records = read(name)
    for end in range(0, len(records), max(1, len(records) // 12)):
        report = why(provenance, records[:end])
        assert {post.cause for post in report.dead} <= {*DEATHS[name].values(), "guest-shutdown", *HONEST}
        assert text(report)


# -- small worlds ------------------------------------------------------------------------------------------------


def told(world: World, **more: Any) -> Report:
    return why(PROVENANCE, world.numbered(), **more)


def start() -> World:
    return World().at(1).node().vmi("a")


def boot(world: World, name: str, t: float, *, until: str = "") -> World:
    world.at(t).said(name, "[    0.000000] Linux version 6.1.0-cloud")
    world.at(t + 1).said(
        name, "@ hello proto=1 nonce=1 kernel=6.1 memtotal=500000000 memavailable=400000000 deaf=0"
    )
    world.at(t + 2).said(name, "@ stat up=2000 held=0 resident=0")
    world.at(t + 5).said(name, "@ stat up=5000 held=100 resident=100")
    if until == "oom":
        world.at(t + 6).said(name, "[    6.100000] Out of memory: Killed process 1 (init) total-vm:1kB")
        world.at(t + 6.1).said(name, "[    6.200000] Kernel panic - not syncing: Attempted to kill init!")
    return world


def failed(world: World, name: str = "a", *, code: int = 0, reason: str = "Completed") -> World:
    world.phase(name, "Failed").event(
        "Stopped", of=world.vmis[name], message="The VirtualMachineInstance crashed."
    )
    ended = {"exitCode": code, "reason": reason, "finishedAt": stamp(world.t)}
    return world.pod(
        name,
        phase="Failed" if code else "Succeeded",
        containerStatuses=[{"name": "compute", "state": {"terminated": ended}}],
    )


def guest_oom() -> World:
    return failed(boot(start(), "a", 2, until="oom").at(9))


def guest_oom_that_hangs() -> World:
    world = boot(start(), "a", 2, until="oom")
    return world.at(60).cgroup(200)


def guest_panic() -> World:
    world = boot(start(), "a", 2)
    world.at(8).said("a", "[    6.200000] Kernel panic - not syncing: VFS: Unable to mount root fs")
    return failed(world.at(9))


def reboot_loop() -> World:
    world = start()
    for n in range(4):
        boot(world, "a", 2 + 10 * n, until="oom")
    return boot(world, "a", 50)


def plain_shutdown() -> World:
    world = boot(start(), "a", 2)
    world.at(10).said("a", "@ bye up=8000 held=0 reason=command")
    world.at(10.5).phase("a", "Succeeded")
    world.event("Stopped", of=world.vmis["a"], message="The VirtualMachineInstance was shut down.")
    return world.pod("a", phase="Succeeded")


def vm_owned_shutdown() -> World:
    """The VM deletes its VMI after the end: no API delete of a living one."""
    world = plain_shutdown()
    vmi = world.vmis["a"]
    owners = [{"kind": "VirtualMachine", "name": "a", "uid": "vm"}]
    vmi["metadata"] = {**vmi["metadata"], "deletionTimestamp": stamp(10.6), "ownerReferences": owners}
    return world.at(10.7).watch(vmi).at(11).watch(vmi, "DELETED")


def deleted(*, deaf: bool = False) -> World:
    world = boot(start(), "a", 2)
    vmi = world.vmis["a"]
    vmi["metadata"] = {**vmi["metadata"], "deletionTimestamp": stamp(10.0)}
    world.at(10.1).watch(vmi).event("ShuttingDown", of=vmi)
    world.at(10.3).said("a", "@ power up=8300")
    if not deaf:
        world.at(10.4).said("a", "@ bye up=8400 held=0 reason=power")
        return world.at(10.8).phase("a", "Succeeded").at(11).watch(world.vmis["a"], "DELETED")
    world.at(20).said("a", "@ stat up=18000 held=0 resident=0")
    return world.at(40).phase("a", "Failed").at(41).watch(world.vmis["a"], "DELETED")


def node_oom() -> World:
    world = boot(start(), "a", 2)
    world.at(9).cgroup(900).at(9.5).cgroup(1010)
    world.at(10).oom("a", scope="node", pid=42, process="qemu-system-x86")
    return failed(world.at(11), code=137, reason="OOMKilled")


def pod_oom() -> World:
    return failed(start().at(10).oom("a", scope="pod").at(11), code=137, reason="OOMKilled")


def raw_container_oom() -> World:
    world = boot(start(), "a", 2).at(10)
    memcg = f"/kubelet/kubepods/burstable/pod{world.pods['a']['metadata']['uid']}/{'5' * 64}"
    for line in (
        f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg={memcg},task_memcg={memcg},task=qemu-system-x86,pid=42,uid=107",
        "Memory cgroup out of memory: Killed process 42 (qemu-system-x86) total-vm:1kB, anon-rss:2048kB oom_score_adj:844",
    ):
        world.put(Kernel(t=world.t, at="2026-11-28T12:00:10+00:00", lines=[line]))  # type: ignore[arg-type]
    return failed(world.at(11))


def status_oom(*, limit: bool) -> World:
    world = start()
    if limit:
        world.pods["a"]["spec"]["containers"][0]["resources"]["limits"] = {"memory": "128Mi"}
        world.watch(world.pods["a"])
    return failed(world.at(11), code=137, reason="OOMKilled")


def status_oom_of_the_node() -> World:
    world = status_oom(limit=True)
    node = {"kind": "Node", "metadata": {"name": "node", "uid": "node"}}
    return world.event("SystemOOM", of=node, message="System OOM encountered, victim process: qemu, pid: 42")


def sidecar_oom() -> World:
    """The log container is killed, the VM lives."""
    world = boot(start(), "a", 2)
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": stamp(9)}
    world.at(9).pod(
        "a", containerStatuses=[{"name": "guest-console-log", "lastState": {"terminated": ended}}]
    )
    return world.at(30).said("a", "@ stat up=28000 held=0 resident=0")


def crashed() -> World:
    return failed(boot(start(), "a", 2).at(9), code=139, reason="Error")


def vanished() -> World:
    world = start()
    return world.at(9).watch(world.pods["a"], "DELETED").watch(world.vmis["a"], "DELETED")


def never_ran() -> World:
    world = start()
    world.records.clear()
    world.node()
    world.vmis["a"] = {**world.vmis["a"], "status": {"phase": "Scheduling"}}
    return world.watch(world.vmis["a"], "ADDED").at(5).phase("a", "Failed")


def unplaced() -> World:
    world = start()
    world.records.clear()
    world.node()
    world.vmis["a"] = {**world.vmis["a"], "status": {"phase": "Scheduling"}}
    world.watch(world.vmis["a"], "ADDED")
    pod = world.pods["a"]
    world.pods["a"] = {**pod, "spec": {k: v for k, v in pod["spec"].items() if k != "nodeName"}}
    why = "0/1 nodes are available: 1 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    world.pod("a", phase="Pending", conditions=[condition])
    vmi = world.vmis["a"]
    vmi["metadata"] = {**vmi["metadata"], "deletionTimestamp": stamp(5.0)}
    return world.at(5).watch(vmi).phase("a", "Failed").watch(world.vmis["a"], "DELETED")


def refused() -> World:
    return start().pod(
        "a",
        phase="Failed",
        reason="Evicted",
        message="Pod was rejected: The node had condition: [MemoryPressure]. ",
    )


def preempted() -> World:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "preempting",
    }
    return start().at(5).pod("a", conditions=[condition]).at(7).phase("a", "Failed").pod("a", phase="Failed")


def other_eviction() -> World:
    world = start().at(9)
    text = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 1Ki. "
    return failed(world.evict("a", message=text).at(11), code=137, reason="Error")


def unknown_eviction() -> World:
    world = boot(start(), "a", 2).at(9).evict("a")
    return world.at(11).killed("a").phase("a", "Failed")


def alive() -> World:
    return boot(start(), "a", 2)


def shut_down_before_eviction() -> World:
    """The guest had gone by itself; its pod was evicted while it was being cleaned up."""
    world = plain_shutdown()
    return world.at(14).evict("a")


def oom_before_eviction() -> World:
    return failed(boot(start(), "a", 2).at(9).oom("a").at(12).evict("a").at(13), code=137, reason="OOMKilled")


def eviction_before_oom() -> World:
    world = boot(start(), "a", 2).at(9).evict("a").at(10).oom("a")
    return world.at(11).killed("a").phase("a", "Failed")


def long_lived() -> World:
    """Rebooted four times in two days: kernel updates, no loop."""
    world = start()
    for n in range(5):
        boot(world, "a", 2 + 40_000 * n)
    return world


def two_clocks() -> World:
    """The agent's clock begins later than the kernel's."""
    world = boot(start(), "a", 2)
    for n in range(6):
        world.at(10 + n).said("a", f"[{9 + n:12.6f}] e1000: link is up").said(
            "a", f"@ stat up={5000 + 1000 * n}"
        )
    return world


def old_oom_other_panic() -> World:
    world = boot(start(), "a", 2)
    world.at(8).said("a", "[    6.000000] Out of memory: Killed process 77 (cruncher) total-vm:1kB")
    world.at(100).said("a", "[   98.000000] Kernel panic - not syncing: Fatal exception")
    return failed(world.at(101))


def loop_then_deleted() -> World:
    world = reboot_loop()
    vmi = world.vmis["a"]
    vmi["metadata"] = {**vmi["metadata"], "deletionTimestamp": stamp(60.0)}
    return world.at(60.1).watch(vmi).at(61).phase("a", "Failed").at(62).watch(world.vmis["a"], "DELETED")


def clean_reboot_once() -> World:
    return boot(boot(start(), "a", 2), "a", 20)


CASES: tuple[tuple[Callable[[], World], str, bool], ...] = (
    (guest_oom, "guest-oom", True),
    (guest_oom_that_hangs, "guest-oom", True),
    (guest_panic, "guest-panic", True),
    (reboot_loop, "reboot-loop", True),
    (plain_shutdown, "guest-shutdown", True),
    (vm_owned_shutdown, "guest-shutdown", True),
    (deleted, "api-delete", True),
    (lambda: deleted(deaf=True), "api-delete", True),
    (node_oom, "node-oom", True),
    (pod_oom, "pod-oom", True),
    (raw_container_oom, "container-oom", True),
    (lambda: status_oom(limit=True), "container-oom", False),
    (lambda: status_oom(limit=False), "oom", False),
    (status_oom_of_the_node, "node-oom", False),
    (crashed, "crashed", True),
    (vanished, "unknown", True),
    (never_ran, "failed-to-start", True),
    (unplaced, "no-node", True),
    (refused, "refused", True),
    (preempted, "disrupted", True),
    (other_eviction, "other-eviction", True),
    (unknown_eviction, "eviction", True),
    (shut_down_before_eviction, "guest-shutdown", True),
    (oom_before_eviction, "container-oom", True),
    (eviction_before_oom, "eviction", True),
    (old_oom_other_panic, "guest-panic", True),
    (loop_then_deleted, "api-delete", True),
)


@pytest.mark.parametrize(
    ("make", "cause", "certain"), CASES, ids=[f"{c[1]}-{n}" for n, c in enumerate(CASES)]
)
def test_the_cause_of_a_small_world(make: Callable[[], World], cause: str, certain: bool) -> None:
    (post,) = told(make()).dead
    assert (post.subject, post.cause, post.certain) == ("d/a", cause, certain)


@pytest.mark.parametrize("make", [alive, sidecar_oom, clean_reboot_once, long_lived, two_clocks])
def test_who_lives_is_not_dead(make: Callable[[], World]) -> None:
    report = told(make())
    assert report.dead == ()
    assert [post.subject for post in report.alive] == ["d/a"]
    assert report.verdict == "Nobody died: d/a lived to the end of the records."


def test_what_found_no_node_had_no_qemu_that_could_go() -> None:
    assert "QEMU is gone" in text(told(crashed()))
    assert "QEMU is gone" not in text(told(unplaced()))


def test_a_loop_says_why_it_loops() -> None:
    (post,) = told(reboot_loop()).dead
    assert post.because == "5 boots of one QEMU, each time its own kernel had run out of memory"
    assert post.saved_by[0].startswith("More guest memory than its 476.8Mi")


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (
            "RerunOnFailure",
            "Its VM has runStrategy RerunOnFailure, which doesn't restart a VMI that ended Succeeded.",
        ),
        ("Always", "VM a (runStrategy Always) had made no new VMI when the records end."),
    ],
)
def test_why_nothing_came_back(strategy: str, said: str) -> None:
    vm = {"kind": "VirtualMachine", "metadata": {"name": "a", "namespace": "d", "uid": "vm"}}
    world = vm_owned_shutdown()
    world.records.insert(0, World().watch({**vm, "spec": {"runStrategy": strategy}}, "ADDED").records[0])
    (post,) = told(world).dead
    assert post.restarted == said


def test_as_data() -> None:
    (post,) = to_data(one("hard-eviction-deaf"))["ranking"]["rows"][:1]
    assert (post["subject"], post["victim"], post["usage"]["workingSet"]) == ("hog-1", True, 587853824)
    assert to_data(one("hard-eviction-deaf"))["phaseLag"]["high"] is None


def test_a_vm_that_comes_back_only_to_die_again() -> None:
    world = World().at(1).node()
    for n in range(3):
        world.at(1 + 20 * n).vmi("a", generation=str(n)).at(9 + 20 * n)
        failed(world)
    report = told(world)
    assert [(p.life, p.lives, p.cause) for p in report.dead] == [(n, 3, "crashed") for n in (1, 2, 3)]
    assert report.loops == ("d/a",)
    assert report.verdict.endswith("d/a comes back only to die again.")


def test_a_repeated_hello_is_no_boot() -> None:
    world = boot(start(), "a", 2)
    for n in range(20):
        world.at(10 + n).said("a", "@ hello proto=1 nonce=1 kernel=6.1 memtotal=1 memavailable=1 deaf=0")
    assert told(world).dead == ()


def test_a_guest_that_died_inside_is_dead_though_its_vmi_runs() -> None:
    (post,) = told(guest_oom_that_hangs()).dead
    assert (post.gone, post.vmi_phase) == (None, "Running")
    assert "Kubernetes sees nothing of it" in post.verdict


def test_a_crash_without_a_kernel_log_may_have_been_an_oom_kill() -> None:
    (post,) = told(failed(start().at(9), code=137, reason="Error")).dead
    assert post.cause == "crashed"
    assert any("no kernel log was recorded. Exit code 137 may be one" in line for line in post.unknown)


def test_configured_kind_wins_and_an_unknown_kind_is_said() -> None:
    (post,) = told(unknown_eviction()).dead
    assert "hard or soft can't be told" in post.verdict
    world = unknown_eviction()
    config = {"kubeletconfig": {"evictionHard": {"memory.available": "300Mi"}}}
    sample = Sample(t=0.5, at="2026-11-28T12:00:00+00:00", source="configz", node="node", data=config)  # type: ignore[arg-type]
    world.records.insert(0, sample)
    (sure,) = told(world).dead
    assert (sure.cause, sure.certain) == ("hard-eviction", True)


def test_a_longer_life_than_two_seconds_was_a_soft_evictions() -> None:
    world = boot(start(), "a", 2).at(9).evict("a")
    world.at(19).said("a", "@ stat up=17000 held=0 resident=0")
    world.at(20).killed("a").phase("a", "Failed")
    (post,) = told(world).dead
    assert (post.cause, post.certain) == ("soft-eviction", False)


def test_one_vmi_by_name_and_an_unknown_one() -> None:
    world = guest_oom().at(1.5).vmi("b")
    assert [p.subject for p in told(world, vmi="b").alive] == ["d/b"]
    assert [p.cause for p in told(world, vmi="d/a").dead] == ["guest-oom"]
    with pytest.raises(NoSuchVmi, match=r"c: no VMI of that name in this run; there are d/a and d/b"):
        told(world, vmi="c")


def test_what_comes_after_the_window_is_the_harnesss_own_doing() -> None:
    world = alive().at(30).action("window-end")
    vmi = world.vmis["a"]
    vmi["metadata"] = {**vmi["metadata"], "deletionTimestamp": stamp(31.0)}
    world.at(31).watch(vmi).at(33).watch(vmi, "DELETED")
    assert told(world).dead == ()


def test_an_eviction_that_erased_its_evidence_is_told_from_events_alone() -> None:
    world = start().at(9).evict("a").at(9.5).event("ShuttingDown", of=start().vmis["a"])
    gone = world.event("Stopped", of=world.vmis["a"], message="The VirtualMachineInstance was shut down.")
    gone.records = [
        r
        for r in gone.records
        if not (isinstance(r, Watch) and r.object["kind"] in {"VirtualMachineInstance", "Pod"})
    ]
    gone.at(60).vmi("a", generation="2")
    (post,) = told(gone).dead
    assert (post.subject, post.cause, post.lives) == ("d/a", "eviction", 2)
    assert post.successor is not None
    assert post.successor.created.low == 60
    assert any("event Stopped" in fact.text for fact in post.timeline)
