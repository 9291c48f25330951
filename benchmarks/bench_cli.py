"""What the command costs before it does anything, and what explaining a thousand manifests costs.

* `help`: CPU of `density --help` in multiples of a bare interpreter start. Goal: below 0.3 s CPU.
* `explain`: CPU of explaining 1,000 manifests in one call beyond explaining one. Goal: below 2 s CPU.

The goals are absolute, so they are printed and judged here only, never in a test; medians of five runs.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MANIFEST = """\
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {{name: vm-{number}}}
spec:
  domain:
    devices: {{autoattachGraphicsDevice: {graphics}}}
    memory: {{guest: {guest}Mi}}
    resources: {{requests: {{memory: {request}Mi}}, overcommitGuestOverhead: {overcommit}}}
"""
HELP_GOAL = 0.3
EXPLAIN_GOAL = 2.0


def cpu(command: list[str]) -> float:
    """CPU seconds of a finished child, its own children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median_cpu(command: list[str], runs: int = 5) -> float:
    return statistics.median(cpu(command) for _ in range(runs))


def main() -> int:
    density = [sys.executable, "-m", "harness.cli"]
    bare = median_cpu([sys.executable, "-c", "pass"])
    shown = median_cpu([*density, "--help"])
    print(f"help     {shown:.2f} s CPU, {shown / bare:.1f} times a bare interpreter (goal < {HELP_GOAL} s)")
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number in range(1000):
            path = Path(folder) / f"{number}.yaml"
            path.write_text(
                MANIFEST.format(
                    number=number,
                    graphics=str(number % 2 == 0).lower(),
                    guest=256 + number,
                    request=64 + number % 512,
                    overcommit=str(number % 3 == 0).lower(),
                )
            )
            files.append(str(path))
        one = median_cpu([*density, "explain", "-o", "json", files[0]])
        thousand = median_cpu([*density, "explain", "-o", "json", *files])
    print(f"explain  {thousand - one:.2f} s CPU for 1,000 manifests beyond one (goal < {EXPLAIN_GOAL} s)")
    return int(shown >= HELP_GOAL or thousand - one >= EXPLAIN_GOAL)


if __name__ == "__main__":
    sys.exit(main())
