"""What ships in suites/: scenarios load, know their claims, fit the schema and the recorded pods, and have a baseline."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.resources import data_dir
from harness.spec.baseline import deviations, load_baseline, read_baseline
from harness.spec.checks import read_expectation
from harness.spec.claims import load_claims
from harness.spec.errors import SpecError
from harness.spec.expectations import KINDS, Evicted, Grace, Ratio, Request, Shutdown
from harness.spec.fleet import KEYS as FLEET_KEYS
from harness.spec.loader import CAPABILITIES, KEYS, NODE_KEYS, control_of, load_scenario, load_scenarios
from harness.spec.matrix import CLUSTERS, take_cluster
from harness.spec.measures import MEASURES
from harness.spec.nodes import parse, plain
from harness.spec.schema import rendered, scenario_schema
from harness.spec.subjects import Subjects
from harness.spec.workload import ARGUMENTS, PROFILES

SUITES = data_dir("suites")
SCENARIOS = sorted(
    path for path in SUITES.rglob("*.yaml") if "kind: Scenario" in path.read_text(encoding="utf-8")
)
ROAD = ("container-oom-at-limit", "hard-eviction", "oom-race", "qos-matrix", "soft-eviction")
MATRIX = Path(__file__).parents[1] / "recordings" / "kubevirt-resource-matrix.ndjson.gz"


def _id(path: Path) -> str:
    return str(path.relative_to(SUITES))


def test_the_road_is_there() -> None:
    assert {path.stem for path in SCENARIOS if path.parent.name == "road"} == set(ROAD)


@pytest.mark.parametrize("path", SCENARIOS, ids=_id)
def test_scenarios_load_for_every_kind_of_cluster(path: Path) -> None:
    names = {tuple(one.name for one in load_scenarios(path, cluster=cluster)) for cluster in CLUSTERS}
    assert len(names) == 1


@pytest.mark.parametrize("path", SCENARIOS, ids=_id)
def test_scenarios_load_and_promise_what_their_claims_say(path: Path) -> None:
    claims = load_claims()
    scenario = load_scenarios(path, claims=claims)[0]
    assert scenario.requires, "a scenario without requirements is green for nothing"
    for check in scenario.promises:
        claim = claims[check.claim or ""]
        assert claim.untestable is None
        kinds = {claim.promise_kind, *(kind for kind, _ in claim.also)}
        assert check.kind in kinds, f"{claim.id} promises {kinds}, not {check.kind}"
        assert all(today.kind in KINDS for today in claim.today), f"{claim.id}: no check judges its today"


# Claims of one quote and two cases: whether it is about guests that are cut, being deaf to the power button or slow.
CUT = {"SOFT-1a": False, "SOFT-1c": True, "HARD-2b": False, "HARD-2d": True}


@pytest.mark.parametrize("path", SCENARIOS, ids=_id)
def test_claims_about_guests_that_listen_are_promised_of_such(path: Path) -> None:
    for scenario in load_scenarios(path):
        deaf = {fleet.name: fleet.deaf for fleet in scenario.fleet}
        may_be_cut = {fleet.name: fleet.deaf or fleet.shutdown > 0 for fleet in scenario.fleet}
        admissible = {
            name
            for check in scenario.requires
            if isinstance(check.expectation, Evicted)
            for name in check.expectation.fleets
        } or set(deaf)
        for check in scenario.promises:
            if (cut := CUT.get(check.claim or "")) is None:
                continue
            assert isinstance(check.expectation, Shutdown)
            of = check.expectation.of
            about = {of} if of in deaf else admissible if of == "victim" else set(deaf)
            found = {(may_be_cut if cut else deaf)[name] for name in about}
            assert found == {cut}, f"{scenario.name}: {check.claim}"


@pytest.mark.parametrize("path", SCENARIOS, ids=_id)
def test_scenarios_fit_the_schema(path: Path) -> None:
    validator = jsonschema.Draft202012Validator(scenario_schema())
    document = plain(parse(path.read_text(encoding="utf-8"), str(path)))
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)] == []


def test_the_schema_is_current() -> None:
    assert (SUITES / "scenario.schema.json").read_text(encoding="utf-8") == rendered()
    jsonschema.Draft202012Validator.check_schema(scenario_schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("budget",), 100),
        (("budgett",), "100s"),
        (("nodes", 0, "memory"), "512Mb"),
        (("workload", 0, "grow", "rate"), "25Mi"),
        (("workload", 0, "hold"), {"fleet": "all"}),
        (("promises", 0, "grace"), {"of": "victim", "max": "0s"}),
        (("requires", 1, "survives"), {}),
        (("fleet", 0, "count"), 0),
        (("kind",), "Scenarios"),
        (("tier",), "quickly"),
        (("host",), {"ksm": {"run": 3}}),
        (("host",), {"swap": {"kind": "disk"}}),
        (("matrix",), {"guest": []}),
        (("requires", 1), {"ksm": {"min-share": 0.9}}),
        (("requires", 1), {"ratio": {"of": "all", "measure": "request-", "min": 1}}),
        (("workload", 0), {"pulse": {"fleet": "all", "to": "1Mi", "times": 0, "for": "1s"}}),
        (("workload", 0, "when"), {"on": "evict"}),
    ],
)
def test_the_schema_refuses(path: tuple[str | int, ...], value: object) -> None:
    file = SUITES / "road" / "hard-eviction.yaml"
    document = plain(parse(file.read_text(encoding="utf-8"), str(file)))
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert not jsonschema.Draft202012Validator(scenario_schema()).is_valid(document)


def _recorded(case: str, settings: str = "default") -> Mapping[str, Any]:
    with gzip.open(MATRIX, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if (row["settings"], row["case"]) == (settings, case):
                return dict(row)
    raise LookupError(case)


def _requirements(name: str) -> Iterator[Request]:
    for check in load_scenario(SUITES / "road" / f"{name}.yaml").checks:
        if isinstance(check.expectation, Request):
            yield check.expectation


UNITS = {"M": 10**6, "Mi": 2**20}


def _bytes(text: str | None) -> int | None:
    """Enough for the recording: whole numbers, M and Mi."""
    if text is None:
        return None
    number = text.rstrip("Mi")
    return int(number) * (UNITS[text[len(number) :]] if number != text else 1)


@pytest.mark.parametrize(
    ("fleet", "case"),
    [
        ("page-overhead", "v1alpha3"),
        ("page-guest", "overcommit-guest-overhead"),
        ("memory-only-equal", "mem-equal"),
        ("guaranteed", "both-equal"),
    ],
)
def test_requests_on_main_are_those_of_real_pods(fleet: str, case: str) -> None:
    pod = _recorded(case)["pod"]["spec"]
    real = {c["name"]: c["resources"] for c in (*pod["containers"], *pod.get("initContainers", ()))}
    seen = 0
    for request in _requirements("qos-matrix"):
        if request.of != fleet:
            continue
        for field in ("requests", "limits"):
            for container, columns in getattr(request, field).items():
                expected = columns["main"] if "main" in columns else columns["*"]
                assert expected == _bytes(real[container].get(field, {}).get("memory")), (container, field)
                seen += 1
    assert seen >= 4


def _compute(case: str, settings: str = "default") -> Mapping[str, int | None]:
    (compute,) = [
        c["resources"]
        for c in _recorded(case, settings)["pod"]["spec"]["containers"]
        if c["name"] == "compute"
    ]
    return {what: _bytes(compute.get(what, {}).get("memory")) for what in ("requests", "limits")}


@pytest.mark.parametrize(
    ("path", "fleet", "what", "case", "settings"),
    [
        ("guest-overhead/flag", "plain", "requests", "lim-gt-req", "default"),
        ("implicit-overcommit/untouched", "no-request", "requests", "guest-only", "default"),
        ("implicit-overcommit/percent", "with-overhead", "requests", "guest-3072m", "overcommit-150"),
        (
            "guest-memory/more-than-requested",
            "page-guest",
            "requests",
            "overcommit-guest-overhead",
            "default",
        ),
    ],
)
def test_what_topics_expect_of_requests_is_what_real_pods_have(
    path: str, fleet: str, what: str, case: str, settings: str
) -> None:
    expected = {
        columns["main"] if "main" in columns else columns["*"]
        for check in load_scenario(SUITES / f"{path}.yaml").checks
        if isinstance(check.expectation, Request) and check.expectation.of == fleet
        if (columns := getattr(check.expectation, what).get("compute"))
    }
    assert expected == {_compute(case, settings)[what]}


def test_what_topics_expect_to_be_saved_is_what_real_pods_save() -> None:
    def saving(path: str, fleet: str, measure: str) -> set[float]:
        return {
            check.expectation.min or 0.0
            for check in load_scenario(SUITES / path).requires
            if isinstance(check.expectation, Ratio)
            if (check.expectation.of, check.expectation.how, check.expectation.measure)
            == (fleet, "saving", measure)
        }

    with_display, without = _compute("guest-only")["requests"], _compute("headless")["requests"]
    assert with_display is not None
    assert without is not None
    assert saving("graphics/display.yaml", "headless", "request") == {with_display - without}
    pod = _recorded("guest-only")["pod"]["spec"]
    log = [c for c in (*pod["containers"], *pod["initContainers"]) if c["name"] == "guest-console-log"]
    assert saving("console-log/request.yaml", "not-logged", "pod-request") == {
        _bytes(log[0]["resources"]["requests"]["memory"])
    }
    # With the flag the limit keeps what the request loses: recorded for a limit of 512Mi.
    (limit,) = [
        check.expectation.limits["compute"]["main"]
        for check in load_scenario(SUITES / "guest-overhead" / "flag.yaml").requires
        if isinstance(check.expectation, Request) and check.expectation.of == "flag-and-limit"
    ]
    recorded = _compute("lim-gt-req")["limits"]
    assert limit is not None
    assert recorded is not None
    assert limit - 384 * 2**20 == recorded - 512 * 2**20


def test_classes_are_those_of_real_pods() -> None:
    assert _recorded("mem-equal")["pod"]["status"]["qosClass"] == "Burstable"
    assert _recorded("both-equal")["pod"]["status"]["qosClass"] == "Guaranteed"


def test_the_older_column_is_twenty_mebibytes_less() -> None:
    """QEMU's constant was 30Mi up to v1.9 and is 50Mi on main: nothing else differs."""
    for name in ("qos-matrix", "container-oom-at-limit"):
        for request in _requirements(name):
            for columns in (*request.requests.values(), *request.limits.values()):
                if (newest := columns.get("main")) is not None:
                    assert {newest - (columns[c] or 0) for c in ("v1.6", "v1.7", "v1.8", "v1.9")} == {
                        20971520
                    }


