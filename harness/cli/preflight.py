"""What preflight says before anything starts: refusals end the command, caveats are told and the run goes on."""

from __future__ import annotations

from harness.cli import errors
from harness.explain.preflight import Refusal, preflight
from harness.spec.model import Scenario

DEFAULT_COLUMN = "main"
"""KubeVirt version an embedded cluster plays unless the scenario says another (cluster/embedded.py)."""


def check(scenario: Scenario) -> tuple[str, ...]:
    """Return the caveats of a scenario. Raises UsageError with all refusals."""
    if any(fleet.match for fleet in scenario.fleet):
        raise errors.UsageError(
            f"{scenario.source.path}: its fleet is in a recording; use: density import RECORDING --scenario "
            f"{scenario.source.path}"
        )
    found = preflight(scenario, column=scenario.kubevirt_version or DEFAULT_COLUMN)
    refusals = [finding.text for finding in found if isinstance(finding, Refusal)]
    if refusals:
        raise errors.UsageError(
            f"{scenario.source.path}: preflight: {'; '.join(refusals)} (--no-preflight runs it anyway)"
        )
    return tuple(finding.text for finding in found)
