from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.model import Guest, Kernel, Record, Sample, Watch
from harness.run.console_lines import command, parse
from harness.run.world import World
from harness.units import MIB, Bytes, Seconds


def at(t: float) -> dict[str, Any]:
    return {"t": Seconds(t), "at": ""}


def vmi(name: str, phase: str) -> dict[str, Any]:
    return {
        "kind": "VirtualMachineInstance",
        "metadata": {"namespace": "ns", "name": name},
        "status": {"phase": phase},
    }


def pod(name: str, phase: str = "Running", **status: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {
            "namespace": "ns",
            "name": f"virt-launcher-{name}-abcde",
            "uid": f"uid-{name}",
            "ownerReferences": [{"kind": "VirtualMachineInstance", "name": name}],
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": phase, **status},
    }


EVICTED: dict[str, Any] = {
    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]
}


def world(*records: Record) -> World:
    made = World()
    made.capacity["n1"] = Bytes(1000)
    made.expect_guest("ns/a", "cafe")
    for line, record in enumerate(records, 1):
        made.apply(line, record)
    return made


def test_a_guest_is_ready_by_its_own_nonce_only() -> None:
    made = world(Guest(**at(1), vmi="ns/a", line="@ hello proto=1 nonce=beef memavailable=100"))
    assert not made.is_ready("ns/a")
    assert "hello with another nonce (beef)" in made.why_not_running("ns/a")
    made.apply(2, Guest(**at(2), vmi="ns/a", line="@ hello proto=1 nonce=cafe memavailable=100"))
    assert made.is_ready("ns/a")
    assert made.guests["ns/a"].mem_available == 100


@pytest.mark.parametrize(
    ("line", "held"),
    [
        ("@ held up=1 id=2 bytes=7", 7),
        ("@ stat up=1 held=8 resident=9", 8),
        ("@ ok id=2 held=9 ms=1 cut=1", 9),
        ("held up=1 id=2 bytes=7", 0),
        ("@ held up=1 id=2 bytes=x", 0),
    ],
)
def test_what_a_guest_holds_is_what_it_last_said(line: str, held: int) -> None:
    assert world(Guest(**at(1), vmi="ns/a", line=line)).guests["ns/a"].held == held


@pytest.mark.parametrize(
    "record",
    [
        Watch(**at(3), type="MODIFIED", object=pod("a", **EVICTED)),
        Watch(**at(3), type="MODIFIED", object=pod("a", "Failed")),
        Watch(**at(3), type="DELETED", object=pod("a")),
        Watch(**at(3), type="MODIFIED", object=vmi("a", "Succeeded")),
        Watch(**at(3), type="DELETED", object=vmi("a", "Running")),
        Kernel(**at(3), vmi="ns/a", scope="node"),
        Guest(**at(3), vmi="ns/a", line="@ bye up=1 held=0 reason=power"),
    ],
)
def test_a_death_is_seen_in_whatever_tells_of_it_first(record: Record) -> None:
    made = world(
        Watch(**at(1), type="ADDED", object=pod("a")),
        Watch(**at(2), type="ADDED", object=vmi("a", "Running")),
    )
    assert not made.is_dead("ns/a")
    made.apply(3, record)
    assert made.is_dead("ns/a")
    assert made.first_death == {"ns/a": Seconds(3)}


def test_an_evicted_guest_is_dying_but_not_over() -> None:
    made = world(Watch(**at(1), type="ADDED", object=pod("a", **EVICTED)))
    assert made.is_dead("ns/a")
    assert not made.is_over("ns/a")


def cgroup(t: float, working_set: int) -> Sample:
    return Sample(**at(t), source="cgroup", node="n1", subject="/", data={"workingSet": working_set})


def summary(t: float, time: str, available: int) -> Sample:
    return Sample(
        **at(t),
        source="stats/summary",
        node="n1",
        data={"node": {"memory": {"time": time, "availableBytes": available}}},
    )


def test_availability_is_the_probes_while_fresh_and_the_kubelets_otherwise() -> None:
    assert world().available("n1") is None
    assert world(summary(1, "a", 400)).available("n1") == 400
    made = world(summary(1, "a", 400), cgroup(2, 300))
    assert made.available("n1") == 700
    made.apply(3, summary(6, "b", 500))
    assert made.available("n1") == 500
    assert made.stats_time("n1") == "b"


def process(t: float, subject: str, rss: int, node: str = "n1") -> Sample:
    return Sample(**at(t), source="process", node=node, subject=subject, data={"rss": rss})


def test_resident_memory_is_of_the_guests_of_a_node_that_are_there_now() -> None:
    assert world().resident("n1") == 0
    made = world(process(1, "ns/a", 70), process(1, "daemon/sshd", 500))
    made.expect_guest("ns/b", "beef")
    made.apply(3, process(2, "ns/b", 30))
    assert (made.resident("n1"), made.resident("n2")) == (100, 0)
    made.apply(4, process(4.5, "ns/b", 40))  # a is not seen any more
    assert made.resident("n1") == 40


def test_the_node_of_a_guest_is_its_pods() -> None:
    assert world(Watch(**at(1), type="ADDED", object=pod("a"))).node_of("ns/a") == "n1"
    assert world().node_of("ns/a") == ""


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    parsed = parse(line)
    assert parsed is None or line.startswith("@ ")


def test_lines_and_commands() -> None:
    line = parse("@ err id=3 msg=no room for x=1 more\r\n")
    assert line is not None
    assert (line.word, line.number("id"), line.fields["msg"]) == ("err", 3, "no room for x=1 more")
    assert parse("[    1.0] @ hello") is None
    assert parse("@ ") is None
    assert command(4, "grow", to=5 * MIB, pages="unique") == "4 grow to=5242880 pages=unique"


def test_why_a_domain_was_not_started_is_what_virt_handler_said_last() -> None:
    def event(message: str, *, kind: str = "VirtualMachineInstance", reason: str = "SyncFailed") -> Watch:
        about = {"kind": kind, "namespace": "ns", "name": "a"}
        item = {"kind": "Event", "reason": reason, "message": message, "involvedObject": about}
        return Watch(**at(1), type="ADDED", object=item)

    words = "server error. command SyncVMI failed: disk x is in memory (tmpfs)"
    assert world(event("y"), event(words)).unstarted == {"ns/a": "disk x is in memory (tmpfs)"}
    # a launcher that does not answer any more had been started
    ping = event("command Ping failed with Unavailable: rpc error")
    others = (ping, event(words, kind="Pod"), event(words, reason="Killing"))
    assert world(*others).unstarted == {}
