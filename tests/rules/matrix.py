"""Reading the two recordings of what a real API server, KubeVirt main and kubectl answered."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

_RECORDINGS = Path(__file__).parents[1] / "recordings"


def _lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(_RECORDINGS / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


MATRIX = _lines("kubevirt-resource-matrix.ndjson.gz")
ANSWERS = {line["case"]: line for line in _lines("kubevirt-api-answers.ndjson.gz")}


def configuration(settings: str) -> dict[str, Any]:
    """KubeVirt CR of the recorded cluster: emulation, no KVM."""
    percent = {"default": 100, "overcommit-150": 150}[settings]
    return {"developerConfiguration": {"useEmulation": True, "memoryOvercommit": percent}}
