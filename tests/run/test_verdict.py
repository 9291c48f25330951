from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.judge.model import Finding, Findings
from harness.records.model import Provenance
from harness.resources import data_dir
from harness.run.verdict import baseline_for, verdict
from harness.spec.baseline import Expected, load_baseline
from tests.run.scenarios import load

BODY = """
needs: [swap]
promises:
  - {claim: HARD-2a, grace: {of: victim, max: 0s}}
  - {claim: PRESS-1, evicted: {from: [hog], count: 1}}
  - {claim: PRESS-1, evicted: {from: [hog, calm], count: 1}}
requires:
  - survives: {fleet: calm}
"""
BASELINE = {
    "local": {
        "HARD-2a": Expected(finding=("differs",)),
        "PRESS-1": Expected(finding=("holds",), unless={"cgroup-write": "not-observable"}),
    }
}


def finding(check: str, outcome: str, claim: str = "") -> Finding:
    return Finding(check=check, kind="x", claim=claim, expected="e", seen="s", outcome=outcome)  # type: ignore[arg-type]


def results(
    tmp_path: Path, outcomes: list[str], *, baseline: Any = BASELINE, **capabilities: str
) -> dict[str, str]:
    scenario = load(tmp_path, BODY)
    claims = ["HARD-2a", "PRESS-1", "PRESS-1", ""]
    checks = ["promises/0", "promises/1", "promises/2", "requires/0"]
    findings = Findings(
        schema=1,
        run="r",
        complete=True,
        valid=True,
        findings=[finding(check, o, c) for check, o, c in zip(checks, outcomes, claims, strict=True)],
    )
    provenance = Provenance(
        schema=1,
        run="r",
        scenario={},
        cluster="local",
        evidence="kernel",
        started="",
        capabilities={k.replace("_", "-"): v for k, v in capabilities.items()},
    )
    return {item.name: item.result for item in verdict(scenario, findings, provenance, baseline).items}


@pytest.mark.parametrize(
    ("outcomes", "capabilities", "expected"),
    [
        (["differs", "holds", "holds", "holds"], {}, ("pass", "pass", "pass")),
        # what the page promises coming true is a deviation too, when the baseline says otherwise
        (["holds", "holds", "holds", "holds"], {}, ("fail", "pass", "pass")),
        # the worst of several checks of a claim counts
        (["differs", "holds", "refuted", "holds"], {}, ("pass", "fail", "pass")),
        (["differs", "not-observable", "not-observable", "holds"], {}, ("pass", "fail", "pass")),
        (
            ["differs", "not-observable", "not-observable", "holds"],
            {"cgroup_write": "read-only"},
            ("pass", "skip", "pass"),
        ),
        # another lack excuses nothing
        (["differs", "not-observable", "not-observable", "holds"], {"ksm": "no"}, ("pass", "fail", "pass")),
        (["differs", "holds", "holds", "undecided"], {}, ("pass", "pass", "fail")),
        (["differs", "holds", "holds", "not-observable"], {}, ("pass", "pass", "fail")),
        # what the scenario itself needs excuses its requirements
        (["differs", "holds", "holds", "not-observable"], {"swap": "no swap"}, ("pass", "pass", "skip")),
        # and nodes of their size are what every scenario needs
        (
            ["differs", "holds", "holds", "not-observable"],
            {"node_memory": "too small"},
            ("pass", "pass", "skip"),
        ),
        (["error", "holds", "holds", "holds"], {}, ("fail", "pass", "pass")),
    ],
)
def test_what_comes_out_is_held_against_the_baseline(
    tmp_path: Path, outcomes: list[str], capabilities: dict[str, str], expected: tuple[str, str, str]
) -> None:
    found = results(tmp_path, outcomes, **capabilities)
    assert (found["HARD-2a"], found["PRESS-1"], found["requires/0"]) == expected


def test_outside_suites_only_requirements_count(tmp_path: Path) -> None:
    assert results(tmp_path, ["refuted", "refuted", "refuted", "holds"], baseline=None) == {
        "HARD-2a": "pass",
        "PRESS-1": "pass",
        "requires/0": "pass",
    }
    assert results(tmp_path, ["holds", "holds", "holds", "refuted"], baseline=None)["requires/0"] == "fail"


def test_a_claim_without_a_baseline_fails(tmp_path: Path) -> None:
    assert (
        results(tmp_path, ["holds", "holds", "holds", "holds"], baseline={"local": {}})["PRESS-1"] == "fail"
    )


def test_the_baseline_is_for_our_runs_of_our_suites(tmp_path: Path) -> None:
    from harness.spec.loader import load_scenario  # noqa: PLC0415

    ours = load_scenario(data_dir("suites") / "road" / "hard-eviction.yaml")
    made = Provenance(schema=1, run="r", scenario={}, cluster="local", evidence="kernel", started="")
    imported = Provenance(
        schema=1,
        run="r",
        scenario={},
        cluster="imported",
        evidence="real",
        started="",
        imported={"recording": "x"},
    )
    assert baseline_for(ours, made) is not None
    assert baseline_for(ours, imported) is None
    assert baseline_for(load(tmp_path, BODY), made) is None


def test_a_failure_says_nothing_twice(tmp_path: Path) -> None:
    nobody = "nobody was evicted"
    findings = Findings(
        schema=1,
        run="r",
        complete=True,
        valid=True,
        findings=[
            Finding(
                check=check,
                kind="evicted",
                claim=claim,
                expected="e",
                seen=nobody,
                outcome="refuted",
                reason=nobody,
            )
            for check, claim in (("promises/1", "PRESS-1"), ("promises/2", "PRESS-1"), ("requires/0", ""))
        ],
    )
    provenance = Provenance(schema=1, run="r", scenario={}, cluster="local", evidence="kernel", started="")
    told = {
        item.name: item.text for item in verdict(load(tmp_path, BODY), findings, provenance, BASELINE).items
    }
    assert told["requires/0"] == f"refuted: e; seen: {nobody}"
    assert told["PRESS-1"].count(nobody) == 1


@pytest.mark.parametrize("capability", ["kubelet_settings", "kubevirt_settings", "node_memory"])
def test_what_a_cluster_that_is_not_ours_is_not_excuses_what_could_not_be_seen(
    tmp_path: Path, capability: str
) -> None:
    unseen = ["not-observable"] * 4
    assert results(tmp_path, unseen, **{capability: "it is as it is"})["requires/0"] == "skip"
    assert results(tmp_path, unseen, **{capability: "yes"})["requires/0"] == "fail"
    admissible = Expected(finding=("holds",), unless={capability.replace("_", "-"): "not-observable"})
    baseline = {"local": {"HARD-2a": admissible, "PRESS-1": admissible}}
    assert results(tmp_path, unseen, baseline=baseline, **{capability: "it is as it is"})["PRESS-1"] == "skip"


def test_the_baseline_that_ships_excuses_them_on_every_cluster() -> None:
    baseline = load_baseline()
    excuse = {"kubelet-settings": "no", "node-memory": "yes", "kubevirt-settings": "yes"}
    assert baseline["kubeconfig"]["OVH-1"].admissible(excuse) == ("holds", "not-observable")
    assert baseline["kubeconfig"]["OVH-1"].admissible({}) == ("holds",)
