"""What must come out of the suites: `suites/baseline.yaml`, cluster → claim → admissible findings.

`unless` beside `clusters` holds for every claim: a lack that lets nothing of a scenario be seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.resources import baseline_file
from harness.spec import read
from harness.spec.errors import closest
from harness.spec.files import read_text
from harness.spec.loader import CAPABILITIES, NODE_MEMORY, SETTINGS
from harness.spec.nodes import Fields, Items, Node, Scalar, kind_of, parse
from harness.spec.read import Reader

OUTCOMES: Final = ("holds", "differs", "refuted", "undecided", "not-observable", "error")
EXCUSES: Final = (*CAPABILITIES, NODE_MEMORY, *SETTINGS)
"""What `unless` may name: a scenario need not say that it needs nodes of their size, and the settings it asks for."""
CLUSTERS: Final = ("local", "kind", "kubeconfig", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Findings that must come out for one claim; `unless`: capability that is lacking → finding that then may."""

    finding: tuple[str, ...]
    unless: Mapping[str, str] = field(default_factory=dict)

    def admissible(self, capabilities: Mapping[str, str]) -> tuple[str, ...]:
        """Findings that may come out on a cluster with these capabilities (`yes`, or why not)."""
        excused = (outcome for name, outcome in self.unless.items() if capabilities.get(name, "yes") != "yes")
        return tuple(dict.fromkeys((*self.finding, *excused)))


Baseline = Mapping[str, Mapping[str, Expected]]
"""Cluster kind → claim → what is expected."""


def load_baseline(path: Path | None = None, *, claims: Collection[str] | None = None) -> Baseline:
    """The baseline of a file; None: the one that ships. `claims`: known ids (None: not checked). Raises SpecError."""
    path = baseline_file() if path is None else path
    return read_baseline(read_text(path, shown=str(path)), file=str(path), claims=claims)


def read_baseline(text: str, *, file: str, claims: Collection[str] | None = None) -> Baseline:
    """The baseline of a file's text. Raises SpecError."""
    reader = Reader(parse(text, file), "a baseline", ("apiVersion", "kind", "unless", "clusters"))
    read.choice(reader.need("apiVersion"), ("density/v1",), "apiVersion")
    read.choice(reader.need("kind"), ("Baseline",), "kind")
    unless = reader.read("unless", _unless) or {}
    clusters = Reader(reader.need("clusters"), "clusters", CLUSTERS)
    return {cluster: _cluster(node, claims, unless) for cluster, node in clusters.node.fields.items()}


def deviations(
    baseline: Baseline,
    *,
    cluster: str,
    promised: Collection[str],
    findings: Mapping[str, str],
    capabilities: Mapping[str, str],
) -> list[str]:
    """One line for each promised claim whose finding is not what the baseline says, in the order of the baseline.

    `promised`: claims of the scenarios that were run. `findings`: claim → the worst finding of those runs.
    """
    expectations = baseline.get(cluster, {})
    lines = [
        f"{claim}: no baseline for cluster {cluster}" for claim in sorted(set(promised) - expectations.keys())
    ]
    for claim, expected in expectations.items():
        if claim not in promised:
            continue
        admissible = expected.admissible(capabilities)
        found = findings.get(claim)
        if found is None:
            # Nothing came out: excused only where a lack of the machine is.
            if admissible == expected.finding:
                lines.append(f"{claim}: no finding, expected {' or '.join(admissible)}")
        elif found not in admissible:
            lines.append(f"{claim}: {found}, expected {' or '.join(admissible)}")
    return lines


def _cluster(
    node: Node, claims: Collection[str] | None, everywhere: Mapping[str, str]
) -> Mapping[str, Expected]:
    if not isinstance(node, Fields):
        raise node.mark.error(f"a cluster's baseline must be a mapping, not {kind_of(node)}")
    result: dict[str, Expected] = {}
    for claim, item in node.fields.items():
        if claims is not None and claim not in claims:
            raise node.marks[claim].error(f"unknown claim '{claim}'", suggestion=closest(claim, claims))
        reader = Reader(item, "an expected finding", ("finding", "unless"))
        findings = reader.need("finding")
        result[claim] = Expected(
            finding=tuple(
                read.choice(one, OUTCOMES, "finding")
                for one in (findings.items if isinstance(findings, Items) else [findings])
            ),
            unless={**everywhere, **(reader.read("unless", _unless) or {})},
        )
        if not result[claim].finding:
            raise findings.mark.error("no finding is named")
    return result


def _unless(node: Node) -> Mapping[str, str]:
    if not isinstance(node, Fields):
        raise node.mark.error(f"unless must be a mapping, not {kind_of(node)}")
    return {
        read.choice(Scalar(node.marks[name], name, name), EXCUSES, "capability"): read.choice(
            outcome, OUTCOMES, "finding"
        )
        for name, outcome in node.fields.items()
    }