def test_the_container_limit_of_the_oom_scenario() -> None:
    (limit,) = [r.limits["compute"] for r in _requirements("container-oom-at-limit") if r.limits]
    # 128Mi + 288Mi + 131072 bytes of page tables for a request of 64Mi.
    assert limit["main"] == 134217728 + 301989888 + 131072


def test_the_page_examples_are_the_page_s() -> None:
    """What the page shows stands in the manifests, key by key; the rest lies between the two comments."""
    for name, memory in (("page-overhead", None), ("page-guest", {"guest": "2048M"})):
        text = (SUITES / "manifests" / f"{name}.yaml").read_text(encoding="utf-8")
        before, _, rest = text.partition("    # [...] begins\n")
        _, end, after = rest.partition("    # [...] ends\n")
        assert end
        shown = plain(parse(before + after, name))
        domain: dict[str, Any] = {
            "resources": {"overcommitGuestOverhead": True, "requests": {"memory": "1024M"}}
        }
        if memory is not None:
            domain["memory"] = memory
        assert shown == {
            "apiVersion": "kubevirt.io/v1alpha3",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": "testvmi-nocloud"},
            "spec": {"terminationGracePeriodSeconds": 30, "domain": domain},
        }


def _budgets(*tiers: str) -> float:
    """Sum over all scenarios that a run of these tiers makes: those of a matrix and repeats each count."""
    found = [
        one
        for path in SCENARIOS
        if path.parent.name not in {"recorded", "study"}
        for one in load_scenarios(path)
        if one.tier in tiers
    ]
    assert [one.name for one in found if one.budget is None] == []
    return sum(one.budget for one in found if one.budget is not None)


