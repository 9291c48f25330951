"""Collections of single answers become records: answers, then objects, at the time their objects say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.records.importing import Recording
from harness.records.model import Action, Record, Watch

RECORDINGS = Path(__file__).parents[1] / "recordings"
POST = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances?dryRun=All"


def write(path: Path, *cases: dict[str, Any] | str) -> Path:
    text = "".join(f"{case if isinstance(case, str) else json.dumps(case)}\n" for case in cases)
    path.write_text(text)
    return path


def read(path: Path) -> tuple[Recording, list[Record]]:
    recording = Recording(path)
    return recording, list(recording)


def answer(case: str, *, created: str | None = None, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"kind": "VirtualMachineInstance", "metadata": {"creationTimestamp": created}}
    told = {"status": 201, "warnings": None, "body": body}
    return {"case": case, "method": "POST", "path": POST, "request": {}, "answer": told, **more}


def test_an_exchange_becomes_an_answer_under_its_own_name(tmp_path: Path) -> None:
    refused = {
        "status": 422,
        "warnings": ['299 - "unknown field \\"a\\\\b\\""', "odd"],
        "body": {"kind": "Status", "message": "must be of type integer"},
    }
    cr = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt?dryRun=All"
    vnc = "/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachineinstances/hog-1/vnc"
    recording, records = read(
        write(
            tmp_path / "c.ndjson",
            answer("first"),
            answer("second", method="PATCH", path=cr, answer=refused),
            answer("third", method="GET", path=vnc, answer={**refused, "status": 400}),
            answer("fourth", method="GET", path="/api/v1/nodes/nobody/proxy/configz", answer={"status": 404}),
        )
    )
    actions = [r for r in records if isinstance(r, Action)]
    assert [(a.what, a.target, a.args["request"], a.args["code"]) for a in actions] == [
        ("answer", "default/first", "create", 201),
        ("answer", "kubevirt/second", "configure-kubevirt", 422),
        ("answer", "n/hog-1", "vnc", 400),
        ("answer", "configz", "get", 404),
    ]
    assert actions[1].args["warnings"] == ['unknown field "a\\b"', "odd"]
    assert actions[1].args["message"] == "must be of type integer"
    assert recording.complete


def test_a_case_happens_when_its_objects_were_created(tmp_path: Path) -> None:
    patched = {
        "status": 200,
        "body": {"kind": "KubeVirt", "metadata": {"creationTimestamp": "2026-11-01T00:00:00Z"}},
    }
    recording, records = read(
        write(
            tmp_path / "c.ndjson",
            answer("a"),
            answer("b", created="2026-11-24T10:12:56Z"),
            answer("c"),
            answer("d", created="2026-11-24T10:13:01Z"),
            answer("e", answer=patched),
        )
    )
    assert [(r.t, r.at[:19]) for r in records] == [
        (0.0, "2026-11-24T10:12:56"),
        (0.0, "2026-11-24T10:12:56"),
        (0.0, "2026-11-24T10:12:56"),
        (5.0, "2026-11-24T10:13:01"),
        (5.0, "2026-11-24T10:13:01"),
    ]
    assert recording.started[:19] == "2026-11-24T10:12:56"


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("Error from server (BadRequest): error when creating", 400),
        ("Error from server (Forbidden): no", 403),
        # kubectl quotes a webhook without its status: nothing is made up.
        ('Error from server: admission webhook "x" denied the request: no', None),
        ("The request is invalid: no memory", None),
    ],
)
def test_what_kubectl_says_is_an_answer_where_it_tells_the_status(
    tmp_path: Path, told: str, code: int | None
) -> None:
    case = {"settings": "s", "case": "bad", "request": {}, "kubectl": {"rc": 1, "stderr": told}, "vmi": None}
    path = write(tmp_path / "c.ndjson", answer("before", created="2026-11-24T10:12:56Z"), case)
    actions = [r for r in read(path)[1] if isinstance(r, Action) and r.args["case"] == "bad"]
    assert [(a.target, a.args["code"]) for a in actions] == ([] if code is None else [("m-s/bad", code)])


def test_the_resource_matrix_becomes_objects_as_served() -> None:
    recording, records = read(RECORDINGS / "kubevirt-resource-matrix.ndjson.gz")
    kinds: dict[str, int] = {}
    for record in records:
        if isinstance(record, Watch):
            kind = str(record.object["kind"])
            kinds[kind] = kinds.get(kind, 0) + 1
    rows = [
        json.loads(line)
        for line in gzip.decompress(
            (RECORDINGS / "kubevirt-resource-matrix.ndjson.gz").read_bytes()
        ).splitlines()
    ]
    assert (kinds["VirtualMachineInstance"], kinds["Pod"]) == (29, 29)
    assert len(rows) == 33
    # 29 created, and the one refusal whose status kubectl tells.
    assert sorted(r.args["code"] for r in records if isinstance(r, Action)) == [201] * 29 + [400]
    assert recording.complete


def test_a_collection_that_is_cut_is_incomplete(tmp_path: Path) -> None:
    path = write(tmp_path / "c.ndjson", answer("a", created="2026-11-24T10:12:56Z"))
    path.write_bytes(path.read_bytes() + b'{"case": "b", "ans')
    recording, records = read(path)
    assert (recording.complete, len(records)) == (False, 1)


def test_our_own_cluster_is_noticed_in_a_collection(tmp_path: Path) -> None:
    marked = answer("a", created="2026-11-24T10:12:56Z")
    marked["answer"]["body"]["metadata"]["annotations"] = {"density.dev/embedded": "1"}
    assert read(write(tmp_path / "c.ndjson", marked))[0].embedded
