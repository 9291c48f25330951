"""The picture is drawn out of records alone: gaps stay gaps, and the same records give the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from harness.records import model
from harness.records.reading import Reading
from harness.report.picture import draw_timeline
from harness.report.timeline import GuestLane, Mark, Series, Timeline, natural, read_timeline, threshold_mib

RECORDINGS = Path(__file__).parent.parent / "recordings"


def provenance(**changes: object) -> model.Provenance:
    values: dict[str, object] = {
        "schema": 1,
        "run": "r",
        "scenario": {},
        "cluster": "kind",
        "evidence": "real",
        "started": "2026-01-01T00:00:00Z",
        "kubelet": {"real-worker": {"evictionHard": {"memory.available": "300Mi"}}},
    }
    return model.Provenance(**(values | changes))  # type: ignore[arg-type]


def recorded(name: str) -> Timeline:
    return read_timeline(provenance(), Reading(RECORDINGS / f"{name}.ndjson.gz"))


def test_a_recorded_eviction_is_drawn_with_its_marks() -> None:
    timeline = recorded("kind-1.36-kubevirt-hard-eviction-deaf")
    (node,) = timeline.nodes
    assert node.capacity == 2048.0
    assert node.thresholds == [("hard 300Mi", 300.0)]
    hog = next(g for g in timeline.guests if g.name == "default/hog-1")
    assert [m.label for m in hog.marks] == ["VMI Running", "Evicted", "power button", "pod Failed"]
    assert hog.held.top == 490.0
    svg = draw_timeline(timeline)
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    for words in ("node real-worker: memory.available", "hard 300Mi", "hog-1", "Evicted"):
        assert words in svg, words
    assert "#0" not in svg.replace("#000000", ""), "every placeholder colour became a variable"


def test_sigterm_and_what_the_guest_makes_of_it_are_marked_in_order() -> None:
    hog = next(g for g in recorded("kind-1.36-kubevirt-soft-eviction").guests if g.name == "default/hog-2")
    assert [m.label for m in hog.marks] == [
        "VMI Running", "Evicted", "SIGTERM", "power button", "guest off", "VMI Succeeded", "pod Succeeded",
    ]  # fmt: skip


def test_a_series_is_cut_where_nothing_was_sampled() -> None:
    series = Series(gap=2.5)
    for t in (0.0, 0.5, 1.0, 9.0, 9.5):
        series.add(t, 1.0)
    assert [len(s) for s in series.segments] == [3, 2]


def test_guests_are_in_the_order_of_their_numbers() -> None:
    assert sorted(["n/g-10", "n/g-2", "n/g", "n/a-3"], key=natural) == ["n/a-3", "n/g", "n/g-2", "n/g-10"]
    assert min(["g-" + "9" * 5000, "g-1"], key=natural) == "g-1"


def test_thresholds_are_read_as_configured() -> None:
    assert threshold_mib("300Mi", 2048.0) == 300.0
    assert threshold_mib("10%", 2048.0) == 204.8
    assert threshold_mib("10%", None) is None
    assert threshold_mib("lots", 2048.0) is None
    assert threshold_mib("0%", 2048.0) is None


def test_nothing_sampled_draws_nothing() -> None:
    assert draw_timeline(read_timeline(provenance(), [])) == ""


_DRAW = """
import hashlib, sys
from pathlib import Path
from harness.records import model
from harness.records.reading import Reading
from harness.report.picture import draw_timeline
from harness.report.timeline import read_timeline
provenance = model.Provenance(schema=1, run="r", scenario={}, cluster="kind", evidence="real", started="2026-01-01T00:00:00Z")
svg = draw_timeline(read_timeline(provenance, Reading(Path(sys.argv[1]))))
print(hashlib.sha256(svg.encode()).hexdigest())
"""


def test_the_same_records_give_the_same_bytes_whatever_hash_seed_zone_and_locale() -> None:
    recording = RECORDINGS / "kind-1.36-kubevirt-container-oom.ndjson.gz"
    digests = set()
    for seed, zone in (("1", "UTC"), ("77", "Asia/Kathmandu")):
        env = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [sys.executable, "-c", _DRAW, str(recording)],
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_labels_of_many_marks_are_broken_into_lines_and_kept_within_the_lane() -> None:
    words = (
        "Evicted",
        "SIGTERM",
        "gone",
        "power button",
        "guest off",
        "VMI Succeeded",
        "pod Failed",
        "VMI Running",
    )
    marks = [Mark(40.0 + index / 10, "phase", word, index) for index, word in enumerate(words)]
    held = Series(6.5, [[(0.0, 1.0), (80.0, 100.0)]])
    lane = GuestLane("d/a", held, Series(2.5), None, [*marks, Mark(50.0, "phase", "VMI Failed", 99)])
    root = ET.fromstring(draw_timeline(Timeline(nodes=[], guests=[lane], actions=[], end=80.0)))
    labels = {
        text: place
        for element in root.iter("{http://www.w3.org/2000/svg}text")
        if (text := element.text or "").startswith(("Evicted", "VMI", "pod"))
        and (
            place := re.findall(r"-?[0-9.]+", element.get("transform", ""))
            or [element.get("x"), element.get("y")]
        )
    }
    assert list(labels) == [
        "Evicted 40.0 · SIGTERM 40.1 · gone 40.2 · power button 40.3 · guest off 40.4",
        "VMI Succeeded 40.5 · pod Failed 40.6 · VMI Running 40.7",
        "VMI Failed 50.0",
    ]
    rows = [float(str(place[1])) for place in labels.values()]
    assert len({round(row) for row in rows}) >= 2, "two lines of one moment are not written over each other"
    assert all(float(str(place[0])) >= 0 for place in labels.values())
