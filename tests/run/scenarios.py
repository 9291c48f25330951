"""Scenarios for fake guests: an idle one uses 100 MiB, kubelet passes come every 0.3 s."""

from __future__ import annotations

import textwrap
from pathlib import Path

from harness.spec.loader import load_scenario
from harness.spec.model import Scenario

MANIFEST = """
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: agent}
spec:
  terminationGracePeriodSeconds: 30
  domain:
    devices: {autoattachGraphicsDevice: false}
    memory: {guest: 512Mi}
    resources: {overcommitGuestOverhead: true, requests: {memory: 64Mi}}
"""

HEAD = """
apiVersion: density/v1
kind: Scenario
metadata: {name: squeeze, title: A squeeze}
observe: 1200ms
nodes:
  - {name: target, memory: 1Gi, kubelet: {evictionHard: {memory.available: 500Mi}}}
fleet:
  - {name: hog, manifest: agent.yaml}
  - {name: calm, manifest: agent.yaml, set: {spec.domain.resources.requests.memory: 256Mi}}
"""


def write(tmp_path: Path, body: str, *, head: str = HEAD) -> Path:
    (tmp_path / "agent.yaml").write_text(MANIFEST)
    file = tmp_path / "squeeze.yaml"
    file.write_text(head + textwrap.dedent(body))
    return file


def load(tmp_path: Path, body: str, *, head: str = HEAD, overrides: tuple[str, ...] = ()) -> Scenario:
    return load_scenario(write(tmp_path, body, head=head), overrides=overrides)
