"""What a scenario may ask of a run, carried out by fake guests: refusals, stagger, events, successors, holding."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
import yaml

from harness.records.model import Action, Guest, Note, Record, Watch
from harness.records.rundir import RunDirectory
from harness.run.interrupt import Interrupt
from harness.run.session import Result
from harness.run.settings import Silent
from tests.run.scenarios import HEAD, load
from tests.run.test_session import CROSS, Clusters, carry_out, state  # noqa: F401 - a fixture

ALIVE = "requires: [{survives: {fleet: calm}}]\n"


def records(result: Result) -> list[Record]:
    return [record for _, record in RunDirectory.open(result.run.directory.path).records()]


def actions(result: Result, *what: str) -> list[Action]:
    return [r for r in records(result) if isinstance(r, Action) and r.what in what]


def outcomes(result: Result) -> dict[str, str]:
    return {f.check: f.outcome for f in result.findings.findings}


async def test_who_finds_no_node_ends_the_run_at_once_in_the_schedulers_words(tmp_path: Path) -> None:
    scenario = load(tmp_path, CROSS, overrides=("fleet.hog.set.spec.domain.resources.requests.memory=3Gi",))
    began = asyncio.get_running_loop().time()
    result = await carry_out(scenario, tmp_path)
    assert result.run.outcome == "failed"
    assert "/hog is not scheduled: 0/1 nodes are available: 1 Insufficient memory" in result.run.reason
    assert asyncio.get_running_loop().time() - began < 20  # the deadline for hellos is 100


async def test_who_may_stay_without_a_node_is_not_waited_for(tmp_path: Path) -> None:
    body = """
    requires:
      - condition: {of: hog, object: pod, type: PodScheduled, status: "False", reason: Unschedulable}
    """
    scenario = load(tmp_path, body, overrides=("fleet.hog.set.spec.domain.resources.requests.memory=3Gi",))
    result = await carry_out(scenario, tmp_path)
    assert (result.run.outcome, outcomes(result)) == ("complete", {"requires/0": "holds"})


async def test_an_expected_refusal_is_what_was_to_be_seen(tmp_path: Path) -> None:
    body = """
    requires:
      - admission: {of: hog, allowed: false, code: 422}
      - admission: {of: calm, allowed: true}
      - survives: {fleet: calm}
    """
    scenario = load(tmp_path, body, overrides=("fleet.hog.set.spec.domain.resources.limits.memory=32Mi",))
    result = await carry_out(scenario, tmp_path)
    assert result.run.outcome == "complete"
    assert set(outcomes(result).values()) == {"holds"}
    answer = actions(result, "answer")[0]
    assert answer.target.endswith("/hog")
    assert "admission webhook" in answer.args["message"]


async def test_unknown_fields_are_taken_with_a_warning_where_a_fleet_says_so(tmp_path: Path) -> None:
    head = HEAD.replace(
        "{name: hog, manifest: agent.yaml}", "{name: hog, manifest: agent.yaml, validation: Warn}"
    )
    body = "requires: [{admission: {of: hog, allowed: true, warnings: 1, warning: unknown field}}]\n"
    (tmp_path / "agent.yaml").touch()
    scenario = load(tmp_path, body, head=head, overrides=("fleet.hog.set.spec.domain.colour=blue",))
    assert outcomes(await carry_out(scenario, tmp_path)) == {"requires/0": "holds"}


async def test_a_staggered_fleet_comes_one_by_one_beside_the_others(tmp_path: Path) -> None:
    head = HEAD.replace(
        "{name: hog, manifest: agent.yaml}", "{name: hog, manifest: agent.yaml, count: 3, stagger: 400ms}"
    )
    result = await carry_out(load(tmp_path, ALIVE, head=head), tmp_path)
    made = {a.target.rpartition("/")[2]: a.t for a in actions(result, "create")}
    assert list(made) == ["calm", "hog-1", "hog-2", "hog-3"]
    for earlier, later in itertools.pairwise([made["hog-1"], made["hog-2"], made["hog-3"]]):
        assert 0.35 <= later - earlier < 2.0


async def test_a_step_begins_when_something_happens_to_a_guest(tmp_path: Path) -> None:
    body = CROSS.replace(
        "requires:",
        "  - {name: after, when: {on: evicted, of: hog}, grow: {fleet: [calm], to: 10Mi}}\nrequires:",
    )
    result = await carry_out(load(tmp_path, body), tmp_path)
    assert [a.target for a in actions(result, "step-done")] == ["fill", "cross", "after"]
    assert result.run.held["after"]["calm"] == 10 << 20


async def test_a_step_on_what_does_not_happen_is_left_out(tmp_path: Path) -> None:
    body = (
        """
    workload:
      - {name: fill, when: {fleet: all, is: Running}, grow: {fleet: [hog], to: 50Mi}}
      - {name: after, when: {on: evicted}, grow: {fleet: [calm], to: 10Mi}}
      - {name: last, when: {step: after}, grow: {fleet: [calm], to: 20Mi}}
    """
        "requires: [{survives: {fleet: calm}}]\n"
    )
    result = await carry_out(load(tmp_path, body), tmp_path)
    assert result.run.outcome == "complete"
    assert [a.target for a in actions(result, "step-done")] == ["fill"]
    notes = [r.text for r in records(result) if isinstance(r, Note) and r.what == "not-triggered"]
    assert notes == [
        "step 'after': evicted of anyone did not come",
        "step 'last': step after done did not come",
    ]


VM = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: agent}
spec:
  runStrategy: Always
  template:
    spec:
      terminationGracePeriodSeconds: 30
      domain:
        devices: {autoattachGraphicsDevice: false}
        memory: {guest: 512Mi}
        resources: {overcommitGuestOverhead: true, requests: {memory: 64Mi}}
"""


