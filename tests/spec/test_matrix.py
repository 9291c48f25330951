"""One file, several scenarios: their names, their values, and that each can be loaded again alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.errors import SpecError
from harness.spec.loader import (
    control_of,
    load_from_source,
    load_scenario,
    load_scenarios,
    source_for_run,
    source_from_run,
)
from harness.spec.matrix import fill, slug_of
from harness.spec.model import Scenario
from harness.spec.nodes import parse, plain

MI = 1 << 20
MANIFEST = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: any}
spec: {domain: {devices: {}, memory: {guest: 1Gi}}}
"""
TEXT = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: curve, title: A curve}
seed: 40
tier: full
repeats: 2
nodes: [{name: target, memory: 4Gi}]
matrix:
  guest: [256Mi, 512Mi]
  technique: [baseline, swap+ksm]
fleet: [{name: hog, manifest: m.yaml, set: {spec.domain.memory.guest: $(guest)}}]
workload: [{name: fill, grow: {fleet: hog, to: {per-cluster: {local: 130Mi, kind: 190Mi, default: 160Mi}}}}]
requires: [{survives: {fleet: hog}}]
control: {technique: headless, nodes.target.memory: 8Gi}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    return write(tmp_path, TEXT)


def write(directory: Path, text: str) -> Path:
    file = directory / "s.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def guests(scenarios: Iterable[Scenario]) -> list[str]:
    return [one.fleet[0].manifest["spec"]["domain"]["memory"]["guest"] for one in scenarios]


def test_every_combination_and_every_repeat_has_a_name(path: Path) -> None:
    found = load_scenarios(path)
    assert [one.name for one in found] == [
        "curve-256mi-baseline-r1",
        "curve-256mi-swap-ksm-r1",
        "curve-512mi-baseline-r1",
        "curve-512mi-swap-ksm-r1",
        "curve-256mi-baseline-r2",
        "curve-256mi-swap-ksm-r2",
        "curve-512mi-baseline-r2",
        "curve-512mi-swap-ksm-r2",
    ]
    assert guests(found) == ["256Mi", "256Mi", "512Mi", "512Mi"] * 2
    assert [one.seed for one in found] == [40] * 4 + [41] * 4
    assert [one.technique for one in found[:2]] == ["baseline", "ksm+swap"]
    assert found[1].title == "A curve (guest 256Mi, technique swap+ksm, repeat 1)"
    assert found[1].matrix == {"guest": "256Mi", "technique": "swap+ksm"}
    assert (found[1].repeat, found[1].tier) == (1, "full")


def test_a_run_keeps_what_makes_its_scenario_again(path: Path, tmp_path: Path) -> None:
    for scenario in load_scenarios(path, overrides=("nodes.target.memory=2Gi",), cluster="kind"):
        kept = json.loads(json.dumps(source_for_run(scenario.source)))
        (tmp_path / "m.yaml").unlink(missing_ok=True)
        again = load_from_source(source_from_run(kept))
        assert again == scenario
        assert again.nodes[0].memory == 2048 * MI


def test_presets_of_a_kept_run_are_those_it_was_made_with(path: Path) -> None:
    scenario = load_scenarios(path)[1]
    kept: dict[str, Any] = source_for_run(scenario.source)
    kept["techniques"] = kept["techniques"].replace("size: 1Gi", "size: 3Gi")
    again = load_from_source(source_from_run(kept))
    assert again.host.swap is not None
    assert again.host.swap.size == 3072 * MI


