"""Preflight counts a node's own daemons in its memory, and never as someone who can be evicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.explain.preflight import Refusal, preflight
from tests.run.scenarios import load

BODY = """
daemons: [{name: sshd, node: target}]
requires: [{evicted: {from: [hog], count: 1}}]
workload:
  - grow: {daemon: sshd, to: %s}
"""


@pytest.mark.parametrize(("to", "refused"), [("100Mi", True), ("400Mi", False)])
def test_a_daemon_can_cross_the_threshold(tmp_path: Path, to: str, refused: bool) -> None:
    # 1024 - 2 x 155 MiB idle = 714 MiB: 500Mi are crossed by more than 214 of a daemon; + 25 % of uncertainty of the idle.
    found = preflight(load(tmp_path, BODY % to), column="main")
    assert any(isinstance(one, Refusal) and one.id == "no-crossing" for one in found) is refused
    assert not any("sshd" in one.text and one.id == "victim" for one in found)
