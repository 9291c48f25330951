"""Every scenario can fail, for the right reason: its cause taken away, what it requires is not seen (suites/can-fail.yaml)."""

from __future__ import annotations

import json

import pytest

from harness.spec.loader import load_scenarios
from tests.e2e import seen
from tests.e2e.driver import Place
from tests.e2e.variants import Variant, controls, named, scenarios


def _id(variant: Variant) -> str:
    return variant.scenario.removesuffix(".yaml")


def test_every_scenario_has_a_way_to_fail() -> None:
    known = {variant.scenario for variant in (*named(), *controls())}
    assert sorted(set(scenarios()) - known) == []
    assert sorted({variant.scenario for variant in named()} - set(scenarios())) == []


@pytest.mark.parametrize("variant", named(), ids=_id)
def test_a_variant_changes_its_scenario_and_names_checks_of_it(variant: Variant) -> None:
    plain = load_scenarios(variant.path)[0]
    changed = load_scenarios(variant.path, overrides=variant.overrides)[0]
    assert (changed.nodes, changed.fleet, changed.workload, changed.host, changed.kubevirt) != (
        plain.nodes,
        plain.fleet,
        plain.workload,
        plain.host,
        plain.kubevirt,
    )
    assert variant.refutes
    names = {check.id for check in changed.requires} | {check.claim for check in changed.promises}
    assert set(variant.refutes) <= names


@pytest.mark.soak
@pytest.mark.guest
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("variant", [*named(), *controls()], ids=_id)
def test_without_its_cause_it_is_not_seen(here: Place, variant: Variant) -> None:
    sets = [word for change in variant.overrides for word in ("--set", change)]
    done = here.density("run", variant.path, "--no-control", "--no-preflight", *sets, within=500)
    assert here.run_directories(), done
    run = here.run_directories()[0]
    assert seen.provenance(run)["outcome"] == "complete", done
    assert done.code == 1, done
    assert here.left() == []
    judged = json.loads((run / "findings.json").read_bytes())["findings"]
    refuted = {name for one in judged if one["outcome"] in {"refuted", "differs"} for name in _names(one)}
    if variant.refutes:
        assert set(variant.refutes) <= refuted, done
    else:
        assert any(name.startswith("requires/") for name in refuted), done


def _names(finding: dict[str, str]) -> set[str]:
    return {finding["check"], finding.get("claim") or finding["check"]}