def test_without_any_of_it_a_run_keeps_what_it_always_kept(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    text = TEXT.replace("matrix:\n  guest: [256Mi, 512Mi]\n  technique: [baseline, swap+ksm]\n", "")
    scenario = load_scenario(write(tmp_path, text.replace("$(guest)", "1Gi")))
    assert set(source_for_run(scenario.source)) == {"path", "text", "files", "set"}
    assert (scenario.name, scenario.title, scenario.repeat, scenario.technique) == ("curve", "A curve", 0, "")


def test_one_of_them_by_its_values(path: Path) -> None:
    one = load_scenario(path, matrix={"technique": "baseline", "guest": "512Mi"}, repeat=2)
    assert one == next(s for s in load_scenarios(path) if s.name == "curve-512mi-baseline-r2")


def test_the_control_keeps_the_combination(path: Path) -> None:
    control = control_of(load_scenarios(path)[3])
    assert control is not None
    assert guests([control]) == ["512Mi"]
    assert control.technique == "headless"
    assert control.nodes[0].memory == 8192 * MI


@pytest.mark.parametrize(("cluster", "held"), [("", 130), ("local", 130), ("kind", 190), ("kubeconfig", 160)])
def test_values_for_one_kind_of_cluster(path: Path, cluster: str, held: int) -> None:
    for scenario in load_scenarios(path, cluster=cluster):
        to = scenario.workload[0].to
        assert to is not None
        assert to.bytes == held * MI


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (("matrix.guest=[128Mi]", "repeats=1"), ["curve-128mi-baseline", "curve-128mi-swap-ksm"]),
        (("matrix.technique=[headless]", "repeats=null"), ["curve-256mi-headless", "curve-512mi-headless"]),
        (("matrix.exclude=[{guest: 256Mi}]", "repeats=1"), ["curve-512mi-baseline", "curve-512mi-swap-ksm"]),
    ],
)
def test_which_there_are_can_be_set(path: Path, overrides: tuple[str, ...], names: list[str]) -> None:
    assert [one.name for one in load_scenarios(path, overrides=overrides)] == names
    assert [one.name for one in load_scenarios(path, overrides=overrides[:1], repeats=1)] == names


def test_axes_of_paths_and_of_named_values(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    matrix = """\
matrix:
  nodes.target.memory: {small: 1Gi, large: 2Gi}
  kubelet: {hard: {evictionHard: {memory.available: 100Mi}}, none: {}}
"""
    text = TEXT.replace("matrix:\n  guest: [256Mi, 512Mi]\n  technique: [baseline, swap+ksm]\n", matrix)
    text = text.replace("$(guest)", "1Gi").replace("memory: 4Gi}", "memory: 4Gi, kubelet: $(kubelet)}")
    found = load_scenarios(write(tmp_path, text), repeats=1)
    assert [one.name for one in found] == [
        "curve-small-hard",
        "curve-small-none",
        "curve-large-hard",
        "curve-large-none",
    ]
    assert [one.nodes[0].memory for one in found] == [1024 * MI, 1024 * MI, 2048 * MI, 2048 * MI]
    assert [bool(one.nodes[0].kubelet) for one in found] == [True, False, True, False]


PARTS = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: curve, title: A curve}
matrix:
  share: {few: {grown: [a], most: 1}, most: {grown: [a, b], most: 2}}
