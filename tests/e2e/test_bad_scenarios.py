"""A scenario file that is wrong costs one line that says where, exit 2, and starts nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.driver import Place

GOOD = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: good, title: All is well}
budget: 100s
nodes:
  - name: target
    memory: 1Gi
    kubelet: {evictionHard: {memory.available: 200Mi}}
fleet:
  - {name: small, manifest: agent.yaml, set: {spec.domain.memory.guest: 512Mi}}
  - {name: large, manifest: agent.yaml}
workload:
  - when: {fleet: all, is: Running}
    grow: {fleet: [small, large], to: 130Mi, rate: 25Mi/s, pages: unique}
promises:
  - {claim: HARD-2a, grace: {of: victim, max: 0s}}
requires:
  - evicted: {from: [small], count: 1, within: 15s, of: threshold-crossed}
control: {nodes.target.memory: 2Gi}
"""
AGENT = "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: a}\nspec: {domain: {devices: {}, resources: {}}}\n"

# What is replaced, by what, the place (line:column) and what the message must name.
MISTAKES = [
    ("budget: 100s", "budgett: 100s", "4:1", "did you mean 'budget'"),
    ("budget: 100s", "budget: soon", "4:9", "soon"),
    ("kind: Scenario", "kind: Scenery", "2:7", "Scenery"),
    ("density/v1", "density/v9", "1:13", "density/v9"),
    ("memory: 1Gi", "memroy: 1Gi", "7:5", "did you mean 'memory'"),
    ("memory: 1Gi", "memory: 1GB", "7:13", "1GB"),
    ("memory: 1Gi", "memory: -1Gi", "7:13", "-1Gi"),
    ("memory.available: 200Mi", "memory.avialable: 200Mi", "8:30", "did you mean 'memory.available'"),
    ("memory.available: 200Mi", "memory.available: 200%", "8:48", "200%"),
    ("evictionHard", "evictionHrad", "8:15", "evictionH"),
    ("manifest: agent.yaml}", "manifest: nowhere.yaml}", "11:29", "nowhere.yaml"),
    ("name: large", "name: small", "11:12", "small"),
    ("spec.domain.memory.guest: 512Mi", "spec.domain.memory.guest: much", "10:73", "much"),
    ("fleet: [small, large]", "fleet: [small, lagre]", "14:27", "did you mean 'large'"),
    ("rate: 25Mi/s", "rate: 25Mi", "14:52", "25Mi"),
    ("rate: 25Mi/s", "rate: 25Mi/h", "14:52", "25Mi/h"),
    ("pages: unique", "pages: fresh", "14:67", "fresh"),
    ("grow: {fleet", "grwo: {fleet", "14:5", "did you mean 'grow'"),
    ("to: 130Mi", "to: 95%", "14:39", "90"),
    ("is: Running", "is: Walking", "13:28", "Walking"),
    ("HARD-2a", "HARD-2z", "16:13", "HARD-2"),
    ("grace: {of: victim", "grcae: {of: victim", "16:22", "did you mean 'grace'"),
    ("of: victim", "of: nobody", "16:34", "nobody"),
    ("count: 1,", "count: 2..1,", "18:37", "2..1"),
    ("within: 15s", "within: 15", "18:48", "15"),
    ("of: threshold-crossed", "of: threshold-corssed", "18:57", "threshold-c"),
    ("nodes.target.memory: 2Gi", "nodes.tagret.memory: 2Gi", "19:11", "did you mean 'target'"),
    ("nodes:\n", "nodes: [\n", "", ""),
    ("metadata: {name: good", "metadata: {name: ../etc", "3:18", "../etc"),
    ("fleet:\n", "fleet: !!python/object/apply:os.system [id]\nfleets:\n", "", ""),
]
SETS = [
    ("nodes.tagret.memory=1Gi", "did you mean 'target'"),
    ("nodes.target.memory", "="),
    ("nodes.target.memory=lots", "lots"),
    ("workload[7].grow.rate=5Mi/s", "7"),
]


@pytest.fixture
def bad(here: Place) -> Place:
    """A place where a QEMU or compiler that is started says so in a file."""
    programs = here.root / "bin"
    programs.mkdir()
    for name in ("qemu-system-x86_64", "cc", "gcc", "apt-get"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} >> "{here.root}/started"\nexit 1\n')
        (programs / name).chmod(0o755)
    here.environment["PATH"] = f"{programs}:{here.environment['PATH']}"
    (here.root / "agent.yaml").write_text(AGENT)
    return here


def refused(here: Place, path: Path, *arguments: str) -> str:
    """Run it; return the one line it must print."""
    done = here.density("run", path, *arguments)
    assert done.code == 2, done
    assert done.out == ""
    assert done.err.count("\n") == 1, done
    assert not (here.root / "started").exists(), (here.root / "started").read_text()
    assert not here.runs.exists()
    assert here.left() == []
    return done.err


@pytest.mark.parametrize(("was", "becomes", "place", "names"), MISTAKES, ids=[m[1][:40] for m in MISTAKES])
def test_a_mistake_is_one_line_with_its_place(
    bad: Place, was: str, becomes: str, place: str, names: str
) -> None:
    assert GOOD.count(was) >= 1
    path = bad.root / "s.yaml"
    path.write_text(GOOD.replace(was, becomes, 1))
    line = refused(bad, path)
    match = re.match(rf"density: {re.escape(str(path))}:(\d+:\d+): ", line)
    assert match, line
    assert place in {"", match[1]}, line
    assert names in line


@pytest.mark.parametrize(("change", "names"), SETS)
def test_a_wrong_set_is_one_line(bad: Place, change: str, names: str) -> None:
    path = bad.root / "s.yaml"
    path.write_text(GOOD)
    assert names in refused(bad, path, "--set", change)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01", b"\xff\xfe[", b"- a\n- b\n", b"a: &x [*x]\n", b"a: {b: "]
)
def test_what_is_no_scenario_at_all(bad: Place, content: bytes) -> None:
    path = bad.root / "s.yaml"
    path.write_bytes(content)
    assert refused(bad, path).startswith(f"density: {path}:")


def test_one_wrong_file_among_good_ones_and_nothing_starts(bad: Place) -> None:
    (bad.root / "a.yaml").write_text(GOOD)
    (bad.root / "z.yaml").write_text(GOOD.replace("budget", "budgett"))
    assert f"{bad.root}/z.yaml:4:1: " in refused(bad, bad.root / "a.yaml", str(bad.root / "z.yaml"))