def test_budgets_fit_what_the_main_job_may_take() -> None:
    """The study is run by its name alone."""
    assert 240 <= _budgets("quick") <= 6 * 60
    assert _budgets("quick", "full") <= 40 * 60


def test_the_main_job_runs_quick_ones_and_all_when_asked() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make")
    for full, option in (("", False), ("0", False), ("1", True), ("yes", True)):
        told = subprocess.run(
            [make, "-n", "e2e", f"FULL={full}"], cwd=SUITES.parent, capture_output=True, text=True, check=True
        )
        assert ("--density-tier=full" in told.stdout) is option, full


def test_hard_eviction_has_a_control_with_a_larger_node() -> None:
    control = control_of(load_scenario(SUITES / "road" / "hard-eviction.yaml"))
    assert control is not None
    assert [node.memory for node in control.nodes] == [2147483648]


@pytest.mark.parametrize(
    "override",
    [
        "nodes.target.kubelet.evictionHard.memory.available=1Mi",
        "workload.cross.grow.rate=50Mi/s",
        "fleet.small-request.set.spec.domain.resources.requests.memory=384Mi",
        "fleet.large-request.set.spec.domain.resources.requests.memory=64Mi",
    ],
)
def test_the_ways_hard_eviction_is_made_to_fail_load(override: str) -> None:
    path = SUITES / "road" / "hard-eviction.yaml"
    assert load_scenario(path, overrides=(override,)) != load_scenario(path)