nodes: [{name: target, memory: 1Gi}]
fleet: [{name: a, manifest: m.yaml}, {name: b, manifest: m.yaml}]
workload: [{grow: {fleet: $(share.grown), to: 1Mi}}]
requires: [{evicted: {from: $(share.grown), count: $(share.most)}}]
"""


def test_a_case_that_differs_in_several_places(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST)
    few, most = load_scenarios(write(tmp_path, PARTS))
    assert [s.name for s in (few, most)] == ["curve-few", "curve-most"]
    assert [s.workload[0].fleets for s in (few, most)] == [("a",), ("a", "b")]
    assert [s.requires[0].text for s in (few, most)] == [
        "{evicted: {from: [a], count: 1}}",
        "{evicted: {from: [a, b], count: 2}}",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("$(share.grown), to", "$(share.grwon), to", "s.yaml:5:16: 'few' of axis 'share' has no 'grwon', which $(share.grwon) asks for (did you mean 'grown'?)"),
        ("most: {grown: [a, b], most: 2}", "most: 2", "s.yaml:5:45: 'most' of axis 'share' has no 'grown', which $(share.grown) asks for"),
    ],
)  # fmt: skip
def test_a_part_that_a_case_lacks(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in PARTS
    with pytest.raises(SpecError) as caught:
        load_scenarios(write(tmp_path, PARTS.replace(old, new, 1)))
    assert str(caught.value).replace(f"{tmp_path}/", "") == message


def test_placeholders_inside_text() -> None:
    tree = parse("{a: from $(x) to $(y), b: $$(x), c: $(z), d: [$(n)], $(x): 1}", "t")
    filled = fill(tree, {"x": parse("1Mi", "t"), "y": parse("2Mi", "t"), "n": parse("5", "t")})
    assert plain(filled) == {"a": "from 1Mi to 2Mi", "b": "$(x)", "c": "$(z)", "d": [5], "$(x)": 1}


@given(st.text(max_size=30))
def test_a_label_s_part_of_a_name_is_one(label: str) -> None:
    slug = slug_of(label)
    assert slug == slug_of(slug)
    assert all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in slug)
    assert not slug.startswith("-")
    assert not slug.endswith("-")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  guest: [256Mi, 512Mi]\n", "  guset: [256Mi, 512Mi]\n", "s.yaml:9:3: the values of 'guset' are used nowhere; write $(guset) where they belong (did you mean '$(guest)'?)"),
        ("[256Mi, 512Mi]", "[]", "s.yaml:9:10: axis 'guest' has no values"),
        ("[256Mi, 512Mi]", "[256Mi, 256mi]", "s.yaml:9:18: '256mi' and '256Mi' of axis 'guest' have the same name '256mi'"),
        ("[256Mi, 512Mi]", "[{a: 1}]", "s.yaml:9:11: a value that is a mapping needs a name: make the axis a mapping of names to values"),
        ("[256Mi, 512Mi]", "256Mi", "s.yaml:9:10: axis 'guest' must be a list, not '256Mi'"),
        ("swap+ksm]", "headles]", "s.yaml:10:25: unknown technique 'headles'; one of baseline, headless, overcommit-overhead, overcommit-guest, overcommit-percent, ksm, swap, no-console-log, free-page-reporting, no-free-page-reporting, or several joined by '+' (did you mean 'headless'?)"),
        ("seed: 40\n", "technique: ksm\n", "s.yaml:4:1: 'technique' is an axis of the matrix already"),
        ("repeats: 2", "repeats: 0", "s.yaml:6:10: 0 is less than 1"),
        ("tier: full", "tier: ful", "s.yaml:5:7: unknown tier 'ful'; one of quick, full (did you mean 'full'?)"),
        ("  guest: [", "  exclude: [{guset: 256Mi}]\n  guest: [", "s.yaml:9:14: unknown key 'guset' in an item of exclude (did you mean 'guest'?)"),
        ("  guest: [", "  exclude: [{guest: 1Gi}]\n  guest: [", "s.yaml:9:21: unknown guest '1Gi'; one of 256Mi, 512Mi"),
        ("  guest: [", "  exclude: [{guest: 256Mi}, {guest: 512Mi}]\n  guest: [", "s.yaml:9:3: 'exclude' leaves nothing of the matrix"),
        ("{local: 130Mi, kind: 190Mi, default: 160Mi}}", "{local: 130Mi}, x: 1}", "s.yaml:12:78: 'x' beside 'per-cluster', which stands for a whole value"),
        ("{local: 130Mi, kind: 190Mi, default: 160Mi}}", "{lokal: 130Mi}}", "s.yaml:12:63: unknown key 'lokal' in per-cluster (did you mean 'local'?)"),
        ("{local: 130Mi, kind: 190Mi, default: 160Mi}}", "{kind: 130Mi}}", "s.yaml:12:62: no value for cluster 'local' and no 'default'"),
        ("name: curve,", "name: curve-$(guest),", "s.yaml:3:18: 'curve-256Mi' is not a name (lower case letters, digits and '-', at most 40) (did you mean 'curve-256mi'?)"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    assert old in TEXT
    write(tmp_path, TEXT.replace(old, new, 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        load_scenarios("s.yaml")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({}, "s.yaml:9:3: this file makes 4 scenarios; which one is meant is not said"),
        ({"guest": "256Mi"}, "s.yaml:9:3: no value of axis 'technique' is chosen; one of baseline, swap+ksm"),
        ({"guest": "256M", "technique": "baseline"}, "s.yaml:9:3: '256M' is no value of axis 'guest'; one of 256Mi, 512Mi (did you mean '256Mi'?)"),
        ({"guest": "256Mi", "technique": "baseline", "gust": "1"}, "s.yaml:9:3: the matrix has no axis 'gust' (did you mean 'guest'?)"),
    ],
)  # fmt: skip
def test_which_one_is_meant(
    path: Path, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(SpecError) as caught:
        load_scenario("s.yaml", matrix=chosen)
    assert str(caught.value) == message


def test_too_many_scenarios_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST, encoding="utf-8")
    many = ", ".join(f"{n}Mi" for n in range(101, 202))
    with pytest.raises(SpecError, match="the matrix makes more than 200 scenarios"):
        load_scenarios(write(tmp_path, TEXT.replace("256Mi, 512Mi", many, 1)))
