"""What each technique makes of a manifest, the kubelet, KubeVirt and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.spec.errors import SpecError
from harness.spec.loader import load_scenario
from harness.spec.model import HostSettings, KsmSettings, Scenario, SwapSettings

MI = 1 << 20
MANIFEST = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: any, annotations: {kubevirt.io/free-page-reporting-disabled: "true", keep: "yes"}}
spec:
  domain:
    devices: {autoattachGraphicsDevice: false, logSerialConsole: false}
    memory: {guest: 512Mi}
    resources: {overcommitGuestOverhead: true, requests: {memory: 64Mi, cpu: 100m}}
"""
VM = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: any}
spec:
  runStrategy: Always
  template:
    spec: {domain: {devices: {logSerialConsole: false}, memory: {guest: 512Mi}}}
"""
TEXT = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: x, title: x}
needs: [kmsg]
technique: TECHNIQUE
nodes: [{name: a, kubelet: {evictionHard: {memory.available: 100Mi}}}, {name: b}]
fleet: [{name: hog, manifest: m.yaml}]
requires: [{survives: {fleet: hog}}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "vm.yaml").write_text(VM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(here: Path, technique: str, **changes: str) -> Scenario:
    text = TEXT.replace("TECHNIQUE", technique)
    for key, value in changes.items():
        text = (
            text.replace("fleet: [", f"{key}: {value}\nfleet: [")
            if key != "fleet"
            else text.replace("{name: hog, manifest: m.yaml}", value)
        )
    (here / "s.yaml").write_text(text, encoding="utf-8")
    return load_scenario("s.yaml")


def domain(scenario: Scenario) -> dict[str, Any]:
    found: dict[str, Any] = scenario.fleet[0].manifest["spec"]["domain"]
    return found


BASE: dict[str, Any] = {
    "devices": {},
    "memory": {"guest": "512Mi"},
    "resources": {"requests": {"cpu": "100m"}},
}


@pytest.mark.parametrize(
    ("technique", "changed"),
    [
        ("baseline", {}),
        ("headless", {"devices": {"autoattachGraphicsDevice": False}}),
        ("no-console-log", {"devices": {"logSerialConsole": False}}),
        (
            "overcommit-overhead",
            {"resources": {"requests": {"cpu": "100m"}, "overcommitGuestOverhead": True}},
        ),
        ("overcommit-guest", {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}),
        ("overcommit-percent", {}),
        ("ksm", {}),
        ("swap", {}),
        ("free-page-reporting", {"devices": {"autoattachMemBalloon": True}}),
        ("no-free-page-reporting", {}),
    ],
)
def test_manifests(here: Path, technique: str, changed: dict[str, Any]) -> None:
    scenario = load(here, technique)
    assert domain(scenario) == {**BASE, **changed}
    disabled = {"kubevirt.io/free-page-reporting-disabled": "true"}
    kept = {"keep": "yes", **(disabled if technique == "no-free-page-reporting" else {})}
    assert scenario.fleet[0].manifest["metadata"]["annotations"] == kept
    assert scenario.technique == technique


def test_ksm_and_swap(here: Path) -> None:
    scenario = load(here, "swap+ksm")
    assert scenario.technique == "ksm+swap"
    assert scenario.host == HostSettings(
        ksm=KsmSettings(run=1, pages_to_scan=1000, sleep_millisecs=20),
        swap=SwapSettings(kind="file", size=1024 * MI),  # type: ignore[arg-type]
    )
    assert scenario.kubevirt == {"ksmConfiguration": {"nodeLabelSelector": {}}}
    swap = {"failSwapOn": False, "memorySwap": {"swapBehavior": "LimitedSwap"}}
    assert [node.kubelet for node in scenario.nodes] == [
        {"evictionHard": {"memory.available": "100Mi"}, **swap},
        swap,
    ]
    assert scenario.needs == ("kmsg", "ksm", "swap")


def test_percent_is_kubevirt_s(here: Path) -> None:
    scenario = load(here, "overcommit-percent", kubevirt="{developerConfiguration: {useEmulation: true}}")
    assert scenario.kubevirt == {"developerConfiguration": {"useEmulation": True, "memoryOvercommit": 150}}


def test_the_fleet_s_own_settings_stand_above_what_all_have_in_common(here: Path) -> None:
    fleet = "{name: hog, manifest: m.yaml, set: {spec.domain.resources.requests.memory: 96Mi, spec.domain.memory.guest: 1Gi}}"
    scenario = load(here, "headless", fleet=fleet)
    assert domain(scenario)["resources"]["requests"]["memory"] == "96Mi"
    assert domain(scenario)["devices"] == {"autoattachGraphicsDevice": False}


def test_the_request_is_a_share_of_the_guest_the_fleet_asks_for(here: Path) -> None:
    fleet = "{name: hog, manifest: m.yaml, set: {spec.domain.memory.guest: 1001Mi}}"
    assert domain(load(here, "overcommit-guest", fleet=fleet))["resources"]["requests"]["memory"] == "500Mi"


def test_a_vm_is_changed_in_its_template(here: Path) -> None:
    scenario = load(here, "headless+overcommit-guest", fleet="{name: hog, manifest: vm.yaml}")
    manifest = scenario.fleet[0].manifest
    assert manifest["spec"]["template"]["spec"]["domain"] == {
        "devices": {"autoattachGraphicsDevice": False},
        "memory": {"guest": "512Mi"},
        "resources": {"requests": {"memory": "256Mi"}},
    }
    assert manifest["metadata"] == {"name": "any"}
    assert scenario.fleet[0].kind == "VirtualMachine"


def test_the_scenario_s_host_stands_above_the_technique_s(here: Path) -> None:
    scenario = load(here, "ksm+swap", host="{ksm: {pages_to_scan: 5000}, swap: {kind: zram}}")
    assert scenario.host == HostSettings(
        ksm=KsmSettings(run=1, pages_to_scan=5000, sleep_millisecs=20),
        swap=SwapSettings(kind="zram", size=1024 * MI),  # type: ignore[arg-type]
    )


def test_two_fleets_do_not_share_what_they_were_given(here: Path) -> None:
    fleet = (
        "{name: hog, manifest: m.yaml}, {name: calm, manifest: m.yaml, set: {spec.domain.devices.tpm: {}}}"
    )
    scenario = load(here, "headless", fleet=fleet)
    assert "tpm" not in domain(scenario)["devices"]


def test_knobs_are_written_before_ksmd_runs() -> None:
    every = KsmSettings(run=1, pages_to_scan=10, sleep_millisecs=0, smart_scan=False, advisor="none")
    assert list(every.files.items()) == [
        ("advisor_mode", "none"),
        ("smart_scan", "0"),
        ("pages_to_scan", "10"),
        ("sleep_millisecs", "0"),
        ("run", "1"),
    ]
    assert KsmSettings(run=0).files == {"run": "0"}


@pytest.mark.parametrize(
    ("technique", "changes", "message"),
    [
        ("baseline+ksm", {}, "s.yaml:5:12: 'baseline' is what the others are compared with; it can't be combined"),
        ("ksm+ksm", {}, "s.yaml:5:12: technique 'ksm' is named twice"),
        ("ksm,swap", {}, "s.yaml:5:12: unknown technique 'ksm,swap'; one of baseline, headless, overcommit-overhead, overcommit-guest, overcommit-percent, ksm, swap, no-console-log, free-page-reporting, no-free-page-reporting, or several joined by '+' (did you mean 'swap'?)"),
        ("overcommit-guest+overcommit-percent", {}, "s.yaml:5:12: 'overcommit-guest' can't be combined with 'overcommit-percent'"),
        ("free-page-reporting+no-free-page-reporting", {}, "s.yaml:5:12: 'free-page-reporting' can't be combined with 'no-free-page-reporting'"),
        ("headless", {"fleet": "{name: hog, manifest: m.yaml, set: {spec.domain.devices.autoattachGraphicsDevice: true}}"}, "s.yaml:7:91: technique 'headless' sets spec.domain.devices.autoattachGraphicsDevice to false, 'set' here to true"),
        ("overcommit-percent", {"kubevirt": "{developerConfiguration: {memoryOvercommit: 200}}"}, "s.yaml:7:37: technique 'overcommit-percent' sets memoryOvercommit to 150, the scenario to 200"),
        ("overcommit-guest", {"fleet": "{name: hog, manifest: m.yaml, set: {spec.domain.memory: null}}"}, "s.yaml:5:12: a share of the guest's memory needs spec.domain.memory.guest in the manifest"),
        ("ksm", {"host": "{ksm: {pages_to_scna: 5}}"}, "s.yaml:7:14: unknown key 'pages_to_scna' in host.ksm (did you mean 'pages_to_scan'?)"),
        ("ksm", {"host": "{ksm: {run: 3}}"}, "s.yaml:7:19: 3 is more than 2"),
        ("baseline", {"host": "{ksm: {advisor: scan-time, pages_to_scan: 5}}"}, "s.yaml:7:34: 'pages_to_scan' is the advisor's to set; leave one of them out"),
        ("baseline", {"host": "{swap: {kind: file}}"}, "s.yaml:7:14: host.swap needs 'size'"),
        ("baseline", {"host": "{swap: {size: 4Ki}}"}, "s.yaml:7:21: '4Ki' is less than 40960 bytes"),
        ("baseline", {"host": "{swap: {kind: disk, size: 1Gi}}"}, "s.yaml:7:21: unknown kind of swap 'disk'; one of file, zram"),
    ],
)  # fmt: skip
def test_mistakes(here: Path, technique: str, changes: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(here, technique, **changes)
    assert str(caught.value) == message
