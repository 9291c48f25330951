"""Import: a recording, or a run directory from elsewhere, becomes a run of ours and can be judged.

Evidence is `real` for a recording of a cluster that no one here wrote. Anything that carries the marker of our
embedded API server is refused as `real`. What a scenario states of a recording (kubelet configuration, actions,
KubeVirt column) is kept apart from what was observed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.records.errors import BadRecording, RecordsError, WriteFailed
from harness.records.importing import Recording, sha256
from harness.records.model import SCHEMA_VERSION, Provenance
from harness.records.rundir import RunDirectory, run_id
from harness.rules.columns import observed_name
from harness.spec.model import Scenario

CLUSTER = "imported"
RECORDED = "recorded"
"""`cluster` of what `density record` made."""
CONTROL_FINDINGS = "control-findings.json"
"""What a run keeps of its control, so that it can be judged without it."""


class EvidenceRefused(RecordsError):
    """The recording can't be what it is said to be."""


def import_recording(recording: Path, scenario: Scenario, runs_root: Path) -> RunDirectory:
    """Make a run directory of a recording (plain or gzip) or of a run directory from elsewhere.

    Raises:
        EvidenceRefused: it comes from an embedded cluster and would pass as real.
        BadRecording: there are no records in it.
    """
    known: Provenance | None = None
    path = recording
    if recording.is_dir():
        foreign = RunDirectory.open(recording)
        known, path = foreign.provenance, foreign.records_path
    if not path.is_file():
        raise BadRecording(f"{path}: no such recording")
    survey = Recording(path)
    for _ in survey:
        pass
    if survey.embedded and (known is None or known.evidence == "real"):
        raise EvidenceRefused(
            f"{recording}: was served by our embedded cluster, so it is no evidence of a real one"
            + ("; import its run directory instead" if known is None else "")
        )
    run = RunDirectory.create(runs_root, _provenance(recording, path, scenario, survey, known))
    second = Recording(path)
    writer = run.writer()
    try:
        for record in second:
            writer.append(record)
        writer.close(complete=second.complete)
    finally:
        writer.close(complete=False)
    if known is not None:
        _bring_along(recording, run.path)
    return run


def _bring_along(source: Path, target: Path) -> None:
    """Copy what a run directory holds beside its records: artefacts, and what was found of its control."""
    try:
        if (source / "artefacts").is_dir():
            shutil.copytree(source / "artefacts", target / "artefacts", symlinks=True, dirs_exist_ok=True)
        if (source / CONTROL_FINDINGS).is_file():
            shutil.copyfile(source / CONTROL_FINDINGS, target / CONTROL_FINDINGS)
    except OSError as error:
        raise WriteFailed(f"{target}: {error}") from error


def _provenance(
    recording: Path, path: Path, scenario: Scenario, survey: Recording, known: Provenance | None
) -> Provenance:
    source = scenario.source
    kept = {
        "path": source.path,
        "text": source.text,
        "files": dict(source.files),
        "set": list(source.overrides),
    }
    imported: dict[str, Any] = {
        "recording": recording.name,
        "sha256": sha256(path),
        "stated": _stated(scenario),
    }
    if known is not None:
        imported["run"] = known.run
    started = known.started if known is not None else survey.started
    run = run_id(started=started, scenario=scenario.name, cluster=CLUSTER)
    outcome = "complete" if survey.complete else "interrupted"
    if known is not None and known.cluster != RECORDED:
        return msgspec.structs.replace(known, run=run, scenario=kept, imported=imported)
    column = scenario.stated.kubevirt_column if scenario.stated is not None else None
    return Provenance(
        schema=SCHEMA_VERSION,
        run=run,
        scenario=kept,
        cluster=CLUSTER,
        # What `density record` made is a recording like any other, but knows whether it saw one of our own clusters.
        evidence="real" if known is None else known.evidence,
        started=started,
        qualifiers={k: v for k, v in sorted({**survey.qualifiers, **_named(survey)}.items()) if v},
        versions={
            k: v
            for k, v in {"kubevirtColumn": column or observed_name(survey.kubevirt), **_named(survey)}.items()
            if v
        },
        kubelet=survey.kubelet,
        nodes=survey.nodes,
        seed=scenario.seed,
        imported=imported,
        outcome=outcome,
        reason="" if survey.complete else "the recording ends without its closing record",
        ended=survey.ended,
    )


def _named(survey: Recording) -> dict[str, str]:
    return {"kubernetes": survey.kubernetes, "kubevirt": survey.kubevirt}


def _stated(scenario: Scenario) -> dict[str, Any]:
    if scenario.stated is None:
        return {}
    stated = scenario.stated
    return {
        "kubelet": _plain(stated.kubelet),
        "actions": _plain(stated.actions),
        "kubevirtColumn": stated.kubevirt_column,
        "window": _plain(stated.window),
    }


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
