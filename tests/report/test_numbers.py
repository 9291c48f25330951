"""Numbers of recorded runs: literals, intervals, censoring, and commands that derive them anew."""

from __future__ import annotations

import shutil
import subprocess
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.records import model
from harness.records.rundir import RunDirectory
from harness.report.latencies import censored_quantile
from harness.report.measures import measure
from harness.report.number import Number
from harness.report.proof import digest, proof_command
from harness.report.reading import observe, thinned
from harness.report.touch import nearest_rank
from harness.report.write import write_reports
from harness.run.importing import import_recording
from harness.spec.loader import load_scenario
from harness.units import Seconds
from tests.report import directories

ROOT = Path(__file__).parents[2]


def recorded(name: str, into: Path) -> RunDirectory:
    scenario = load_scenario(ROOT / "suites" / "recorded" / f"{name}.yaml")
    recording = ROOT / "tests" / "recordings" / f"kind-1.36-kubevirt-{name}.ndjson.gz"
    return import_recording(recording, scenario, into)


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Number]:
    run = recorded("hard-eviction-deaf", tmp_path_factory.mktemp("runs"))
    return {(n.key, n.subject): n for n in measure(observe(run), "records.ndjson")}


def test_a_recorded_eviction_is_counted(deaf: dict[tuple[str, str], Number]) -> None:
    counted = {
        key: deaf[key, ""].text for key in ("asked", "fit", "survive", "sold", "sold-per-gib", "evictions")
    }
    assert counted == {
        "asked": "2",
        "fit": "2",
        "survive": "1",
        "sold": "1408 MiB",
        "sold-per-gib": "704 MiB",
        "evictions": "1",
    }


def test_latencies_are_intervals_with_their_records(deaf: dict[tuple[str, str], Number]) -> None:
    told = deaf["detection", "default/hog-1"]
    assert (told.low, told.high) == (3.9471, 4.4504)
    assert told.text == "4.199 s (3.947 … 4.45)"
    assert set(told.proof) == {1092, 1099, 1162, 1207}
    gone = deaf["eviction", "default/hog-1"]
    assert gone.low is not None
    assert gone.high is not None
    assert 1.5 < gone.low < gone.high < 2.2
    lag = deaf["phase-lag-median", ""]
    assert (lag.value, lag.censored, lag.text) == (None, 1, "not seen"), "the phase never became final"


def test_nobody_looked_is_not_nobody_was_killed(deaf: dict[tuple[str, str], Number]) -> None:
    kills = deaf["oom-node", ""]
    assert kills.value is None
    assert kills.text == "none seen"


def test_quantiles_count_what_never_happened_as_longer() -> None:
    assert censored_quantile([1.0, 2.0, 3.0], 0, 50) == 2.0
    assert censored_quantile([1.0, 2.0, 3.0], 3, 50) == 3.0
    assert censored_quantile([1.0, 2.0, 3.0], 3, 95) is None
    assert censored_quantile([], 2, 50) is None


def test_percentiles_are_nearest_rank() -> None:
    values = array("q", [50, 10, 40, 20, 30])
    assert [nearest_rank(values, p) for p in (1, 20, 21, 50, 99, 100)] == [10, 10, 20, 30, 50, 50]
    assert nearest_rank(array("q", [7]), 99) == 7


STARTED = "2026-01-01T00:00:00Z"


def guest(t: float, line: str, vmi: str = "ns/it's") -> model.Guest:
    return model.Guest(t=Seconds(t), at=STARTED, vmi=vmi, line=line)


def stat(p50: int, p99: int, held: int = 4096) -> str:
    return (
        f"@ stat up=1 held={held} resident=1 memtotal=1 memavailable=1 p50={p50} p99={p99} max={p99} stalls=2"
    )


@pytest.fixture
def touched(tmp_path: Path) -> RunDirectory:
    """A run of one guest (with a quote in its name) that held memory for five seconds."""
    run = RunDirectory.create(
        tmp_path,
        model.Provenance(
            schema=1, run="touched", scenario={}, cluster="local", evidence="kernel", started=STARTED
        ),
    )
    with run.writer() as writer:
        writer.append(guest(0.5, stat(1, 1, held=0)))
        for second, (p50, p99) in enumerate(
            [(300, 9000), (100, 1000), (500, 2000), (200, 3000), (400, 4000)], 1
        ):
            writer.append(guest(float(second), stat(p50, p99)))
        writer.append(model.Action(t=Seconds(6.0), at=STARTED, what="window-end"))
        writer.append(guest(7.0, stat(9, 9)))
    return run


def test_touch_latency_is_that_of_seconds_in_which_memory_was_held(touched: RunDirectory) -> None:
    numbers = {(n.key, n.subject): n for n in measure(observe(touched), "records.ndjson")}
    assert numbers["touch-p50", "ns/it's"].value == 300.0
    assert numbers["touch-p99", "ns/it's"].value == 9000.0
    assert numbers["touch-p99", "ns/it's"].n == 5
    assert "10 touches over 1 ms" in numbers["touch-p99", "ns/it's"].note


