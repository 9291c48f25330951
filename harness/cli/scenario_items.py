"""What the pytest plugin needs of the harness, imported when a scenario is collected."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from harness.cli import errors
from harness.cli.preflight import check
from harness.cli.progress import View
from harness.cli.run import Request, cluster_maker, run_interruptibly, settings_of
from harness.resources import claims_file
from harness.run.interrupt import Interrupted
from harness.run.verdict import Item, baseline_for, verdict
from harness.spec.claims import load_claims
from harness.spec.loader import load_scenarios
from harness.spec.model import Claim, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A scenario and the claims it promises."""

    scenario: Scenario
    claims: Mapping[str, Claim]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a scenario, for its items."""

    items: tuple[Item, ...] = ()
    directory: str = ""
    error: str = ""
    """Why there is nothing to judge."""
    interrupted: str = ""


def load_for_pytest(path: Path, overrides: tuple[str, ...], *, cluster: str = "") -> tuple[Loaded, ...]:
    """Load every scenario a file makes. Raises SpecError."""
    claims = _claims()
    found = load_scenarios(path, overrides=overrides, claims=claims, cluster=cluster)
    return tuple(Loaded(scenario=scenario, claims=claims) for scenario in found)


@cache
def _claims() -> Mapping[str, Claim]:
    return load_claims(claims_file())


def names(scenario: Scenario) -> tuple[str, ...]:
    """Names of the items of a scenario: claims as promised, then requirements."""
    claims = tuple(dict.fromkeys(check.claim for check in scenario.promises if check.claim))
    return claims + tuple(check.id for check in scenario.requires)


def run_for_pytest(loaded: Loaded, *, cluster: str, runs: Path) -> Outcome:
    """Run a scenario as `density run` would; errors become part of the outcome, so that nothing is run twice."""
    kernel = os.environ.get("DENSITY_GUEST_KERNEL", "")
    request = Request(
        paths=(),
        cluster=cluster,
        runs=runs,
        command=tuple(sys.argv),
        guest_kernel=Path(kernel) if kernel else None,
    )
    view = View(sys.stdout)
    try:
        cautions = check(loaded.scenario)
        for caution in cautions:
            view.step(f"preflight: {caution}")
        settings = settings_of(request, view, cautions=cautions)
        make_cluster = cluster_maker(request)
        if cluster == "kind":
            from harness.cli.kind_maker import tell  # noqa: PLC0415 - only they need it

            tell(view.step)
        result = asyncio.run(run_interruptibly(loaded.scenario, loaded.claims, make_cluster, settings))
    except Interrupted as error:
        return Outcome(interrupted=str(error))
    except Exception as error:  # noqa: BLE001 - told per item, so that the other scenarios still run
        return Outcome(error=errors.explain(error)[1])
    outcome = Outcome(directory=str(result.run.directory.path))
    for run in (result.run, result.control):
        if run is not None and run.outcome == "interrupted":
            outcome = replace(outcome, interrupted=run.reason)
        elif run is not None and run.outcome == "failed":
            outcome = replace(outcome, error=f"{run.outcome}: {run.reason}")
    try:
        provenance = result.run.directory.provenance
        judged = verdict(
            loaded.scenario, result.findings, provenance, baseline_for(loaded.scenario, provenance)
        )
        view.finished(result, judged)
    except Exception as error:  # noqa: BLE001 - as above
        return replace(outcome, error=outcome.error or errors.explain(error)[1])
    return replace(outcome, items=judged.items)
