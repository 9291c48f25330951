"""What a good scenario becomes: literals in, literals out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.spec.errors import SpecError
from harness.spec.expectations import (
    Evicted,
    Grace,
    GuestMemory,
    Oom,
    Phase,
    Qos,
    Request,
    Shutdown,
    Survives,
)
from harness.spec.loader import (
    control_of,
    load_from_source,
    load_scenario,
    source_for_run,
    source_from_run,
)
from harness.spec.model import Amount, Source, UntilAvailable, When

MANIFEST = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: any, annotations: {kubevirt.io/keep: "yes"}}
spec:
  domain: {devices: {disks: [{name: root}]}, resources: {limits: {memory: 1Gi}}}
"""
TEXT = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: all-of-it, title: Everything that can be said}
budget: 1m30s
observe: 0s
seed: 7
needs: [cgroup-write, kmsg]
kubevirtVersion: v1.9
nodes:
  - {name: a, memory: 1Gi, kubelet: {evictionHard: {memory.available: 10%}, evictionPressureTransitionPeriod: 1s}}
  - {name: b}
kubevirt: {developerConfiguration: {memoryOvercommit: "150"}}
fleet:
  - name: hogs
    manifest: m.yaml
    count: 2
    node: a
    deaf: true
    set:
      spec.domain.memory.guest: 512Mi
      spec.domain.devices.disks.root.disk: {bus: virtio}
      metadata.annotations.kubevirt\\.io/free-page-reporting-disabled: "true"
      spec.domain.resources.limits: null
  - {name: calm, manifest: {apiVersion: kubevirt.io/v1, kind: VirtualMachine, spec: {running: true}}}
workload:
  - {grow: {fleet: all, to: 50%, rate: 1M/s, pages: shared}}
  - {name: two, when: {step: done, after: 5s}, shrink: {fleet: hogs, to: 0}}
  - {when: {step: two, after: stats-refreshed, pressure: true}, grow: {fleet: hogs, until: {available: soft-threshold + 10Mi}}}
  - {when: {fleet: calm, is: Ready}, grow: {fleet: calm, until: {available: 200Mi}}}
  - {stop: {fleet: all}}
promises:
  - {claim: A-1, request: {of: hogs, compute: {requests: {v1.6-v1.8: 1024M, main: none}, limits: none}, guest-console-log: {limits: 60M}}}
  - {claim: A-2, qos: {of: all, pod: Burstable}}
requires:
  - guest-memory: {of: hogs, min: 1Mi, max: 2Mi}
  - evicted: {from: all, count: 1.., after: 1s, within: 15s, of: "step:two", order: [calm, hogs]}
  - survives: {fleet: calm}
  - grace: {of: victim, min: 500ms}
  - shutdown: {of: victim, clean: true}
  - oom: {from: hogs, scope: node, count: 0..1, before-eviction: true}
  - phase: {of: hogs, vmi: [Failed, Succeeded], pod: Failed}
control: {nodes.a.memory: 2Gi}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    file = tmp_path / "s.yaml"
    file.write_text(TEXT, encoding="utf-8")
    return file


def test_scalars_and_nodes(path: Path) -> None:
    scenario = load_scenario(path)
    assert (scenario.name, scenario.title) == ("all-of-it", "Everything that can be said")
    assert (scenario.budget, scenario.observe, scenario.seed) == (90.0, 0.0, 7)
    assert scenario.needs == ("cgroup-write", "kmsg")
    assert scenario.kubevirt_version == "v1.9"
    assert scenario.kubevirt == {"developerConfiguration": {"memoryOvercommit": "150"}}
    assert [node.memory for node in scenario.nodes] == [1073741824, None]
    assert scenario.node("a").kubelet == {
        "evictionHard": {"memory.available": "10%"},
        "evictionPressureTransitionPeriod": "1s",
    }


def test_defaults(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "apiVersion: density/v1\nkind: Scenario\nmetadata: {name: s, title: t}\n"
        "fleet: [{name: f, match: {names: [pod-1, pod-2]}}]\n",
        encoding="utf-8",
    )
    scenario = load_scenario(file)
    assert scenario.fleet[0].members == ("pod-1", "pod-2")
    assert scenario.fleet[0].manifest == {}
    assert (scenario.budget, scenario.observe, scenario.seed) == (None, 30.0, 1)
    assert (scenario.control, scenario.stated, scenario.checks, scenario.workload) == (None, None, (), ())
    assert control_of(scenario) is None


def test_fleets_have_their_settings_applied(path: Path) -> None:
    hogs, calm = load_scenario(path).fleet
    assert hogs.members == ("hogs-1", "hogs-2")
    assert calm.members == ("calm",)
    assert (hogs.node, hogs.deaf, calm.node, calm.deaf) == ("a", True, None, False)
    assert hogs.manifest == {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": "any",
            "annotations": {"kubevirt.io/keep": "yes", "kubevirt.io/free-page-reporting-disabled": "true"},
        },
        "spec": {
            "domain": {
                "devices": {"disks": [{"name": "root", "disk": {"bus": "virtio"}}]},
                "resources": {},
                "memory": {"guest": "512Mi"},
            }
        },
    }