async def test_a_vms_successor_is_seen_and_heard(tmp_path: Path) -> None:
    head = HEAD.replace("{name: hog, manifest: agent.yaml}", "{name: hog, manifest: vm.yaml}").replace(
        "observe: 1200ms", "observe: 5s"
    )
    (tmp_path / "vm.yaml").write_text(VM)
    body = CROSS.replace("requires:", "requires:\n  - successor: {of: victim, node: same, until: running}")
    # a node keeps its taint as long as its pressure condition, by default five minutes
    soon = "nodes.target.kubelet.evictionPressureTransitionPeriod=1s"
    result = await carry_out(load(tmp_path, body, head=head, overrides=(soon,)), tmp_path)
    assert result.run.outcome == "complete", result.run.reason
    assert {f.outcome for f in result.findings.findings} == {"holds"}, [
        (f.kind, f.outcome, f.seen, f.reason) for f in result.findings.findings
    ]
    logs = sorted(p.name for p in (result.run.directory.artefacts / "consoles").glob("hog*"))
    assert logs == ["hog-2.log", "hog.log"]
    hellos = [r for r in records(result) if isinstance(r, Guest) and "hello" in r.line and "hog" in r.vmi]
    evicted = next(a.t for a in actions(result, "workload-done"))
    assert hellos[0].t < evicted


