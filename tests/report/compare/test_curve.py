"""Groups at several settings: the answer in words, the table, the picture, of made-up runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from harness.report.compare.curve import answers, curve
from harness.report.compare.forms import (
    curve_table,
    render_csv,
    render_html,
    render_json,
    render_markdown,
    render_plain,
)
from harness.report.compare.grid import draw_grid
from harness.report.compare.metrics import Observation
from harness.report.compare.table import tabulate_runs
from tests.report.compare.planted import runs


def at(load: str, group: str, *survive: float, fit: float = 11, **values: float) -> list[Observation]:
    """A run for each count of survivors; the others were evicted unless `values` say otherwise."""
    means = {"fit": fit, "touch-p50": 1000.0, "touch-p99": 4000.0, "oom-node": 0.0}
    return [
        replace(
            run,
            run=f"{run.run}-{load}-{index}",
            settings=(f"load {load}",),
            values={**run.values, "survive": left, "evictions": fit - left, **values},
        )
        for index, left in enumerate(survive)
        for run in runs(group, n=1, cv=0.0, means=means)
    ]


def whole() -> list[Observation]:
    return [
        *at("90%", "baseline", 5, 5, fit=5),
        *at("100%", "baseline", 5, fit=5),
        *at("25%", "baseline", 5, fit=5),
        *at("25%", "overhead", 11, 11),
        *at("90%", "overhead", 10, 8),
        *at("100%", "overhead", 9, evictions=0.0, **{"oom-node": 2.0}),
        *at("25%", "overhead+ksm", 11),
        *at("90%", "overhead+ksm", 11, 11, 11),
        *at("100%", "overhead+ksm", 11),
        *at("90%", "headless", 6, fit=6),
    ]


def test_the_answer_says_how_far_and_what_dies_first() -> None:
    assert answers(curve(whole(), "technique", "baseline")) == (
        "overhead+ksm: 11 fit, 2.2 times as many as baseline; all survive at load 25%, 90% and 100%.",
        (
            "overhead: 11 fit, 2.2 times as many as baseline; all survive up to load 25%; at load 90% 1 to 3 of 11 are lost "
            "(2 evicted by the kubelet, mean of 2 runs); at load 100% 2 of 11 are lost (2 OOM-killed by the node's kernel, one run)."
        ),
        "headless: 6 fit, 1.2 times as many as baseline; all survive at load 90%.",
        "baseline: 5 fit; all survive at load 25%, 90% and 100%.",
    )


def test_groups_of_one_fate_share_a_sentence_and_what_nobody_counted_says_nothing() -> None:
    same = [*at("90%", "baseline", 5, fit=5), *at("90%", "ksm", 5, fit=5), *at("90%", "swap", 4, fit=5)]
    assert answers(curve(same, "technique", "baseline")) == (
        "baseline, ksm: 5 fit; all survive at load 90%.",
        "swap: 5 fit; at load 90% 1 of 5 is lost (1 evicted by the kubelet, one run).",
    )
    plain = runs("baseline", means={"touch-p99": 4000.0})
    assert answers(curve(plain, "technique", "baseline")) == ()


def test_the_same_loss_at_several_loads_is_said_once() -> None:
    made = [run for load in ("25%", "50%", "75%") for run in at(load, "x", 10)] + at("90%", "x", 11)
    assert answers(curve(made, "technique", "baseline")) == (
        "x: 11 fit; at load 25%, 50% and 75% 1 of 11 is lost (1 evicted by the kubelet, one run); at load 90% all survive.",
    )
    assert answers(curve([replace(r, settings=()) for r in at("", "x", 9)], "technique", "x")) == (
        "x: 11 fit; 2 of 11 are lost (2 evicted by the kubelet, one run).",
    )


def test_a_loss_in_some_runs_only_is_said_so() -> None:
    assert answers(curve(at("90%", "x", 11, 10, 10), "technique", "x")) == (
        "x: 11 fit; at load 90% 1 of 11 is lost in 2 of 3 runs (0.67 evicted by the kubelet, mean of 3 runs).",
    )


def test_the_table_has_a_row_for_each_group_and_setting_in_the_order_of_their_numbers() -> None:
    head, *rows = curve_table(curve(whole(), "technique", "baseline"))
    assert head == ["technique", "setting", "runs", "fit", "survive", "evicted", "OOM-killed", "stall p50", "stall p99"]  # fmt: skip
    assert [row[:2] for row in rows] == [
        ["baseline", "load 25%"],
        ["baseline", "load 90%"],
        ["baseline", "load 100%"],
        ["overhead+ksm", "load 25%"],
        ["overhead+ksm", "load 90%"],
        ["overhead+ksm", "load 100%"],
        ["overhead", "load 25%"],
        ["overhead", "load 90%"],
        ["overhead", "load 100%"],
        ["headless", "load 90%"],
    ]
    assert rows[7][2:] == ["2", "11", "9 (8 … 10)", "2 (1 … 3)", "0", "1 µs", "4 µs"]
    assert rows[8][2:] == ["1", "11", "9", "0", "2 (node)", "1 µs", "4 µs"]


def test_the_picture_has_every_setting_and_says_where_no_run_was_made() -> None:
    told = curve(whole(), "technique", "baseline")
    svg = draw_grid(told)
    texts = re.findall(r">([^<>]+)</text>", svg)
    assert [t for t in texts if t.startswith("load ")] == ["load 25%", "load 90%", "load 100%"]
    assert texts.count("no run") == 2
    assert "9 of 11" in texts
    assert "fit, and are evicted or killed" in texts
    assert svg == draw_grid(told)
    assert draw_grid(curve(at("90%", "baseline", 5, fit=5), "technique", "baseline")) == ""


def test_many_settings_of_few_groups_change_places() -> None:
    made = [
        replace(run, group=load, settings=(f"technique t{index}",))
        for index in range(8)
        for load in ("25%", "100%")
        for run in at("", "x", 3, fit=4)
    ]
    told = curve(made, "load", "25%")
    assert told.settings == ("load 25%", "load 100%")
    assert told.by == "technique"
    assert [row.name for row in told.rows] == [f"t{index}" for index in range(8)]


def test_loads_at_one_technique_do_not_name_it() -> None:
    made = [
        replace(run, group=load, settings=("technique t",))
        for load, left in (("25%", 4), ("90%", 3))
        for run in at("", "x", left, fit=4)
    ]
    assert answers(curve(made, "load", "25%")) == (
        "25%: 4 fit; all survive.",
        "90%: 4 fit; 1 of 4 is lost (1 evicted by the kubelet, one run).",
    )


def test_every_form_of_a_comparison_has_the_answer_and_the_curve() -> None:
    told = tabulate_runs(whole(), "technique")
    for form in (render_html(told), render_markdown(told), render_plain(told)):
        assert "How far, and what dies first" in form
        assert "all survive at load 25%, 90% and 100%." in form
        assert "9 (8 … 10)" in form
    assert json.loads(render_json(told))["curve"]["settings"] == ["load 25%", "load 90%", "load 100%"]
    assert ",load 90%\n" in render_csv(told)


def test_what_is_the_same_in_every_run_needs_no_table() -> None:
    told = tabulate_runs(at("90%", "baseline", 5, 5, fit=5) + at("90%", "ksm", 5, fit=5), "technique")
    assert "OOM kills of the node: 0 in every run" in render_plain(told)
    assert "The same in every run: VMIs that fit 5" in render_html(told)
    assert '<h2 id="oom-node">' in render_html(told)