def test_workload(path: Path) -> None:
    first, two, third, fourth, stop = load_scenario(path).workload
    assert (first.name, first.verb, first.fleets) == ("grow-1", "grow", ("hogs", "calm"))
    assert (first.to, first.rate, first.pages, first.line) == (Amount(share=0.5), 1_000_000, "shared", 26)
    assert first.when == When(fleet="all", fleet_is="Ready")
    assert two.when == When(step="", after=5.0)  # type: ignore[arg-type]
    assert two.to == Amount(bytes=0)  # type: ignore[arg-type]
    assert third.when == When(step="two", stats_refreshed=True, pressure=True)
    assert third.until == UntilAvailable(threshold="soft", offset=10485760)
    assert fourth.until == UntilAvailable(bytes=209715200)  # type: ignore[arg-type]
    assert fourth.rate is None
    assert (stop.name, stop.when) == ("stop-5", When(step=""))


def test_checks(path: Path) -> None:
    scenario = load_scenario(path)
    assert [check.id for check in scenario.checks] == [
        "promises/0", "promises/1", *(f"requires/{n}" for n in range(7)),
    ]  # fmt: skip
    assert [check.claim for check in scenario.promises] == ["A-1", "A-2"]
    assert scenario.promises[1].text == "{claim: A-2, qos: {of: all, pod: Burstable}}"
    assert scenario.promises[1].line == 33
    assert [check.expectation for check in scenario.checks] == [
        Request(
            of="hogs",
            requests={"compute": {"v1.6": 1024000000, "v1.7": 1024000000, "v1.8": 1024000000, "main": None}},  # type: ignore[dict-item]
            limits={"compute": {"*": None}, "guest-console-log": {"*": 60000000}},  # type: ignore[dict-item]
        ),
        Qos(of="all", pod="Burstable"),
        GuestMemory(of="hogs", min=1048576, max=2097152),  # type: ignore[arg-type]
        Evicted(
            fleets=("hogs", "calm"),
            min_count=1,
            max_count=1_000_000,  # calm is of VMs: they are started again
            after=1.0,  # type: ignore[arg-type]
            within=15.0,  # type: ignore[arg-type]
            since="step:two",
            order=("calm", "hogs"),
        ),
        Survives(of="calm"),
        Grace(of="victim", min=0.5),  # type: ignore[arg-type]
        Shutdown(of="victim", clean=True),
        Oom(fleets=("hogs",), scope="node", min_count=0, max_count=1, before_eviction=True),
        Phase(of="hogs", vmi=("Failed", "Succeeded"), pod=("Failed",)),
    ]


def test_a_run_can_be_loaded_again_without_the_disk(path: Path) -> None:
    scenario = load_scenario(path, overrides=("nodes.a.memory=3Gi",))
    path.unlink()
    path.with_name("m.yaml").unlink()
    kept = source_for_run(scenario.source)
    assert kept["set"] == ["nodes.a.memory=3Gi"]
    assert kept["files"] == {"m.yaml": MANIFEST}
    assert load_from_source(source_from_run(kept)) == scenario


def test_a_run_without_its_manifest_says_so(path: Path) -> None:
    source = dataclasses.replace(load_scenario(path).source, files={})
    with pytest.raises(SpecError, match=r"s\.yaml:15:15: the run does not hold 'm\.yaml'$"):
        load_from_source(source)


def test_the_control_changes_the_cause_and_asks_that_everybody_lives(path: Path) -> None:
    scenario = load_scenario(path, overrides=("nodes.a.memory=512Mi",))
    control = control_of(scenario)
    assert control is not None
    assert [node.memory for node in control.nodes] == [2147483648, None]
    assert control.control is None
    assert [(check.claim, check.expectation) for check in control.checks] == [(None, Survives(of="all"))]
    assert control.workload == scenario.workload
    assert load_from_source(control.source) == control


def test_a_control_may_ask_for_something_else(path: Path) -> None:
    override = "control={nodes.a.memory: 2Gi, requires: [{evicted: {from: all, count: 0}}]}"
    control = control_of(load_scenario(path, overrides=(override,)))
    assert control is not None
    assert [check.kind for check in control.checks] == ["evicted"]


@pytest.mark.parametrize(
    "override",
    [
        "nodes.a.kubelet.evictionHard.memory.available=1Mi",
        r"nodes.a.kubelet.evictionHard.memory\.available=1Mi",
        "nodes.0.kubelet.evictionHard.memory.available=1Mi",
        "nodes[0].kubelet={evictionHard: {memory.available: 1Mi}, evictionPressureTransitionPeriod: 1s}",
    ],
)
def test_keys_with_dots_can_be_named(path: Path, override: str) -> None:
    assert load_scenario(path, overrides=(override,)).node("a").kubelet == {
        "evictionHard": {"memory.available": "1Mi"},
        "evictionPressureTransitionPeriod": "1s",
    }