TOOLS = pytest.mark.skipif(
    not all(map(shutil.which, ("jq", "awk", "sed", "sort", "numfmt", "zcat"))),
    reason="no jq, awk, sed, sort, numfmt or zcat on this machine",
)


def derived(command: str, at: Path) -> float:
    """What a command of a page prints."""
    done = subprocess.run(
        ["sh", "-c", command], cwd=at, capture_output=True, text=True, check=True, timeout=50
    )
    return float(done.stdout)


def wrong(run: Path) -> list[tuple[str, str, float, float | None]]:
    """Numbers of a run that their commands do not give: key, subject, what came out, what is shown."""
    directory = RunDirectory.open(run)
    records = directory.records_path.name
    return [
        (n.key, n.subject, found, n.value)
        for n in measure(observe(directory), records)
        if n.derive and (found := derived(n.derive, run)) != pytest.approx(n.value, rel=1e-5, abs=6e-4)
    ]


DATA = ROOT / "reports" / "data"
PUBLISHED = sorted(file.parent for file in DATA.glob("**/run.json"))
SAMPLES = {
    "hard-eviction": {
        "asked",
        "fit",
        "survive",
        "sold",
        "sold-per-gib",
        "requested",
        "evictions",
        "oom-node",
    },
    "oom-race": {"asked", "fit", "sold", "requested", "oom-node", "oom-pod", "oom-guest", "start-p50"},
    "density-overcommit-overhead-ksm-swap": {"unplaced", "ksm-saved", "ksm-cpu", "swap-peak", "start-p95"},
}
"""Part of a published run's name → numbers that have a command there."""


@TOOLS
@pytest.mark.parametrize("name", SAMPLES)
def test_the_commands_of_published_runs_give_their_numbers(name: str) -> None:
    run = next(path for path in PUBLISHED if name in path.name)
    directory = RunDirectory.open(run)
    with_command = {n.key for n in measure(observe(directory), directory.records_path.name) if n.derive}
    assert with_command >= SAMPLES[name]
    assert wrong(run) == []


@TOOLS
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_command_of_every_published_run_gives_its_number() -> None:
    assert [(run.name, found) for run in PUBLISHED for found in wrong(run)] == []


@TOOLS
@pytest.mark.parametrize("name", ["hard-eviction", "container-oom"])
def test_the_commands_of_recordings_give_their_numbers(name: str, tmp_path: Path) -> None:
    assert wrong(recorded(name, tmp_path).path) == []


@TOOLS
def test_the_commands_derive_the_same_numbers(touched: RunDirectory) -> None:
    numbers = [n for n in measure(observe(touched), "records.ndjson") if n.derive]
    numbers = [n for n in numbers if n.group == "touch"]
    assert len(numbers) == 4
    for item in numbers:
        done = subprocess.run(
            ["sh", "-c", item.derive],
            cwd=touched.path,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        assert float(done.stdout) == item.value, item.derive
    shown = subprocess.run(
        ["sh", "-c", proof_command([2, 3])],
        cwd=touched.path,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert shown.stdout.count('"line"') == 2


def test_a_proof_of_a_packed_recording_unpacks_it() -> None:
    command = proof_command([3, 1], "tests/recordings/a.ndjson.gz")
    assert command == "zcat tests/recordings/a.ndjson.gz | sed -n '1p;3p' | jq ."


def test_a_digest_says_what_matters_of_a_record() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"namespace": "ns", "name": "p"},
        "status": {
            "phase": "Failed",
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}],
            "containerStatuses": [
                {"name": "compute", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
            ],
        },
    }
    cited = digest(4, model.Watch(t=Seconds(1.5), at=STARTED, type="MODIFIED", object=pod))
    assert cited.text == (
        "MODIFIED Pod ns/p, phase Failed, DisruptionTarget=True TerminationByKubelet, compute ended 137 OOMKilled"
    )


def test_a_talkative_console_is_thinned_to_what_dates_a_death() -> None:
    def records() -> Iterator[tuple[int, model.Record]]:
        for n in range(1, 1001):
            yield n, guest(n / 1000, f"kernel says {n}", vmi="ns/a" if n % 2 else "ns/b")
        yield 1001, model.Action(t=Seconds(2.0), at=STARTED, what="step-start")
        yield 1002, guest(3.0, "x" * 100_000)
        yield 1003, guest(3.1, "[    9.9] reboot: Power down")

    kept = list(thinned(records()))
    assert [n for n, _ in kept] == [999, 1000, 1001, 1002, 1003]
    assert max(len(r.line) for _, r in kept if isinstance(r, model.Guest)) == 4096