def test_the_grace_promised_is_none_at_all() -> None:
    promises = load_scenario(SUITES / "road" / "hard-eviction.yaml").promises
    assert [c.expectation for c in promises if c.claim == "HARD-2a"] == [Grace(of="victim", max=0.0)]  # type: ignore[arg-type]


# -- baseline ------------------------------------------------------------------------------------------------------


def _promised(paths: Iterable[Path]) -> set[str]:
    return {check.claim or "" for path in paths for one in load_scenarios(path) for check in one.promises}


def test_every_promise_of_the_suites_has_a_baseline() -> None:
    """On `local`, which is where they have been run; of other clusters only what has been seen there is listed."""
    claims = load_claims()
    baseline = load_baseline(claims=claims)
    run = [path for path in SCENARIOS if path.parent.name not in {"recorded", "study"}]
    assert set(baseline["local"]) == _promised(run)
    road = _promised(path for path in run if path.parent.name == "road")
    assert road <= set(baseline["kind"])
    assert _promised(path for path in SCENARIOS if path.parent.name == "recorded") <= set(baseline["kind"])


def test_the_baseline_stands_in_the_order_of_the_registry() -> None:
    order = list(load_claims())
    baseline = load_baseline()
    for cluster in ("local", "kind"):
        assert list(baseline[cluster]) == sorted(baseline[cluster], key=order.index), cluster
    assert set(baseline["kubeconfig"]) == set(baseline["kind"])


def test_what_must_come_out_is_what_is_known() -> None:
    """A claim that is known to be wrong must come out wrong, and as wrong as it is known to be."""
    claims = load_claims()
    for cluster, expected in load_baseline().items():
        for name, one in expected.items():
            known = {str(today.verdict) for today in claims[name].today}
            must = set(one.finding) - {"not-observable"}
            assert must == (known or {"holds"}) or not must, f"{cluster}: {name}"


BASELINE = """\
apiVersion: density/v1
kind: Baseline
clusters:
  local:
    A-1: {finding: holds}
    A-2: {finding: [differs, refuted], unless: {swap: not-observable}}
"""


@pytest.mark.parametrize(
    ("findings", "capabilities", "lines"),
    [
        ({"A-1": "holds", "A-2": "refuted"}, {}, []),
        ({"A-1": "holds", "A-2": "not-observable"}, {"swap": "no swap on this machine"}, []),
        ({"A-1": "holds"}, {"swap": "none"}, []),
        ({"A-1": "holds", "A-2": "holds"}, {"swap": "none"}, ["A-2: holds, expected differs or refuted or not-observable"]),
        ({"A-1": "undecided", "A-2": "not-observable"}, {"swap": "yes"}, ["A-1: undecided, expected holds", "A-2: not-observable, expected differs or refuted"]),
        ({}, {}, ["A-1: no finding, expected holds", "A-2: no finding, expected differs or refuted"]),
    ],
)  # fmt: skip
def test_deviations(findings: dict[str, str], capabilities: dict[str, str], lines: list[str]) -> None:
    baseline = read_baseline(BASELINE, file="b.yaml")
    assert (
        deviations(
            baseline, cluster="local", promised=("A-1", "A-2"), findings=findings, capabilities=capabilities
        )
        == lines
    )


def test_what_excuses_every_claim_stands_once() -> None:
    text = BASELINE.replace("clusters:", "unless: {node-memory: not-observable}\nclusters:")
    baseline = read_baseline(text, file="b.yaml")
    unseen = {"A-1": "not-observable", "A-2": "not-observable"}
    for capabilities, lines in (
        ({"node-memory": "4096 MiB are too few"}, []),
        ({"swap": "none"}, ["A-1: not-observable, expected holds"]),
    ):
        found = deviations(
            baseline, cluster="local", promised=("A-1", "A-2"), findings=unseen, capabilities=capabilities
        )
        assert found == lines
    assert load_baseline()["local"]["QOS-0"].unless["node-memory"] == "not-observable"


def test_only_what_was_run_is_asked_for() -> None:
    baseline = read_baseline(BASELINE, file="b.yaml")
    assert (
        deviations(baseline, cluster="local", promised=("A-1",), findings={"A-1": "holds"}, capabilities={})
        == []
    )