def test_a_key_with_a_dot_can_be_made(path: Path) -> None:
    override = "nodes.b.kubelet.evictionHard.nodefs.available=5%"
    assert load_scenario(path, overrides=(override,)).node("b").kubelet == {
        "evictionHard": {"nodefs.available": "5%"}
    }


def test_overrides_reach_fleets_steps_and_the_control_by_name(path: Path) -> None:
    scenario = load_scenario(
        path,
        overrides=(
            "fleet.hogs.set.spec.domain.memory.guest=256Mi",
            "fleet.calm.set.spec.running=false",
            "workload.two.shrink.to=1Mi",
            "workload.grow-1.grow.rate=2Mi/s",
            "workload[3].grow.until.available=100Mi",
            "control.nodes.a.memory=4Gi",
            "budget=null",
        ),
    )
    assert scenario.fleet[0].manifest["spec"]["domain"]["memory"] == {"guest": "256Mi"}
    assert scenario.fleet[1].manifest["spec"] == {"running": False}
    assert scenario.workload[1].to == Amount(bytes=1048576)  # type: ignore[arg-type]
    assert scenario.workload[0].rate == 2097152
    assert scenario.workload[3].until == UntilAvailable(bytes=104857600)  # type: ignore[arg-type]
    assert scenario.control == {"nodes.a.memory": "4Gi"}
    assert scenario.budget is None


def test_stated(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "apiVersion: density/v1\nkind: Scenario\nmetadata: {name: s, title: t}\n"
        "fleet: [{name: f, match: {names: [x]}}]\n"
        "stated:\n  kubevirtColumn: main\n  window: {from: 5s, to: 1m}\n"
        "  kubelet: {evictionHard: {memory.available: 940Mi}}\n  actions: [{what: grow, target: x}]\n",
        encoding="utf-8",
    )
    stated = load_scenario(file).stated
    assert stated is not None
    assert stated.window == (5.0, 60.0)
    assert stated.kubevirt_column == "main"
    assert stated.kubelet == {"evictionHard": {"memory.available": "940Mi"}}
    assert stated.actions == ({"what": "grow", "target": "x"},)


def test_anchors_and_merge_keys_are_plain_yaml(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "apiVersion: density/v1\nkind: Scenario\nmetadata: {name: s, title: t}\n"
        "nodes:\n  - &n {name: a, memory: 1Gi}\n  - {<<: *n, name: b}\n"
        "fleet:\n  - {name: f, manifest: &m {apiVersion: kubevirt.io/v1, kind: VirtualMachine, spec: {a: 1}}, set: {spec.a: 2}}\n"
        "  - {name: g, manifest: *m}\n",
        encoding="utf-8",
    )
    scenario = load_scenario(file)
    assert [(node.name, node.memory) for node in scenario.nodes] == [("a", 1073741824), ("b", 1073741824)]
    # What one fleet sets does not reach the other through the alias.
    assert [fleet.manifest["spec"] for fleet in scenario.fleet] == [{"a": 2}, {"a": 1}]


def test_a_control_path_may_hold_an_equals_sign(path: Path) -> None:
    override = r"control={'fleet.calm.set.metadata.labels.a=b': c}"
    control = control_of(load_scenario(path, overrides=(override,)))
    assert control is not None
    assert control.fleet[1].manifest["metadata"] == {"labels": {"a=b": "c"}}


PIECES = st.sampled_from(
    ["{", "}", "[", "]", ": ", ", ", "- ", "&a ", "*a", "'", '"', "#", "\n", "  ", "null", "true", "1", "-1", "9" * 50, "%",
     "..", "<<: ", "? ", "---\n", "\t", "\\", "é", "\x00", "nan", ".inf", "!!set ", "!!binary aGk=", "@", "5%", "1Mi/s", "all"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 6), PIECES), min_size=1, max_size=4))
def test_whatever_is_written_is_loaded_or_explained_in_one_line(edits: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for at, cut, piece in edits:
        text = text[:at] + piece + text[at + cut :]
    try:
        scenario = load_from_source(Source(path="s.yaml", text=text, files={"m.yaml": MANIFEST}))
    except SpecError as error:
        said = str(error)
        assert said.isprintable()
    else:
        assert load_from_source(scenario.source) == scenario


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12), PIECES, st.sampled_from(["nodes.a.", "fleet.", "workload.two.", "control.", ""]))
def test_whatever_is_set_is_applied_or_explained_in_one_line(path: str, value: str, prefix: str) -> None:
    override = f"{prefix}{path}={value}"
    try:
        load_from_source(Source(path="s.yaml", text=TEXT, files={"m.yaml": MANIFEST}, overrides=(override,)))
    except SpecError as error:
        said = str(error)
        assert said.isprintable()
