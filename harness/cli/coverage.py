"""`density claims --coverage`: gathering what it is made of: promises of suites/, findings of runs and recordings."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.cli import errors
from harness.cli.compare_cmd import expanded
from harness.cli.site_data import kept, recorded
from harness.judge.judge import from_bytes
from harness.judge.model import Finding, Findings
from harness.judge.status import by_claim
from harness.records.rundir import FINDINGS_FILE, RunDirectory
from harness.report.coverage import Covered, Seen, cover, render_json, render_table, shortfalls
from harness.resources import REGISTRIES, data_dir
from harness.run.judging import judge_directory
from harness.spec.claims import load_claims
from harness.spec.loader import load_scenarios
from harness.spec.model import Claim
from harness.spec.unpromised import load_unpromised


def coverage_command(runs: Iterable[Path], *, form: str, root: Path) -> int:
    """Print the coverage; 0 when every testable claim is done, 1 when one is not.

    `runs`: run directories (or directories of them) to look at beside what `root`, a checkout, has committed.
    """
    covered = gather(expanded(runs, Path("runs")), root=root)
    sys.stdout.write(render_json(covered) if form == "json" else render_table(covered))
    return errors.NOT_SEEN if shortfalls(covered) else errors.OK


def gather(runs: Iterable[Path], *, root: Path) -> tuple[Covered, ...]:
    """Return the coverage of all claims. Raises SpecError, RecordsError, RunError."""
    suites = data_dir("suites")
    claims = load_claims(suites / "claims.yaml")
    seen: dict[str, list[Seen]] = {}
    known: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="density-coverage-") as scratch:
        for directory, findings in _judged(runs, root, Path(scratch), claims):
            if directory.id in known:
                continue
            known.add(directory.id)
            for claim, outcome in by_claim(findings.findings).items():
                seen.setdefault(claim, []).append(_seen(directory, findings, claim, outcome))
    unpromised = load_unpromised(suites / "unpromised.yaml", claims)
    return cover(claims, promises(suites, claims), seen, unpromised)


def promises(suites: Path, claims: Mapping[str, Claim]) -> dict[str, set[str]]:
    """Return claim → files of suites/ whose scenario promises it, as `suites/…`. Raises SpecError."""
    found: dict[str, set[str]] = {}
    for path in sorted(suites.rglob("*.yaml")):
        if path.name in REGISTRIES or "manifests" in path.relative_to(suites).parts:
            continue
        for scenario in load_scenarios(path, claims=claims):
            for check in scenario.promises:
                if check.claim:
                    found.setdefault(check.claim, set()).add(f"suites/{path.relative_to(suites)}")
    return found


def _judged(
    runs: Iterable[Path], root: Path, scratch: Path, claims: Mapping[str, Claim]
) -> Iterator[tuple[RunDirectory, Findings]]:
    """What the given runs were found to show, and what is committed, judged anew."""
    for path in runs:
        file = path / FINDINGS_FILE
        if not file.is_file():
            raise errors.UsageError(f"{path}: was not judged (density replay {path} does)")
        yield RunDirectory.open(path), from_bytes(file.read_bytes())
    for _, directory, _ in (*recorded(root, scratch, claims), *kept(root, scratch)):
        yield directory, judge_directory(directory, claims)


def _column(directory: RunDirectory) -> str:
    """The KubeVirt column of constants, as the site has it: stated for a recording, else observed."""
    known = directory.provenance
    stated = known.imported.get("stated") or {}
    return str(stated.get("kubevirtColumn") or known.versions.get("kubevirtColumn", ""))


def _seen(directory: RunDirectory, findings: Findings, claim: str, outcome: str) -> Seen:
    mine: list[Finding] = [f for f in findings.findings if f.claim == claim and f.outcome == outcome]
    known = directory.provenance
    because = "; ".join(findings.invalid_because)
    decided = outcome in {"holds", "differs", "refuted"}
    return Seen(
        run=directory.id,
        evidence=known.evidence,
        column=_column(directory),
        outcome=mine[0].outcome,
        why="" if decided else mine[0].reason or because or mine[0].seen,
    )
