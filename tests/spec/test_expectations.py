"""What lines under `promises:` and `requires:` become, and what is wrong with wrong ones: the kinds of techniques."""

from __future__ import annotations

import pytest

from harness.spec.checks import read_expectation
from harness.spec.errors import SpecError
from harness.spec.expectations import (
    Admission,
    Allocatable,
    Condition,
    Configz,
    Evicted,
    Expectation,
    HoldsBytes,
    Integrity,
    Ksm,
    OomScoreAdj,
    Ratio,
    Stall,
    Successor,
    Swap,
    Vnc,
)
from harness.spec.nodes import parse
from harness.spec.subjects import Subjects

SUBJECTS = Subjects(fleets={"hog": 2, "twin": 1}, steps=("fill", "free"), nodes=("target",))
MI = 1 << 20


def read(kind: str, text: str) -> Expectation:
    return read_expectation(kind, parse(text, "s.yaml"), SUBJECTS)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("admission", "{of: hog, allowed: true, warnings: 0}", Admission(of="hog", allowed=True, min_warnings=0, max_warnings=0)),
        ("admission", "{of: kubevirt, allowed: false, code: 422, message: must be}", Admission(of="kubevirt", allowed=False, code=422, message="must be")),
        ("admission", "{fleet: all, allowed: true, warnings: 1.., warning: deprecated}", Admission(of="all", allowed=True, warning="deprecated", min_warnings=1, max_warnings=1_000_000)),
        ("oom-score-adj", "{of: hog, min: -997, max: -997}", OomScoreAdj(of="hog", min=-997, max=-997)),
        ("oom-score-adj", "{of: hog, min: 3}", OomScoreAdj(of="hog", min=3, max=1000)),
        ("allocatable", "{memory: 1248Mi}", Allocatable(of="all", memory=1248 * MI)),  # type: ignore[arg-type]
        ("allocatable", "{node: target, capacity: 2Gi, tolerance: 1Mi}", Allocatable(of="target", capacity=2048 * MI, tolerance=MI)),  # type: ignore[arg-type]
        ("configz", "{evictionSoft: none, evictionHard: {memory.available: 100Mi}}", Configz(of="all", values={("evictionSoft",): None, ("evictionHard", "memory.available"): "100Mi"})),
        ("configz", "{node: target, failSwapOn: false, knows: [kubeReserved]}", Configz(of="target", values={("failSwapOn",): "false"}, knows=("kubeReserved",))),
        ("vnc", "{of: hog, status: 400, message: No graphics}", Vnc(of="hog", status=400, message="No graphics")),
        ("condition", "{of: hog, type: Ready, status: false}", Condition(of="hog", object="vmi", type="Ready", status="False")),
        ("condition", "{of: victim, object: node, type: MemoryPressure, status: 'True', ever: true, reason: X}", Condition(of="victim", object="node", type="MemoryPressure", status="True", reason="X", ever=True)),
        ("condition", "{of: all, object: pod, type: DisruptionTarget, status: absent}", Condition(of="all", object="pod", type="DisruptionTarget", status="absent")),
        ("successor", "{node: same, after: 30s}", Successor(of="victim", node="same", after=30.0)),  # type: ignore[arg-type]
        ("successor", "{of: hog, count: 0}", Successor(of="hog", min_count=0, max_count=0)),
        ("successor", "{of: hog, count: 2.., within: 90s, until: running, max-usage: 80%}", Successor(of="hog", min_count=2, within=90.0, until="running", max_usage=0.8)),  # type: ignore[arg-type]
        ("ratio", "{of: hog, to: twin, measure: request, how: saving, equals: 32Mi}", Ratio(of="hog", to="twin", measure="request", how="saving", min=32 * MI, max=32 * MI)),
        ("ratio", "{of: hog, measure: pss, max: 0.9}", Ratio(of="hog", to="control", measure="pss", max=0.9)),
        ("ratio", "{of: hog, measure: startup, how: saving, min: 500ms}", Ratio(of="hog", measure="startup", how="saving", min=0.5)),
        ("ratio", "{of: hog, to: guest, measure: request-before-overhead, min: 0.5, max: 1}", Ratio(of="hog", to="guest", measure="request-before-overhead", min=0.5, max=1.0)),
        ("stall", "{of: hog, max: 5ms}", Stall(of="hog", max=0.005)),  # type: ignore[arg-type]
        ("stall", "{of: hog, quantile: max, min-factor: 10, to: twin, during: fill}", Stall(of="hog", quantile="max", min_factor=10.0, to="twin", during="fill")),
        ("holds-bytes", "{of: hog, measure: held, at: 'step:fill', min: 130Mi, max: 130Mi}", HoldsBytes(of="hog", measure="held", at="step:fill", min=130 * MI, max=130 * MI)),  # type: ignore[arg-type]
        ("holds-bytes", "{of: hog, measure: usage, how: drop, since: 'step:fill', min: 80Mi}", HoldsBytes(of="hog", measure="usage", how="drop", since="step:fill", min=80 * MI)),  # type: ignore[arg-type]
        ("holds-bytes", "{of: victim, measure: usage, min-share: 85%}", HoldsBytes(of="victim", measure="usage", min_share=0.85)),
        ("ksm", "{run: 1, min-share: 90%}", Ksm(of="all", run=1, min_share=0.9)),
        ("ksm", "{of: hog, since: 'step:fill', at: end, min: 0, max: 5Mi, min-cpu: 0.01, min-cpu-factor: 1.1, knobs: file}", Ksm(of="hog", since="step:fill", min=0, max=5 * MI, min_cpu=0.01, min_cpu_factor=1.1, knobs="file")),  # type: ignore[arg-type]
        ("swap", "{min-peak: 50Mi, min-fall: 10%, pressure: false, max-limit: 0}", Swap(of="all", min_peak=50 * MI, min_fall=0.1, pressure=False, max_limit=0)),  # type: ignore[arg-type]
        ("integrity", "{of: victim, max-lost-synced: 0, min-lost-unsynced: 1}", Integrity(of="victim", max_lost_synced=0, min_lost_unsynced=1)),
    ],
)  # fmt: skip
def test_lines(kind: str, text: str, expected: Expectation) -> None:
    assert read(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("admission", "{of: hog}", "1:1: admission needs 'allowed'"),
        ("admission", "{of: kubevrit, allowed: true}", "1:6: no fleet named 'kubevrit' (did you mean 'kubevirt'?)"),
        ("admission", "{of: hog, allowed: true, warnings: few}", "1:36: 'few' is not a number of warnings such as 1, 1..2 or 1.."),
        ("admission", "{of: hog, allowed: true, code: 42}", "1:32: 42 is less than 100"),
        ("oom-score-adj", "{of: hog}", "1:1: oom-score-adj needs 'min' or 'max'"),
        ("oom-score-adj", "{of: hog, min: -1001}", "1:16: -1001 is less than -1000"),
        ("oom-score-adj", "{of: hog, min: 5, max: 3}", "1:16: min 5 is more than max 3"),
        ("allocatable", "{node: target}", "1:1: allocatable needs one of memory, capacity"),
        ("allocatable", "{node: tagret, memory: 1Gi}", "1:8: unknown node 'tagret'; one of target, all (did you mean 'target'?)"),
        ("configz", "{node: target}", "1:1: configz needs a field of KubeletConfiguration, or 'knows'"),
        ("configz", "{evictionHrad: none}", "1:2: unknown field 'evictionHrad' in KubeletConfiguration (did you mean 'evictionHard'?)"),
        ("configz", "{evictionHard: [1]}", "1:16: expected a value or none, not a list"),
        ("vnc", "{of: hog}", "1:1: vnc needs 'status'"),
        ("vnc", "{of: victim, status: 400}", "1:6: 'victim' cannot be meant by vnc; name a fleet"),
        ("condition", "{of: hog, type: Ready}", "1:1: condition needs 'status'"),
        ("condition", "{of: hog, type: Ready, status: Maybe}", "1:32: unknown status 'Maybe'; one of True, False, Unknown, absent"),
        ("condition", "{of: hog, object: vmis, type: Ready, status: true}", "1:19: unknown object 'vmis'; one of vmi, pod, vm, node (did you mean 'vmi'?)"),
        ("successor", "{node: here}", "1:8: unknown place 'here'; one of same, other, any (did you mean 'other'?)"),
        ("successor", "{count: 0, node: same}", "1:12: 'node' has no meaning for count 0: there is no successor"),
        ("successor", "{after: 9s, within: 5s}", "1:9: after 9s is later than within 5s"),
        ("successor", "{max-usage: 0.8}", "1:13: expected a share such as 90%, not '0.8' (did you mean '80%'?)"),
        ("ratio", "{of: hog, measure: pss}", "1:1: ratio needs 'min' or 'max'"),
        ("ratio", "{of: hog, measure: psss, min: 1}", "1:20: unknown measure 'psss'; one of request, request-before-overhead, limit, pod-request, overhead, usage, working-set, rss, pss, memtotal, held, startup, p50, p99, evictions, survivors (did you mean 'pss'?)"),
        ("ratio", "{of: hog, measure: pss, equals: 1, min: 1}", "1:36: 'min' beside 'equals'; give one or the other"),
        ("ratio", "{of: hog, to: hogg, measure: pss, min: 1}", "1:15: unknown fleet to compare with 'hogg'; one of control, guest, hog, twin (did you mean 'hog'?)"),
        ("ratio", "{of: hog, measure: pss, min: 90%}", "1:30: expected a number, not '90%'"),
        ("ratio", "{of: hog, measure: startup, how: saving, min: 5}", "1:47: '5' is not a duration (did you mean '5s'?)"),
        ("stall", "{of: hog}", "1:1: stall needs one of min, max, min-factor, max-factor"),
        ("stall", "{of: hog, max: 5ms, to: twin}", "1:21: 'to' has no meaning without min-factor or max-factor"),
        ("stall", "{of: hog, max: 5ms, during: fil}", "1:29: unknown step 'fil'; one of fill, free (did you mean 'fill'?)"),
        ("holds-bytes", "{of: hog, measure: usage}", "1:1: holds-bytes needs one of min, max, min-share, max-share"),
        ("holds-bytes", "{of: hog, measure: usage, since: start, min: 1}", "1:27: 'since' has no meaning for a value; how: growth or drop"),
        ("holds-bytes", "{of: hog, measure: usage, at: 'step:fil', min: 1}", "1:31: unknown moment 'step:fil'; one of start, end, step:fill, step:free (did you mean 'step:fill'?)"),
        ("holds-bytes", "{of: hog, measure: usage, min-share: 90%, max-share: 80%}", "1:38: min-share 0.9 is more than max-share 0.8"),
        ("ksm", "{of: hog}", "1:1: ksm needs one of run, min, max, min-share, max-share, min-cpu, max-cpu, min-cpu-factor, knobs"),
        ("ksm", "{run: 3}", "1:7: 3 is more than 2"),
        ("swap", "{pressure: no way}", "1:12: expected true or false, not 'no way'"),
        ("integrity", "{of: victim}", "1:1: integrity needs one of min-lost-synced, max-lost-synced, min-lost-unsynced, max-lost-unsynced"),
        ("integrity", "{of: victim, max-lost-synced: -1}", "1:31: -1 is less than 0"),
    ],
)  # fmt: skip
def test_mistakes(kind: str, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(kind, text)
    assert str(caught.value) == f"s.yaml:{message}"


@pytest.mark.parametrize(("kind", "most"), [("VirtualMachine", 1_000_000), ("VirtualMachineInstance", 2)])
def test_a_vm_may_die_more_than_once(kind: str, most: int) -> None:
    restarted = frozenset({"hog"} if kind == "VirtualMachine" else ())
    subjects = Subjects(fleets={"hog": 1, "calm": 1}, restarted=restarted)
    found = read_expectation("evicted", parse("{from: all, count: 1..}", "s.yaml"), subjects)
    assert isinstance(found, Evicted)
    assert (found.min_count, found.max_count) == (1, most)
    if restarted:
        twice = read_expectation("evicted", parse("{from: [hog], count: 2}", "s.yaml"), subjects)
        assert isinstance(twice, Evicted)
        assert (twice.min_count, twice.max_count) == (2, 2)
    else:
        with pytest.raises(SpecError, match="count 2 is more than the 1 VMI it may be of"):
            read_expectation("evicted", parse("{from: [hog], count: 2}", "s.yaml"), subjects)
