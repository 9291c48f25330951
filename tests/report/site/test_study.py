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


def the_study(*loads: str) -> study.Study:
    chosen = [run for run in whole() if not loads or run.settings[0].removeprefix("load ") in loads]
    return study.Study(settings=study.settings(chosen), what="a node of 3584 MiB")


def test_each_setting_is_compared_for_itself_the_one_with_most_techniques_first() -> None:
    found = study.settings(whole())
    assert [(s.name, s.slug, len(s.comparison.groups)) for s in found] == [
        ("load 90%", "load-90", 3),
        ("load 50%", "load-50", 2),
        ("load 100%", "load-100", 1),
    ]
    assert not [c for s in found for c in s.comparison.cautions if "settings" in c]


def test_the_headline_has_the_reference_first_and_then_those_with_most_survivors() -> None:
    text = study.render_headline(the_study())
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert [re.split(r" *\| *", line)[1] for line in table] == [
        "technique", "baseline", "overcommit-overhead", "technique", "baseline", "overcommit-overhead", "ksm",
    ]  # fmt: skip
    assert re.split(r" *\| *", table[5].strip("| ")) == [
        "overcommit-overhead", "577 MiB", "11", "7", "803 MiB", "4", "1", "4 µs", "–", "2",
    ]  # fmt: skip
    assert "](reports/study/load-90.html)" in text
    # Loads in the order of their numbers, not of their letters.
    assert re.findall(r"\[(load \d+%)\]\(reports/study/load-\d+\.html\)", text) == [
        "load 50%",
        "load 90%",
        "load 100%",
    ]
    assert re.split(r" *\| *", table[2].strip("| ")) == ["overcommit-overhead", "11 of 11", "7 of 11", "–"]


def test_the_picture_stands_alone_with_colours_for_light_and_dark() -> None:
    svg = study.render_picture(the_study())
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in svg
    used = set(re.findall(r"var\((--[a-z-]+)\)", svg))
    defined = set(re.findall(r"(--[a-z-]+):", svg))
    assert used <= defined
    assert svg == study.render_picture(the_study())


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


def test_several_loads_have_a_page_together_and_one_load_has_none() -> None:
    found = study.pages(the_study())
    assert sorted(found) == [
        "reports/headline.md",
        "reports/headline.svg",
        "reports/study/index.html",
        "reports/study/load-100.html",
        "reports/study/load-50.html",
        "reports/study/load-90.html",
    ]
    page = found["reports/study/index.html"]
    assert (
        "overcommit-overhead: 11 fit, 2.2 times as many as baseline; all survive up to load 50%; at load 90%"
        in page
    )
    assert page.count('<a href="load-90.html">load 90%</a>') == 4, "a row of each technique, and the list"
    assert ">7 of 11</text>" in page
    assert '<a href="index.html">All loads</a>' in found["reports/study/load-50.html"]
    assert 'class="stack curve"' not in found["reports/study/load-50.html"]
    one = study.pages(the_study("90%"))
    assert sorted(one) == ["reports/headline.md", "reports/headline.svg", "reports/study/load-90.html"]
    assert '<a href="../index.html">All sentences</a>' in one["reports/study/load-90.html"]
    assert ">11 fit, 7 survive, p99 4 µs</text>" in one["reports/headline.svg"]


def test_the_headline_begins_with_how_far_and_what_dies_first() -> None:
    lines = study.render_headline(the_study()).splitlines()
    assert lines[0] == (
        "**How far, and what dies first?** On a node of 3584 MiB, then loaded to a share of each one's MemAvailable, "
        "a quarter of which is the same in all:"
    )
    assert lines[2] == (
        "- overcommit-overhead: 11 fit, 2.2 times as many as baseline; all survive up to load 50%; at load 90% 4 of 11 are lost "
        "(4 evicted by the kubelet; 1 OOM-killed by the node's kernel, mean of 2 runs)."
    )