class Curious(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.how: tuple[str, ...] = ()
        self.pods = 0

    async def hold(self, how: tuple[str, ...], released: asyncio.Event) -> None:
        self.how = how
        await asyncio.sleep(0.3)
        released.set()


async def test_a_run_is_held_on_an_eviction_with_everything_in_place(tmp_path: Path) -> None:
    looker = Curious()
    clusters = Clusters()
    body = CROSS + "control: {nodes.target.memory: 2Gi}\n"
    result = await carry_out(
        load(tmp_path, body), tmp_path, clusters=clusters, hold_on="evicted", holder=looker
    )
    assert result.run.outcome == "complete"
    assert result.run.was_held
    assert result.control is None
    directory = result.run.directory.path
    kubectl = f"kubectl --kubeconfig {directory}/kubeconfig.yaml"
    assert looker.how[0].startswith(f"{kubectl} -n density-")
    assert f"run directory: {directory}" in looker.how
    assert f"console: tail -f {directory}/artefacts/consoles/hog.log" in looker.how
    assert any(line.startswith("alive: ") and line.endswith("/calm") for line in looker.how)
    kubeconfig = directory / "kubeconfig.yaml"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(kubeconfig.read_text())["kind"] == "Config"
    what = [a.what for a in actions(result, "workload-done", "held", "window-end")]
    assert what == ["workload-done", "held", "window-end"]
    assert clusters.made[0].fake.nodes["target"].removed


async def test_nothing_to_hold_on_holds_nothing(tmp_path: Path) -> None:
    looker = Curious()
    result = await carry_out(load(tmp_path, ALIVE), tmp_path, hold_on="oom", holder=looker)
    assert (result.run.was_held, looker.how) == (False, ())


async def test_keep_holds_what_would_end_with_the_run(tmp_path: Path) -> None:
    looker = Curious()
    result = await carry_out(load(tmp_path, ALIVE), tmp_path, keep=True, holder=looker)
    assert result.run.was_held
    assert [a.what for a in actions(result, "window-end", "held")] == ["window-end", "held"]
    assert outcomes(result) == {"requires/0": "holds"}


async def test_ctrl_c_while_held_goes_on_to_the_end(tmp_path: Path) -> None:
    interrupt = Interrupt()

    class Pressing(Silent):
        def step(self, text: str) -> None:
            if text.startswith("held"):
                asyncio.get_running_loop().call_later(0.2, interrupt.request)

    result = await carry_out(
        load(tmp_path, ALIVE), tmp_path, keep=True, interrupt=interrupt, progress=Pressing()
    )
    assert (result.run.outcome, result.run.was_held, interrupt.level) == ("complete", True, 0)


async def test_what_preflight_said_is_on_record(tmp_path: Path) -> None:
    result = await carry_out(load(tmp_path, ALIVE), tmp_path, cautions=("hog may not cross the line",))
    notes = [r.text for r in records(result) if isinstance(r, Note) and r.what == "preflight"]
    assert notes == ["hog may not cross the line"]


async def test_host_settings_are_not_observable_where_there_is_no_machine(tmp_path: Path) -> None:
    scenario = load(tmp_path, ALIVE, head=HEAD.replace("observe:", "host: {ksm: {run: 1}}\nobserve:"))
    result = await carry_out(scenario, tmp_path)
    assert result.run.outcome == "not-observable"
    assert result.run.reason == "the machine under this cluster has no KSM or swap of its own"


async def test_a_refused_console_of_graphics_is_an_answer(tmp_path: Path) -> None:
    body = "requires: [{vnc: {of: hog, status: 400, message: No graphics devices are present.}}]\n"
    assert outcomes(await carry_out(load(tmp_path, body), tmp_path)) == {"requires/0": "holds"}


@pytest.mark.parametrize("asked", ["never", "twice"])
def test_a_pause_takes_one_request(asked: str) -> None:
    interrupt = Interrupt()
    with interrupt.pause() as released:
        if asked == "twice":
            interrupt.request()
            interrupt.request()
        assert released.is_set() == (asked == "twice")
    assert interrupt.level == (1 if asked == "twice" else 0)


FILLED = HEAD.replace(
    "{name: hog, manifest: agent.yaml}", "{name: hog, manifest: agent.yaml, count: 4, fill: true}"
)
FILL = """
workload:
  - {name: load, when: {fleet: hog, is: Ready}, grow: {fleet: hog, to: 20Mi}}
requires: [{survives: {fleet: hog}}]
"""


async def test_a_fleet_fills_until_the_scheduler_finds_no_node_and_the_surplus_is_taken_back(
    tmp_path: Path,
) -> None:
    # 1 GiB, 500 Mi of it kept from pods: 524 Mi. calm 256 + 33.4 (its console), so two hogs of 64 + 33.4 fit, not three.
    result = await carry_out(load(tmp_path, FILL, head=FILLED), tmp_path)
    assert result.run.outcome == "complete", result.run.reason
    assert [a.target.rpartition("/")[2] for a in actions(result, "create")] == [
        "calm",
        "hog-1",
        "hog-2",
        "hog-3",
    ]
    (over,) = actions(result, "fill-over")
    assert over.target.endswith("/hog-3")
    assert (over.args["fleet"], over.args["fitted"]) == ("hog", 2)
    assert over.args["why"].startswith("0/1 nodes are available: 1 Insufficient memory")
    assert outcomes(result) == {
        "requires/0": "holds"
    }  # of those that fitted; hog-3 and hog-4 never were to be
    assert set(result.run.held["load"]) == {"hog-1", "hog-2"}
    gone = [r for r in records(result) if isinstance(r, Watch) and r.type == "DELETED"]
    assert "hog-3" in {r.object["metadata"]["name"] for r in gone}


async def test_a_fleet_that_fills_may_come_to_its_count_first(tmp_path: Path) -> None:
    head = FILLED.replace("count: 4", "count: 2")
    result = await carry_out(load(tmp_path, FILL, head=head), tmp_path)
    (over,) = actions(result, "fill-over")
    assert (over.target, over.args) == ("", {"fleet": "hog", "fitted": 2, "why": "count"})
    assert outcomes(result) == {"requires/0": "holds"}
