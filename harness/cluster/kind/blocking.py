"""pytest-kind in a child process: `python -m harness.cluster.kind.blocking create|delete`, arguments as JSON on stdin.

The only module that imports pytest_kind. Its calls block without a deadline, so they run in a process that can be
ended. Standard input stays open for as long as the parent lives: its end ends this whole process group.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

MISSING = "pytest-kind is not installed: pip install 'kubevirt-density[e2e]'"


def main() -> int:
    """Do what the first line of stdin asks; the exit code is 0, or 1 with the reason on stderr."""
    asked: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    parent = os.dup(0)  # not inherited; kind and the engine get an empty standard input
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    try:
        from pytest_kind import KindCluster  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        print(f"ERROR: {MISSING} ({error})", file=sys.stderr)  # noqa: T201
        return 1
    # Any: with the extra installed its methods are untyped calls, without it there is nothing to check.
    cluster: Any = KindCluster(
        asked["name"],
        kubeconfig=Path(asked["kubeconfig"]),
        image=asked.get("image") or None,
        kind_path=Path(asked["kind"]),
        kubectl_path=Path(asked["kubectl"]),
    )
    try:
        if asked["do"] == "create":
            cluster.create(config_file=asked["config"])
        else:
            cluster.delete()
    except Exception as error:  # noqa: BLE001 - the parent has only this process's last words
        # kind has said on stderr what went wrong; a CalledProcessError would only repeat the command line.
        if not isinstance(error, subprocess.CalledProcessError):
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _die_with(parent: int) -> None:
    while os.read(parent, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
