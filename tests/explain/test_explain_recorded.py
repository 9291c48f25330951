"""`density explain -o json` against the recorded matrix: containers, class, admission with its words."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.explain.explain import explain
from harness.explain.present import to_data
from harness.explain.sources import read_manifest

_PATH = Path(__file__).parents[1] / "recordings" / "kubevirt-resource-matrix.ndjson.gz"
with gzip.open(_PATH, "rt", encoding="utf-8") as _lines:
    _MATRIX: list[dict[str, Any]] = [json.loads(line) for line in _lines]


def _data(line: dict[str, Any]) -> dict[str, Any]:
    percent = {"default": 100, "overcommit-150": 150}[line["settings"]]
    configuration = {"developerConfiguration": {"useEmulation": True, "memoryOvercommit": percent}}
    manifest = read_manifest(json.dumps(line["request"]), "x.json")
    (explanation,) = explain([manifest], kubevirt_config=configuration)
    return to_data(explanation)


@pytest.mark.parametrize("line", _MATRIX, ids=lambda line: f"{line['settings']}/{line['case']}")
def test_json_is_what_the_cluster_served(line: dict[str, Any]) -> None:
    data = _data(line)
    assert data["admission"]["allowed"] is (line["kubectl"]["rc"] == 0)
    if not data["admission"]["allowed"]:
        assert data["admission"]["message"]
        assert data["admission"]["message"] in line["kubectl"]["stderr"]
        assert data["pod"] is None
        assert data["overhead"] == []
        return
    pod = line["pod"]
    for group in ("containers", "initContainers"):
        theirs = [{"name": c["name"], "resources": c["resources"]} for c in pod["spec"].get(group, [])]
        assert data["pod"]["spec"][group] == theirs
    assert data["pod"]["status"]["qosClass"] == pod["status"]["qosClass"]
    assert data["memoryOverhead"] == line["vmi"]["status"]["memory"]["memoryOverhead"]
    annotation = pod["metadata"]["annotations"]["kubevirt.io/memory-overhead-bytes"]
    assert sum(term["bytes"] for term in data["overhead"]) == int(annotation)
    assert data["mistakes"] == []
    warned = line["kubectl"]["stderr"].removeprefix("Warning: ")
    assert data["admission"]["warnings"] == ([warned] if warned else [])
    assert data["vmi"]["spec"]["domain"]["memory"] == line["vmi"]["spec"]["domain"]["memory"]


def test_the_status_is_the_servers() -> None:
    line = next(line for line in _MATRIX if line["case"] == "bad-nomemory")
    status = _data(line)["admission"]["status"]
    assert status["code"] == 422
    assert status["message"].startswith(
        'admission webhook "virtualmachineinstances-create-validator.kubevirt.io" denied the request: no memory requested'
    )


def test_json_serialises() -> None:
    for line in _MATRIX[:3]:
        assert json.loads(json.dumps(_data(line)))["file"] == "x.json"
