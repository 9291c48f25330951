"""Groups, regressions, the Pareto front and the forms of a comparison."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.report.compare.forms import render_csv, render_html, render_json, render_markdown, render_plain
from harness.report.compare.metrics import Observation, file_name
from harness.report.compare.pareto import points
from harness.report.compare.table import Comparison, tabulate_runs
from harness.report.compare.technique import technique
from harness.report.errors import ReportError
from harness.spec.loader import load_scenario
from harness.spec.model import HostSettings, KsmSettings
from harness.units import MIB
from tests.report.compare.planted import runs, study

ROAD = "suites/road/hard-eviction.yaml"


def alike(group: str, seed: int, sold: float) -> list[Observation]:
    return runs(group, seed=seed, means={"sold-per-gib": sold * MIB, "fit": 8.0}, counts={"evictions": 0.0})


def test_baseline_is_the_reference_and_comes_first() -> None:
    told = tabulate_runs([*alike("swap", 1, 600), *alike("baseline", 2, 600)], "technique")
    assert [g.name for g in told.groups] == ["baseline", "swap"]
    assert told.groups[0].reference
    with pytest.raises(ReportError, match="no group is named 'nothing'; there are baseline, swap"):
        tabulate_runs([*alike("swap", 1, 600), *alike("baseline", 2, 600)], "technique", to="nothing")
    with pytest.raises(ReportError, match="nothing to compare"):
        tabulate_runs([], "technique")


def against(now: float, then: float, *, n: int = 15) -> Comparison:
    def made(seed: int, sold: float) -> list[Observation]:
        return runs("ksm", seed=seed, n=n, means={"sold-per-gib": sold * MIB})

    return tabulate_runs(made(1, now), "technique", against=made(2, then))


def test_less_density_than_the_baseline_set_is_a_regression_and_more_is_none() -> None:
    (worse,) = against(500, 620).regressions
    assert (worse.group, worse.metric, worse.possible) == (
        "ksm",
        "guest memory sold per GiB of node",
        False,
    )
    assert against(620, 500).regressions == ()
    assert against(620, 620).regressions == ()


def test_too_few_runs_are_only_possibly_a_regression() -> None:
    (worse,) = against(400, 620, n=3).regressions
    assert worse.possible


def test_what_was_measured_in_no_run_has_no_column_and_in_some_runs_says_so() -> None:
    some = alike("baseline", 1, 600)
    for run in some[:4]:
        del run.values["fit"]
    told = tabulate_runs([*some, *alike("ksm", 2, 600)], "technique")
    assert [m.key for m in told.metrics] == ["fit", "sold-per-gib", "evictions"]
    assert told.groups[0].cells[0].text.endswith("n = 11, 4 not measured")


def test_mixed_evidence_scenarios_and_small_groups_are_cautioned() -> None:
    told = tabulate_runs(
        [
            *runs("baseline", means={"fit": 8.0}),
            *runs("swap", means={"fit": 8.0}, n=3, evidence="real", scenario="other"),
        ],
        "technique",
    )
    text = " | ".join(told.cautions)
    for words in ("kernel, real", "2 scenarios", "fewer than five runs: swap"):
        assert words in text, words


def test_runs_that_did_not_come_to_their_end_are_left_out_and_named() -> None:
    cut = runs("baseline", means={"fit": 1.0, "evictions": 9.0}, n=1, complete=False)
    told = tabulate_runs([*runs("baseline", cv=0.0, means={"fit": 8.0}, n=3), *cut], "technique")
    assert told.runs == 3
    assert [m.key for m in told.metrics] == ["fit"]
    assert told.groups[0].cells[0].text == "8, n = 3"
    assert f"left out: 1 run did not come to the end: {cut[0].run}" in told.cautions
    with pytest.raises(ReportError, match="none came to its end: " + cut[0].run):
        tabulate_runs(cut, "technique")


def test_the_front_is_what_nobody_beats() -> None:
    told = tabulate_runs(
        [
            *runs("baseline", cv=0.0, means={"fit": 10.0, "sold-per-gib": 600.0 * MIB, "evictions": 0.0}),
            *runs("good", cv=0.0, means={"fit": 10.0, "sold-per-gib": 900.0 * MIB, "evictions": 1.0}),
            *runs("beaten", cv=0.0, means={"fit": 10.0, "sold-per-gib": 800.0 * MIB, "evictions": 2.0}),
        ],
        "technique",
    )
    assert {p.name: (p.density, p.risk, p.front) for p in points(told)} == {
        "baseline": (600.0, 0.0, True),
        "good": (900.0, 10.0, True),
        "beaten": (800.0, 20.0, False),
    }


def test_every_form_has_the_same_numbers() -> None:
    told = tabulate_runs(study("baseline", "ksm", "ksm+swap"), "technique")
    forms = [render_html(told), render_markdown(told), render_plain(told)]
    for cell in told.groups[1].cells:
        for form in forms:
            assert " ".join(cell.text.split()[:2]) in " ".join(form.split()), cell
    data = json.loads(render_json(told))
    assert data["groups"][0]["name"] == "baseline"
    rows = list(csv.DictReader(io.StringIO(render_csv(told))))
    mean = next(r for r in rows if r["group"] == "ksm" and r["metric"] == "fit" and not r["run"])
    cell = next(g for g in data["groups"] if g["name"] == "ksm")["cells"][0]
    assert float(mean["mean"]) == cell["summary"]["mean"]


def test_forms_are_the_same_bytes_twice_and_whatever_the_order_of_runs() -> None:
    made = study("baseline", "ksm+swap")
    one, other = tabulate_runs(made, "technique"), tabulate_runs(made[::-1], "technique")
    assert render_html(one) == render_html(other)
    assert render_csv(one) == render_csv(other)


def test_a_hostile_group_name_stays_text() -> None:
    hostile = "<script>alert(1)</script>$\\frac{"
    told = tabulate_runs([*alike("baseline", 1, 600), *alike(hostile, 2, 600)], "technique")
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    Tags().feed(render_html(told))
    assert "script" not in tags
    assert "svg" in tags


def test_the_technique_of_a_scenario_is_read_from_it() -> None:
    scenario = load_scenario(Path(__file__).parents[3] / ROAD)
    assert technique(scenario) == "headless+overcommit-overhead+overcommit-guest"
    assert technique(replace(scenario, fleet=())) == "baseline"
    # the machine's own settings count, whoever KubeVirt's selector matches
    merging = replace(scenario, fleet=(), host=HostSettings(ksm=KsmSettings(run=1)))
    assert technique(merging) == "ksm"
    assert technique(replace(merging, host=HostSettings(ksm=KsmSettings(run=0)))) == "baseline"


def test_what_follows_from_the_requests_needs_no_test_but_two_runs_that_agree() -> None:
    def told(n: int, *, cv: float = 0.0) -> str:
        made = [
            *runs("baseline", n=n, cv=cv, means={"fit": 5.0}),
            *runs("headless", n=n, cv=cv, means={"fit": 6.0}),
        ]
        return tabulate_runs(made, "technique").groups[1].cells[0].said

    assert told(2) == "+20 %, follows from the requests: the same in every run of both"
    assert told(1) == "+20 %, uncertain: one run of each says nothing of chance; 5 each are needed"
    assert "uncertain: too few runs (2 and 2" in told(2, cv=0.1)


def test_of_several_settings_one_is_compared_and_the_others_are_named() -> None:
    made = [
        *(replace(run, settings=("load 50%",)) for run in alike("ksm", 1, 600)),
        *(replace(run, settings=("load 50%",)) for run in alike("swap", 1, 600)),
        *(replace(run, settings=("load 100%",)) for run in alike("ksm", 1, 900)),
        *(replace(run, settings=("load 100%",)) for run in alike("baseline", 2, 600)),
    ]
    told = tabulate_runs(made, "technique")
    assert {group.name: len(group.runs) for group in told.groups} == {"baseline": 15, "ksm": 15}
    assert (
        "the tables of single metrics are of load 100% alone, 30 of 60 runs; --where chooses another (load 50%)"
        in told.cautions
    )
    assert tabulate_runs(made, "technique", to="swap").groups[0].name == "swap"


def test_a_scenario_is_called_as_its_file_calls_it() -> None:
    path = Path("suites/study/density.yaml")
    made = load_scenario(path, matrix={"technique": "ksm+swap", "load": "90%"}, repeat=2)
    assert (made.name, file_name(made)) == ("density-ksm-swap-90-r2", "density")
    assert file_name(load_scenario(Path(ROAD))) == "hard-eviction"


def test_two_pictures_of_one_page_share_no_id_that_one_of_them_refers_to() -> None:
    html = render_html(tabulate_runs(study(n=2), "technique"))
    pictures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(pictures) == 2
    used = [set(re.findall(r'(?:url\(#|href="#)([^")]+)', picture)) for picture in pictures]
    assert used[0]
    assert used[1]
    assert used[0] & used[1] == set()


def test_pages_by_technique_say_what_the_techniques_are() -> None:
    told = tabulate_runs([*alike("baseline", 1, 600), *alike("headless+ksm", 2, 600)], "technique")
    assert (
        "`baseline`: KubeVirt untouched; `headless`: No graphics device; `ksm`: The kernel merges identical pages."
        in (render_markdown(told))
    )
    assert "<dt><code>headless</code></dt><dd>No graphics device</dd>" in render_html(
        tabulate_runs(study("baseline", "headless"), "technique")
    )
    assert "No graphics device" not in render_html(tabulate_runs(study("baseline", "headless"), "cluster"))
