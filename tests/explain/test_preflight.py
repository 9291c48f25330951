"""What speaks against a scenario before it starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.explain.forecast import race
from harness.explain.preflight import Caveat, Finding, Refusal, preflight
from harness.spec.loader import load_scenario, load_scenarios
from harness.units import Bytes

_MI = 1048576
_SUITES = Path(__file__).parents[2] / "suites"
_ROAD = sorted((_SUITES / "road").glob("*.yaml"))
_TOPICS = sorted(
    path
    for path in _SUITES.glob("*/*.yaml")
    if path.parent.name not in {"manifests", "recorded", "road", "study"}
)
_RECORDED = sorted((_SUITES / "recorded").glob("*.yaml"))


@pytest.mark.parametrize("path", _ROAD, ids=lambda path: path.stem)
@pytest.mark.parametrize("column", ["v1.6", "v1.9", "main"])
def test_the_roads_own_scenarios_have_no_refusal(path: Path, column: str) -> None:
    found = preflight(load_scenario(path), column=column)
    assert [finding for finding in found if isinstance(finding, Refusal)] == []


@pytest.mark.parametrize("path", _TOPICS, ids=lambda path: path.stem)
def test_the_topics_have_no_refusal(path: Path) -> None:
    for scenario in load_scenarios(path):
        found = preflight(scenario, column="main")
        assert [finding for finding in found if isinstance(finding, Refusal)] == []


@pytest.mark.parametrize("path", _RECORDED[:3], ids=lambda path: path.stem)
def test_recordings_have_no_preflight(path: Path) -> None:
    assert preflight(load_scenario(path), column="main") == []


def _vmi(
    guest: str = "512Mi", request: str | None = "64Mi", limit: str | None = None, **devices: Any
) -> dict[str, Any]:
    resources: dict[str, Any] = {"overcommitGuestOverhead": True} if request else {}
    if request:
        resources["requests"] = {"memory": request}
    if limit:
        resources["limits"] = {"memory": limit}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "x"},
        "spec": {
            "domain": {
                "devices": {"autoattachPodInterface": False, **devices},
                "memory": {"guest": guest},
                "resources": resources,
            }
        },
    }


_GROW: dict[str, Any] = {"to": "380Mi", "rate": "20Mi/s"}


def _findings(
    tmp_path: Path,
    *,
    fleets: dict[str, dict[str, Any]],
    memory: str = "1Gi",
    kubelet: dict[str, Any] | None = None,
    grow: dict[str, Any] | None = None,
    requires: list[dict[str, Any]] | None = None,
    idle: int | None = None,
    counts: dict[str, int] | None = None,
    host: dict[str, Any] | None = None,
    fill: bool = False,
    **more: Any,
) -> list[Finding]:
    scenario = {
        "apiVersion": "density/v1",
        "kind": "Scenario",
        "metadata": {"name": "s", "title": "T"},
        "nodes": [
            {
                "name": "target",
                "memory": memory,
                "kubelet": {"evictionHard": {"memory.available": "200Mi"}} if kubelet is None else kubelet,
            }
        ],
        "fleet": [
            {"name": name, "manifest": manifest, "count": (counts or {}).get(name, 1), "fill": fill}
            for name, manifest in fleets.items()
        ],
        "workload": [
            {
                "name": "ramp",
                "when": {"fleet": "all", "is": "Running"},
                "grow": {"fleet": "hog", **(_GROW if grow is None else grow), "pages": "unique"},
            }
        ],
        "requires": requires or [{"evicted": {"from": ["hog"], "count": 1}}],
        "host": host or {},
        **more,
    }
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    working_sets = None if idle is None else {"*": Bytes(idle * _MI)}
    return preflight(load_scenario(path), column="main", idle_working_set=working_sets)


def _ids(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(type(finding).__name__, finding.id) for finding in findings]


def test_a_good_scenario_passes(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        fleets={"hog": _vmi(), "calm": _vmi("128Mi", "192Mi")},
        memory="768Mi",
        grow={"to": "300Mi", "rate": "10Mi/s"},
    )
    assert found == []


def test_a_fleet_that_does_not_fit(tmp_path: Path) -> None:
    (found,) = _findings(tmp_path, fleets={"hog": _vmi("512Mi", None)}, memory="768Mi")
    assert isinstance(found, Refusal)
    # 512Mi + 288Mi + 35M = 833 MiB of 568 MiB
    assert found.text == (
        "hog does not fit on node target: Insufficient memory; its pod requests 833 MiB and 568 MiB of 568 MiB allocatable are left"
    )


def test_the_last_member_that_does_not_fit_is_named(tmp_path: Path) -> None:
    (found,) = _findings(tmp_path, fleets={"hog": _vmi("512Mi", "300Mi")}, counts={"hog": 3})
    assert found.id == "fit"
    assert found.text.startswith("hog-3 does not fit on node target: Insufficient memory")


def test_a_fleet_that_fills_ends_where_there_is_no_room_but_must_begin(tmp_path: Path) -> None:
    found = _findings(tmp_path, fleets={"hog": _vmi("512Mi", "300Mi")}, counts={"hog": 3}, fill=True)
    assert "fit" not in [f.id for f in found]
    (first,) = _findings(tmp_path, fleets={"hog": _vmi("512Mi", "2Gi")}, counts={"hog": 3}, fill=True)
    assert first.text.startswith("hog-1 does not fit on node target: Insufficient memory")


def test_a_workload_that_crosses_nothing(tmp_path: Path) -> None:
    (found,) = _findings(tmp_path, fleets={"hog": _vmi()}, memory="2Gi")
    assert _ids([found]) == [("Refusal", "no-crossing")]
    assert "above the threshold of 200 MiB: nothing is evicted" in found.text


def test_a_machine_that_merges_pages_is_not_forecast_with_certainty(tmp_path: Path) -> None:
    # Idle guests fill the node without KSM: it begins below the threshold, and crosses nothing.
    fleets, counts = {"hog": _vmi()}, {"hog": 6}
    (refused,) = _findings(tmp_path, fleets=fleets, counts=counts, memory="1Gi")
    assert _ids([refused]) == [("Refusal", "no-crossing")]
    assert re.fullmatch(
        "node target: its guests need [0-9]+ MiB more than it has before the workload begins, "
        "below the threshold of 200 MiB already: no step crosses it",
        refused.text,
    )
    some, *_ = _findings(tmp_path, fleets=fleets, counts=counts, memory="1250Mi")
    assert re.search("its guests leave 88 MiB before the workload begins, below the threshold", some.text)
    (told,) = _findings(tmp_path, fleets=fleets, counts=counts, memory="1Gi", host={"ksm": {"run": 1}})
    assert _ids([told]) == [("Caveat", "no-crossing")]
    assert "what KSM merges is not reckoned with" in told.text
    (stopped,) = _findings(tmp_path, fleets=fleets, counts=counts, memory="1Gi", host={"ksm": {"run": 0}})
    assert _ids([stopped]) == [("Refusal", "no-crossing")]


@pytest.mark.parametrize(
    ("ksm", "kubevirt", "told"),
    [
        ({"by": "kubevirt"}, {}, "KubeVirt's handler takes no node, since kubevirt.ksmConfiguration.nodeLabelSelector is not set"),
        ({"by": "kubevirt"}, {"ksmConfiguration": {}}, "KubeVirt's handler takes no node"),
        ({"by": "kubevirt"}, {"ksmConfiguration": {"nodeLabelSelector": {}}}, ""),
        ({"tuned": {}}, {}, "ksmtuned looks for the first time after 60 s (KSM_MONITOR_INTERVAL), and the scenario's budget is 50 s"),
        ({"tuned": {"KSM_MONITOR_INTERVAL": 49}}, {}, ""),
    ],
)  # fmt: skip
def test_who_would_never_start_ksm(
    tmp_path: Path, ksm: dict[str, Any], kubevirt: dict[str, Any], told: str
) -> None:
    found = _findings(tmp_path, fleets={"hog": _vmi()}, host={"ksm": ksm}, kubevirt=kubevirt, budget="50s")
    texts = [finding.text for finding in found if finding.id == "ksm"]
    assert [text[: len(told)] for text in texts] == ([told] if told else [])
    if texts:
        assert texts[0].endswith("it never starts KSM")
    # and what is merged is reckoned with as little as where it runs from the start
    assert all(isinstance(finding, Caveat) for finding in found)


def test_no_threshold_at_all(tmp_path: Path) -> None:
    found = _findings(tmp_path, fleets={"hog": _vmi()}, kubelet={"evictionHard": {"nodefs.available": "0%"}})
    assert ("Refusal", "no-threshold") in _ids(found)


def test_a_kubelet_that_would_not_start(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        fleets={"hog": _vmi("128Mi")},
        kubelet={"systemReserved": {"memory": "2Gi"}},
    )
    assert ("Refusal", "kubelet-config") in _ids(found)


def test_a_kubelet_that_fails_on_the_swap_the_machine_is_given(tmp_path: Path) -> None:
    limited = {
        "evictionHard": {"memory.available": "200Mi"},
        "memorySwap": {"swapBehavior": "LimitedSwap"},
    }
    swap = {"swap": {"kind": "file", "size": "1Gi"}}
    found = _findings(tmp_path, fleets={"hog": _vmi()}, kubelet=limited, host=swap)
    assert ("Refusal", "kubelet-config") in _ids(found)
    assert "set --fail-swap-on flag to false" in found[0].text
    for kubelet, host in ((limited | {"failSwapOn": False}, swap), (limited, {})):
        found = _findings(tmp_path, fleets={"hog": _vmi()}, kubelet=kubelet, host=host)
        assert ("Refusal", "kubelet-config") not in _ids(found)


def test_a_guest_that_never_exceeds_its_request(tmp_path: Path) -> None:
    """The trap: with KubeVirt's overhead requested too, a guest can't use more than its pod requests."""
    fleets = {"hog": _vmi("512Mi", None, autoattachGraphicsDevice=False), "calm": _vmi("128Mi", "64Mi")}
    found = _findings(
        tmp_path, fleets=fleets, memory="1280Mi", grow={"to": "370Mi", "rate": "10Mi/s"}, idle=400
    )
    caveat = next(finding for finding in found if finding.id == "victim")
    assert isinstance(caveat, Caveat)
    assert "the kubelet would evict calm before hog" in caveat.text
    assert "smaller request and overcommitGuestOverhead: true" in caveat.text


def test_the_lower_priority_goes_first_whatever_it_uses() -> None:
    path = _SUITES / "qos" / "priority-inverts.yaml"
    assert [one for one in preflight(load_scenario(path), column="main") if one.id == "victim"] == []
    without = load_scenario(path, overrides=("fleet.precious.set.spec.priorityClassName=null",))
    (caveat,) = [one for one in preflight(without, column="main") if one.id == "victim"]
    assert "the kubelet would evict precious before common" in caveat.text


def test_growth_too_fast_for_the_kubelet(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        fleets={"hog": _vmi("1100Mi")},
        memory="1Gi",
        grow={"to": "880Mi", "rate": "200Mi/s"},
        idle=170,
    )
    assert _ids(found) == [("Caveat", "race")]
    assert "200 MiB/s; the kernel is first with a chance of ~100% (hypothesis)" in found[0].text


def test_an_oom_that_cannot_happen(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        fleets={"hog": _vmi()},
        memory="2Gi",
        requires=[{"oom": {"from": ["hog"], "scope": "node", "count": 1}}],
    )
    assert _ids(found) == [("Refusal", "no-oom")]


def test_a_container_limit_in_the_way(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        fleets={"hog": _vmi("512Mi", "64Mi", "128Mi")},
        memory="768Mi",
        grow={"to": "370Mi", "rate": "20Mi/s"},
    )
    assert ("Caveat", "container-limit") in _ids(found)


def test_a_guest_too_small_for_its_task(tmp_path: Path) -> None:
    found = _findings(
        tmp_path, fleets={"hog": _vmi("256Mi")}, memory="512Mi", grow={"to": "240Mi", "rate": "20Mi/s"}
    )
    assert ("Caveat", "guest-oom") in _ids(found)
    # of ~171 MiB that are available it takes 90 %, 153
    taken, refused = (
        _findings(
            tmp_path,
            fleets={"hog": _vmi("256Mi")},
            memory="512Mi",
            grow={"to": f"{size}Mi", "rate": "20Mi/s"},
        )
        for size in (150, 160)
    )
    assert "guest-oom" not in {finding.id for finding in taken}
    assert "refuses more than 90% of it" in next(f.text for f in refused if f.id == "guest-oom")


def test_an_eviction_where_none_may_be(tmp_path: Path) -> None:
    found = _findings(
        tmp_path,
        fleets={"hog": _vmi("1Gi")},
        memory="1Gi",
        grow={"to": "800Mi", "rate": "10Mi/s"},
        requires=[{"evicted": {"from": "all", "count": 0}}],
    )
    assert ("Caveat", "crossing") in _ids(found)


def test_a_refused_manifest(tmp_path: Path) -> None:
    found = _findings(tmp_path, fleets={"hog": _vmi("512Mi", "512Mi", "256Mi")})
    assert found[0].id == "admission"
    assert "is greater than spec.domain.resources.limits.memory '256Mi'" in found[0].text


@pytest.mark.parametrize(
    ("headroom", "growth", "chance"),
    [
        (100, 7.69, 0.0),
        (100, 12.5, 0.5),
        (100, 34, 1.0),
        (1024, 79, 0.0),
        (1024, 128, 0.5),
        (1024, 342, 1.0),
        (100, 0, 0.0),
    ],
)
def test_the_race_as_in_the_facts(headroom: int, growth: float, chance: float) -> None:
    assert race(Bytes(headroom * _MI), Bytes(int(growth * _MI))) == pytest.approx(chance, abs=0.01)


@given(st.integers(0, 1 << 34), st.integers(0, 1 << 30), st.integers(1, 1 << 30))
def test_the_race_is_a_chance_and_monotone(headroom: int, growth: int, more: int) -> None:
    chance = race(Bytes(headroom), Bytes(growth))
    assert 0.0 <= chance <= 1.0
    assert race(Bytes(headroom), Bytes(growth + more)) >= chance
    assert race(Bytes(headroom + more), Bytes(growth)) <= chance
