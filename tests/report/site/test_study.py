"""The published study and the README's headline, of made-up runs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from harness.report.compare.metrics import Observation
from harness.report.site import study
from harness.spec.loader import load_scenario
from harness.units import MIB
from tests.report.compare.planted import runs


def made(group: str, load: str, *, fit: float, survive: float, n: int = 2) -> list[Observation]:
    means = {
        "requested": 577 * MIB,
        "fit": fit,
        "survive": survive,
        "sold-per-gib": fit * 73 * MIB,
        "touch-p99": 4_000.0,
        "evictions": fit - survive,
        "oom-node": 1.0,
    }
    return [replace(run, settings=(f"load {load}",)) for run in runs(group, n=n, cv=0.0, means=means)]


def whole() -> list[Observation]:
    return [
        *made("baseline", "90%", fit=5, survive=5),
        *made("overcommit-overhead", "90%", fit=11, survive=7),
        *made("ksm", "90%", fit=5, survive=5),
        *made("baseline", "50%", fit=5, survive=5),
        *made("overcommit-overhead", "50%", fit=11, survive=11),
        *made("baseline", "100%", fit=5, survive=5),
    ]


def test_each_setting_is_compared_for_itself_the_one_with_most_techniques_first() -> None:
    found = study.settings(whole())
    assert [(s.name, s.slug, len(s.comparison.groups)) for s in found] == [
        ("load 90%", "load-90", 3),
        ("load 50%", "load-50", 2),
        ("load 100%", "load-100", 1),
    ]
    assert not [c for s in found for c in s.comparison.cautions if "settings" in c]


def test_the_headline_has_the_reference_first_and_then_those_with_most_survivors() -> None:
    text = study.render_headline(study.settings(whole()), what="a node of 3584 MiB")
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert [re.split(r" *\| *", line)[1] for line in table] == [
        "technique", "baseline", "overcommit-overhead", "ksm", "technique", "baseline", "overcommit-overhead",
    ]  # fmt: skip
    assert re.split(r" *\| *", table[2].strip("| ")) == [
        "overcommit-overhead", "577 MiB", "11", "7", "803 MiB", "4", "1", "4 µs", "–", "2",
    ]  # fmt: skip
    assert "](reports/study/load-90.html)" in text
    # Loads in the order of their numbers, not of their letters.
    assert re.findall(r"\[(load \d+%)\]\(reports/study/load-\d+\.html\)", text) == [
        "load 50%",
        "load 90%",
        "load 100%",
    ]
    assert re.split(r" *\| *", table[-1].strip("| ")) == ["overcommit-overhead", "11 of 11", "7 of 11", "–"]


def test_the_picture_stands_alone_with_colours_for_light_and_dark() -> None:
    svg = study.render_picture(study.settings(whole())[0].comparison)
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in svg
    used = set(re.findall(r"var\((--[a-z-]+)\)", svg))
    defined = set(re.findall(r"(--[a-z-]+):", svg))
    assert used <= defined
    assert svg == study.render_picture(study.settings(whole())[0].comparison)


def test_the_fragment_is_placed_between_its_markers_and_nowhere_else() -> None:
    readme = "a\n<!-- headline -->\nold\n<!-- /headline -->\nb\n"
    once = study.placed(readme, "new\n")
    assert once == "a\n<!-- headline -->\nnew\n<!-- /headline -->\nb\n"
    assert study.placed(once, "new\n") == once
    assert study.placed("no markers\n", "new\n") == "no markers\n"
    assert (
        study.placed("<!-- /headline --> <!-- headline -->", "new\n")
        == "<!-- /headline --> <!-- headline -->"
    )


def test_what_all_runs_have_in_common_is_said() -> None:
    scenario = load_scenario(
        Path("suites/study/density.yaml"), matrix={"technique": "baseline", "load": "90%"}, repeat=1
    )
    assert study.setup(scenario) == (
        "a node of 3584 MiB (hard eviction below 250Mi), filled with guests of 256Mi until the scheduler finds no room"
    )
