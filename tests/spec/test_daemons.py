"""Daemons of nodes in scenario files: who and where, what steps may do with them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.spec.errors import SpecError
from harness.spec.model import DaemonSpec
from tests.run.scenarios import load

REQUIRES = "requires: [{survives: {fleet: calm}}]\n"


def test_a_step_is_about_daemons_or_about_fleets(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        REQUIRES
        + """
daemons: [{name: sshd, node: target}, {name: dhcpd, node: target}]
workload:
  - grow: {daemon: [sshd, dhcpd], to: 1Mi}
  - grow: {fleet: all, to: 2Mi}
  - shrink: {daemon: sshd, to: 0}
""",
    )
    assert scenario.daemons == (
        DaemonSpec(name="sshd", node="target"),
        DaemonSpec(name="dhcpd", node="target"),
    )
    assert [(step.fleets, step.daemons) for step in scenario.workload] == [
        ((), ("sshd", "dhcpd")),
        (("hog", "calm"), ()),
        ((), ("sshd",)),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("daemons: [{name: sshd, node: tagret}]", "unknown node 'tagret'"),
        ("daemons: [{name: sshd}]", "a daemon needs 'node'"),
        ("daemons: [{name: hog, node: target}]", "fleet 'hog' has a VMI named 'hog' already"),
        ("daemons: [{name: a, node: target}, {name: a, node: target}]", "two daemons are named 'a'"),
        ("workload: [{grow: {daemon: sshd, to: 1Mi}}]", "no daemon named 'sshd'"),
        (
            "daemons: [{name: sshd, node: target}]\nworkload: [{grow: {daemon: sshd, fleet: hog, to: 1Mi}}]",
            "about a 'fleet' or a 'daemon', not both",
        ),
        (
            "daemons: [{name: sshd, node: target}]\nworkload: [{grow: {daemon: sshd, to: 10%}}]",
            "a share is of a guest's memory",
        ),
        (
            "daemons: [{name: sshd, node: target}]\nworkload: [{rewrite: {daemon: sshd, to: 1Mi}}]",
            "unknown key 'daemon' in rewrite",
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load(tmp_path, REQUIRES + text + "\n")
