from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.records.model import Kernel, Note, Record, Watch
from harness.records.rundir import RunDirectory
from harness.records.served import epoch
from harness.run.awaited import Awaited
from harness.run.importing import EvidenceRefused, import_recording
from harness.run.interrupt import Interrupt
from harness.run.record import Request, Result, record, wanted
from harness.units import Seconds
from tests.faults import faults
from tests.judge.recorded import imported, scenario
from tests.kube.test_faults import World, world


async def recorded(
    there: World, runs: Path, work: Callable[[], Any], *, plan: list[str], **request: Any
) -> tuple[Result, int]:
    """Record while `work` is done, through a network that fails as planned; end when a pod `last` was seen."""
    interrupt = Interrupt()

    def listen(_line: int, entry: Record) -> None:
        if isinstance(entry, Watch) and entry.object["metadata"]["name"] == "last":
            interrupt.request()

    async with faults(there.upstream, plan=plan) as (proxy, document):
        async with asyncio.TaskGroup() as tasks:
            chosen: dict[str, Any] = {"runs": runs, "kubeconfig": document, "listen": listen, **request}
            recording = tasks.create_task(record(Request(**chosen), interrupt=interrupt))
            tasks.create_task(work())
        return recording.result(), proxy.most_a_second()


async def test_a_recording_survives_a_network_that_fails_and_a_server_that_is_started_again(
    tmp_path: Path,
) -> None:
    async with world() as there:
        there.put("before")

        async def work() -> None:
            await asyncio.sleep(0.6)
            for number in range(30):
                there.put(f"p{number % 4}")
                if number == 15:
                    await there.stop()
                    there.put("while-down")
                    await asyncio.sleep(0.1)
                    await there.start()
                await asyncio.sleep(0.01)
            there.put("last")

        plan = ["drop", "half", "error", "page", "close", "throttle", "crumbs", "slow", "drop", "half"]
        result, most = await recorded(there, tmp_path, work, plan=plan)
    directory = RunDirectory.open(result.directory.path)
    records = [r for _, r in directory.records()]
    pods = [
        (r.type, r.object["metadata"]["name"], r.object["metadata"]["resourceVersion"])
        for r in records
        if isinstance(r, Watch) and r.object["kind"] == "Pod"
    ]
    assert pods == there.log
    assert directory.complete
    assert directory.provenance.outcome == "complete"
    assert result.outcome == "stopped"
    assert {"reconnect"} <= {r.what for r in records if isinstance(r, Note)}
    # Six kinds watched, each at once and then no more often than every 0.075 s.
    assert most < 6 * 14


async def test_what_an_embedded_cluster_served_is_no_evidence_of_a_real_one(tmp_path: Path) -> None:
    async with world() as there:

        async def work() -> None:
            await asyncio.sleep(0.5)
            there.put("last")

        result, _ = await recorded(there, tmp_path / "runs", work, plan=[], namespaces=("ns",))
    provenance = result.directory.provenance
    assert provenance.evidence == "predicted"
    made = import_recording(result.directory.path, scenario("hard-eviction"), tmp_path / "imported")
    assert made.provenance.evidence == "predicted"
    # and not by renaming either
    result.directory.update(evidence="real")
    (result.directory.records_path).write_bytes(
        result.directory.records_path.read_bytes()
        + b'{"stream":"watch","t":9,"at":"2026-11-28T10:00:09Z","type":"ADDED",'
        b'"object":{"kind":"Node","metadata":{"name":"n","annotations":{"density.dev/embedded":"true"}}}}\n'
    )
    with pytest.raises(EvidenceRefused):
        import_recording(result.directory.path, scenario("hard-eviction"), tmp_path / "again")


async def test_a_time_can_be_set(tmp_path: Path) -> None:
    async with world() as there, faults(there.upstream) as (_, document):
        request = Request(runs=tmp_path, kubeconfig=document, seconds=0.2)
        result = await record(request, interrupt=Interrupt())
        assert (result.outcome, result.text) == ("stopped", "0.2 s are over")
        awaited = Awaited(kind="evicted", started=0.0)
        result = await record(
            Request(runs=tmp_path, kubeconfig=document, seconds=0.2, until=awaited), interrupt=Interrupt()
        )
        assert result.outcome == "not-seen"


def test_one_namespace_is_watched_without_asking_for_all() -> None:
    everywhere = {(w.resource.plural, w.namespace) for w in wanted(())}
    assert ("pods", "") in everywhere
    here = {(w.resource.plural, w.namespace) for w in wanted(("a",))}
    assert here == {
        ("nodes", ""),
        ("kubevirts", ""),
        *((plural, "a") for plural in ("pods", "virtualmachineinstances", "virtualmachines", "events")),
        ("events", "default"),
    }


def seen_in(name: str, kind: str, who: str) -> tuple[float, str]:
    """When and what of a recording is seen first."""
    provenance, records = imported(name)
    awaited = Awaited(kind=kind, started=epoch(provenance.started), name=who)
    for line, entry in records:
        awaited.add(line, entry)
        if awaited.seen:
            return entry.t, awaited.seen
    return 0.0, ""


@pytest.mark.parametrize(
    ("name", "kind", "who", "t", "text"),
    [
        ("hard-eviction", "evicted", "", 26.4, "Pod virt-launcher-hog-1-"),
        ("hard-eviction", "evicted", "hog-1", 26.4, "Pod virt-launcher-hog-1-"),
        ("hard-eviction", "evicted", "hog-2", 0.0, ""),
        ("hard-eviction", "pressure", "", 27.1, "node den-worker under memory pressure"),
        ("hard-eviction", "ended", "", 26.9, "VMI hog-1 ended (Succeeded)"),
        ("hard-eviction", "failed", "", 0.0, ""),
        ("load-without-crossing", "evicted", "", 0.0, ""),
        ("load-without-crossing", "ended", "", 0.0, ""),
        ("deaf-vmi-stays-running", "failed", "", None, "VMI hog-1 Failed"),
    ],
)
def test_old_news_is_not_what_is_waited_for(
    name: str, kind: str, who: str, t: float | None, text: str
) -> None:
    """Each recording begins with events of earlier evictions."""
    when, what = seen_in(name, kind, who)
    assert what.startswith(text)
    assert bool(what) == bool(text)
    if t is not None:
        assert abs(when - t) < 0.2


def test_a_kernels_report_is_an_oom() -> None:
    awaited = Awaited(kind="oom", started=0.0)
    awaited.add(1, Kernel(t=Seconds(1.0), at="", vmi="ns/hog"))
    assert awaited.seen == "the kernel killed ns/hog"
