from __future__ import annotations

from typing import Any

import pytest

from harness.embedded.api.errors import BadRequest
from harness.embedded.api.resources import EVENTS, NODES, PODS, VIRTUALMACHINEINSTANCES
from harness.embedded.api.selectors import selector


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "o", "labels": labels}}


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("a=1", {"a": "1"}, {"a": "2"}),
        ("a==1", {"a": "1"}, {}),
        ("a!=1", {}, {"a": "1"}),
        ("a", {"a": ""}, {"b": "1"}),
        ("!a", {"b": "1"}, {"a": "1"}),
        ("a in (1, 2)", {"a": "2"}, {"a": "3"}),
        ("a notin (1,2)", {}, {"a": "1"}),
        ("a=1,b=2", {"a": "1", "b": "2"}, {"a": "1"}),
        ("x.io/y-z in (q),!b", {"x.io/y-z": "q"}, {"x.io/y-z": "q", "b": ""}),
        (" a = 1 , b ", {"a": "1", "b": ""}, {"a": "1"}),
        ("a=", {"a": ""}, {"a": "1"}),
        ("input=1", {"input": "1"}, {"input": "2"}),
    ],
)
def test_label_selectors(text: str, yes: dict[str, str], no: dict[str, str]) -> None:
    selects = selector(PODS, text, "")
    assert selects is not None
    assert selects(labelled(**yes))
    assert not selects(labelled(**no))


@pytest.mark.parametrize("text", ["a in 1", "a=1 b=2", "=1", "a in (1", "a>1", "a=1,,"])
def test_what_is_no_label_selector(text: str) -> None:
    with pytest.raises(BadRequest, match="unable to parse requirement"):
        selector(PODS, text, "")


@pytest.mark.parametrize(
    ("resource", "text", "obj", "selected"),
    [
        (PODS, "spec.nodeName=n", {"metadata": {}, "spec": {"nodeName": "n"}}, True),
        (PODS, "spec.nodeName=", {"metadata": {}, "spec": {}}, True),
        (PODS, "spec.nodeName!=n", {"metadata": {}, "spec": {}}, True),
        (
            PODS,
            "status.phase!=Failed,status.phase!=Succeeded",
            {"metadata": {}, "status": {"phase": "Failed"}},
            False,
        ),
        (NODES, "spec.unschedulable=true", {"metadata": {}, "spec": {"unschedulable": True}}, True),
        (NODES, "spec.unschedulable=false", {"metadata": {}}, True),
        (
            EVENTS,
            "involvedObject.uid=u,type=Warning",
            {"metadata": {}, "involvedObject": {"uid": "u"}},
            False,
        ),
        (EVENTS, "source=kubelet", {"metadata": {}, "source": {"component": "kubelet"}}, True),
        (VIRTUALMACHINEINSTANCES, "metadata.name==v", {"metadata": {"name": "v"}}, True),
        (PODS, r"metadata.name=a\,b", {"metadata": {"name": "a,b"}}, True),
    ],
)
def test_field_selectors(resource: Any, text: str, obj: dict[str, Any], selected: bool) -> None:
    selects = selector(resource, "", text)
    assert selects is not None
    assert selects(obj) is selected


@pytest.mark.parametrize("resource", [PODS, VIRTUALMACHINEINSTANCES])
def test_fields_that_a_kind_has_not(resource: Any) -> None:
    with pytest.raises(BadRequest, match=r"field label not supported: status\.nodeName"):
        selector(resource, "", "status.nodeName=n")


def test_nothing_asked_selects_everything() -> None:
    assert selector(PODS, "", "") is None