def test_a_promise_without_a_baseline_is_a_deviation() -> None:
    baseline = read_baseline(BASELINE, file="b.yaml")
    assert deviations(
        baseline, cluster="local", promised=("Z-9",), findings={"Z-9": "holds"}, capabilities={}
    ) == ["Z-9: no baseline for cluster local"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("A-1", "A-11", "b.yaml:5:5: unknown claim 'A-11' (did you mean 'A-1'?)"),
        ("holds", "hold", "b.yaml:5:20: unknown finding 'hold'; one of holds, differs, refuted, undecided, not-observable, error (did you mean 'holds'?)"),
        ("swap", "swpa", "b.yaml:6:49: unknown capability 'swpa'; one of cgroup-write, cgroup-v2, kvm, ksm, swap, oom-adj-negative, kmsg, node-memory, kubelet-settings, kubevirt-settings (did you mean 'swap'?)"),
        ("local", "locale", "b.yaml:4:3: unknown key 'locale' in clusters (did you mean 'local'?)"),
    ],
)  # fmt: skip
def test_mistakes_in_the_baseline(old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_baseline(BASELINE.replace(old, new, 1), file="b.yaml", claims=("A-1", "A-2"))
    assert str(caught.value) == message


# -- documentation -------------------------------------------------------------------------------------------------


def _examples(name: str) -> list[str]:
    text = (SUITES.parent / "docs" / name).read_text(encoding="utf-8")
    return [block.partition("\n```")[0] for block in text.split("```yaml\n")[1:]]


def test_the_documented_scenario_loads(tmp_path: Path) -> None:
    example, tuned, matrix, _, stated = _examples("scenarios.md")
    (tmp_path / "manifests").mkdir()
    agent = (SUITES / "manifests" / "agent.yaml").read_text(encoding="utf-8")
    (tmp_path / "manifests" / "agent.yaml").write_text(agent, encoding="utf-8")
    (tmp_path / "s.yaml").write_text(example + "\n" + stated, encoding="utf-8")
    scenario = load_scenario(tmp_path / "s.yaml", claims=load_claims())
    assert scenario.stated is not None
    validator = jsonschema.Draft202012Validator(scenario_schema())
    assert validator.is_valid(plain(parse(example, "s.yaml")))
    (tmp_path / "ksmtuned.conf").write_text("# as it ships\n", encoding="utf-8")
    others = [
        tuned.replace("ksm: {tuned: ksmtuned.conf} ", f"{one} #")
        for one in re.findall("# (ksm: .*?}+) ", tuned)
    ]
    assert len(others) == 2
    for block in (tuned, *others):
        host = json.dumps(plain(parse(block, "docs"))["host"])
        ksm = load_scenario(tmp_path / "s.yaml", overrides=(f"host={host}",)).host.ksm
        assert ksm is not None
        assert (ksm.tuned is None) is (ksm.by is not None)
    text = example.replace("guest: 512Mi", "guest: $(guest)") + "\n" + matrix
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    names = [one.name for one in load_scenarios(tmp_path / "m.yaml", repeats=2)]
    assert len(names) == 2 * (3 * 2 * 2 - 2)
    assert "my-scenario-ksm-swap-512mi-large-r2" in names
    assert validator.is_valid(plain(parse(text, "m.yaml")))


def test_the_documented_value_of_a_cluster() -> None:
    *_, value, _ = _examples("scenarios.md")
    tree = take_cluster(parse(value, "docs"), "kind")
    assert plain(tree) == {"grow": {"fleet": "hog", "to": "190Mi"}}


def test_each_documented_expectation_loads() -> None:
    text = (SUITES.parent / "docs" / "scenarios.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| `(\{.*?\})`", text, re.MULTILINE))
    assert set(rows) == set(KINDS)
    subjects = Subjects(fleets={"hog": 2, "bystander": 1, "a": 1, "b": 1}, steps=("fill",), nodes=("target",))
    for kind, example in rows.items():
        assert isinstance(read_expectation(kind, parse(example, "docs"), subjects), KINDS[kind])


def test_each_key_of_a_scenario_is_documented() -> None:
    text = (SUITES.parent / "docs" / "scenarios.md").read_text(encoding="utf-8")
    for key in (*KEYS, *FLEET_KEYS, *NODE_KEYS, *CAPABILITIES[:1], *ARGUMENTS, *PROFILES, *MEASURES):
        assert re.search(rf"\b{re.escape(key)}\b", text), key
