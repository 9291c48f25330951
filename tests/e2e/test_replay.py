"""A run directory is all there is: judged again anywhere it gives the same bytes, changed it gives others."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from tests.e2e import seen
from tests.e2e.driver import Done, Place, Ran

pytestmark = [pytest.mark.guest, pytest.mark.timeout(300)]

ELSEWHERE = [
    {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "4294967295"},
    {"TZ": "", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "77", "PYTHONUTF8": "0"},
]


def copy(run: Path, to: Path) -> Path:
    """Copy a run directory without what is derived from it."""
    derived = ("findings.json", "report.html", "report.md", "junit.xml")
    return Path(shutil.copytree(run, to, ignore=shutil.ignore_patterns(*derived)))


@pytest.mark.parametrize("environment", ELSEWHERE, ids=lambda e: e["TZ"] or "no TZ")
def test_the_same_bytes_elsewhere(no_threshold: Ran, here: Place, environment: dict[str, str]) -> None:
    again = copy(no_threshold.directory, here.root / "some where" / "else")
    done = here.start("replay", again, **environment).wait(within=60)
    assert done.code == 1, done
    for name in ("findings.json", "report.md", "junit.xml"):
        assert (again / name).read_bytes() == (no_threshold.directory / name).read_bytes(), name
    assert (again / "report.html").is_file()


def test_with_one_record_changed_the_finding_changes(no_threshold: Ran, here: Place) -> None:
    assert seen.findings(no_threshold.directory)["HARD-5"] == "refuted"  # nobody was evicted
    again = copy(no_threshold.directory, here.root / "flipped")
    path = again / "records.ndjson"
    lines = path.read_bytes().splitlines()
    last = max(
        number
        for number, record in enumerate(map(json.loads, lines))
        if record["stream"] == "watch"
        and record["type"] == "MODIFIED"
        and record["object"].get("kind") == "Pod"
        and seen.guest_of(record["object"]) == "small-request"
    )
    record = json.loads(lines[last])
    record["object"]["status"].setdefault("conditions", []).append(
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": "The node was low on resource: memory. Threshold quantity: 1Mi, available: 0.",
            "lastTransitionTime": record["at"][:19] + "Z",
        }
    )
    lines[last] = json.dumps(record, separators=(",", ":")).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    here.density("replay", again)
    assert seen.findings(again)["HARD-5"] == "holds"


def test_cut_anywhere_it_is_judged_as_far_as_it_goes_and_said_to_be_incomplete(
    no_threshold: Ran, here: Place
) -> None:
    whole = (no_threshold.directory / "records.ndjson").read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    lots = random.Random(0)
    for size in (0, 1, last, last + 5, *(lots.randrange(len(whole)) for _ in range(4))):
        again = copy(no_threshold.directory, here.root / f"cut-{size}")
        (again / "records.ndjson").write_bytes(whole[:size])
        done = here.density("replay", again)
        assert done.code == 1, done
        assert "incomplete" in done.out, f"cut at {size} of {len(whole)}\n{done}"
        assert "Traceback" not in done.err
        assert json.loads((again / "findings.json").read_bytes())["complete"] is False


def test_reports_are_written_anew_without_judging(no_threshold: Ran, here: Place) -> None:
    again = copy(no_threshold.directory, here.root / "copy")
    shutil.copy(no_threshold.directory / "findings.json", again)
    done: Done = here.density("report", again)
    assert done.code == 0, done
    assert (again / "report.md").read_bytes() == (no_threshold.directory / "report.md").read_bytes()