def ksm(t: float, sharing: int, cpu: float) -> model.Sample:
    # As `local` samples it (harness/embedded/machine/linux/host.py).
    data = {"run": 1, "pages_sharing": sharing, "ksmdCpu": cpu}
    return model.Sample(t=Seconds(t), at=STARTED, source="ksm", node="", subject="host", data=data)


def test_what_ksm_saved_and_cost_is_told_of_the_samples_of_a_machine(tmp_path: Path) -> None:
    run = RunDirectory.create(
        tmp_path,
        model.Provenance(
            schema=1, run="merged", scenario={}, cluster="local", evidence="kernel", started=STARTED
        ),
    )
    with run.writer() as writer:
        for sample in (ksm(1.0, 0, 100.25), ksm(3.0, 2560, 100.75), ksm(5.0, 1280, 101.25)):
            writer.append(sample)
    numbers = {n.key: n for n in measure(observe(run), "records.ndjson")}
    assert numbers["ksm-saved"].value == 10485760
    assert numbers["ksm-cpu"].value == 0.25  # 1 s in 4 s


def numbers_of(run: Path) -> dict[str, Number]:
    return {n.key: n for n in measure(observe(RunDirectory.open(run)), "records.ndjson") if not n.subject}


def test_the_most_that_was_in_swap_is_of_the_nodes_and_there_only_where_some_was(tmp_path: Path) -> None:
    none = directories.write(tmp_path, [directories.cgroup(1, "/", 100, swap=0)], run="none")
    assert "swap-peak" not in numbers_of(none)
    some = directories.write(
        tmp_path,
        [directories.cgroup(t, "/", 100, swap=size << 20) for t, size in ((1, 0), (2, 30), (3, 12))],
        run="some",
    )
    assert (numbers_of(some)["swap-peak"].text, numbers_of(some)["swap-peak"].proof) == ("30 MiB", (2,))


def test_one_vmi_requests_what_its_pod_does_sidecars_that_stay_included(tmp_path: Path) -> None:
    def container(memory: str, **more: object) -> dict[str, object]:
        return {"name": "c", "resources": {"requests": {"memory": memory}}, **more}

    pod = directories.watch(
        0.5,
        "Pod",
        "a",
        metadata={
            "namespace": directories.NS,
            "name": "virt-launcher-a-abcde",
            "uid": "Pod-a",
            "annotations": {"kubevirt.io/domain": "a"},
        },
        spec={
            "containers": [container("289Mi")],
            "initContainers": [container("32Mi", restartPolicy="Always"), container("500Mi")],
        },
    )
    run = directories.write(
        tmp_path, [pod, directories.vmi(1, "a", "Running"), directories.cgroup(2, "/", 100)]
    )
    assert numbers_of(run)["requested"].text == "321 MiB"


def refused(t: float, name: str) -> Iterator[model.Record]:
    said = "0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    yield directories.vmi(t, name, "Pending")
    yield directories.watch(
        t,
        "Pod",
        name,
        metadata={
            "namespace": directories.NS,
            "name": f"virt-launcher-{name}-abcde",
            "uid": f"Pod-{name}",
            "annotations": {"kubevirt.io/domain": name},
        },
        spec={"containers": [{"name": "compute", "resources": {"requests": {"memory": "300Mi"}}}]},
        status={"phase": "Pending", "conditions": [condition]},
    )


def test_what_found_no_node_is_counted_and_is_no_death_and_has_no_lane(tmp_path: Path) -> None:
    def records() -> Iterator[model.Record]:
        yield from list(directories.fleet(2, taken=0))[:-1]
        yield from refused(25, "vm-2")
        yield directories.vmi(25.1, "vm-2", "Failed")
        gone = directories.vmi(25.2, "vm-2", "Failed")
        yield model.Watch(t=gone.t, at=gone.at, type="DELETED", object=gone.object)
        yield model.Action(t=Seconds(30), at=directories.STARTED, what="window-end")

    run = directories.write(tmp_path, records())
    view = write_reports(run)
    (number,) = [n for n in view.numbers if n.key == "unplaced"]
    assert (number.text, number.note) == ("1", "vm-2: Insufficient memory")
    assert [d.subject for d in view.deaths] == []
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "No lane, since no node had room for it: vm-2: Insufficient memory." in page
    picture = page.partition('aria-label="Timeline of the run"')[2].partition("</svg>")[0]
    assert ">vm-00001</text>" in picture
    assert "vm-2" not in picture


def test_what_waited_for_a_node_and_got_one_is_not_counted_so(tmp_path: Path) -> None:
    def records() -> Iterator[model.Record]:
        yield from refused(1, "vm-00000")
        *_, pod = refused(1, "vm-00000")
        assert isinstance(pod, model.Watch)
        pod.object["spec"] = {"nodeName": "target"}
        yield pod
        yield from directories.fleet(2, taken=0)

    view = write_reports(directories.write(tmp_path, records()))
    assert [n for n in view.numbers if n.key == "unplaced"] == []
