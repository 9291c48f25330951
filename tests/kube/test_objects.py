from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from harness.kube import node
from harness.kube.connection import connect
from harness.kube.errors import (
    ConfigError,
    Conflict,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unreachable,
)
from harness.kube.objects import Objects
from harness.kube.resources import NODES, PODS, VMIS
from tests.kube.faulty import kubeconfig, serve, status


class Script:
    """Answers each request with the next of `answers` and keeps what was asked."""

    def __init__(self, *answers: web.Response) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append(
            (
                request.method,
                str(request.rel_url),
                orjson.loads(body) if body else None,
                request.headers.get("Content-Type", ""),
            )
        )
        return self.answers.pop(0)


def ok(body: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json", headers=headers)


@asynccontextmanager
async def scripted(script: Script, warnings: list[str] | None = None) -> AsyncIterator[Objects]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", script.handle)
    async with serve(app) as url, connect(kubeconfig(url)) as connection:
        yield Objects(connection, warn=None if warnings is None else warnings.append, patience=2.0)


async def test_create_is_strict_and_hands_on_warnings() -> None:
    warnings: list[str] = []
    script = Script(ok({"kind": "VirtualMachineInstance"}, {"Warning": '299 - "spec.x: \\"y\\" is unknown"'}))
    async with scripted(script, warnings) as objects:
        await objects.create(VMIS, {"spec": {}}, namespace="ns")
    assert script.asked == [
        (
            "POST",
            "/apis/kubevirt.io/v1/namespaces/ns/virtualmachineinstances?fieldManager=density&fieldValidation=Strict",
            {"spec": {}},
            "application/json",
        )
    ]
    assert warnings == ['spec.x: "y" is unknown']


async def test_a_warning_that_ends_in_a_quoted_word_is_whole() -> None:
    warnings: list[str] = []
    header = '299 - "unknown field \\"spec.domain.x\\\\y\\""'
    script = Script(ok({"kind": "VirtualMachineInstance"}, {"Warning": header}))
    async with scripted(script, warnings) as objects:
        await objects.create(VMIS, {"spec": {}}, namespace="ns")
    assert warnings == ['unknown field "spec.domain.x\\y"']


async def test_create_is_not_repeated_after_a_server_error_but_after_429() -> None:
    script = Script(status(500, "InternalError"), ok({}))
    async with scripted(script) as objects:
        with pytest.raises(ServerError):
            await objects.create(PODS, {}, namespace="ns")
        script.answers = [status(429, "TooManyRequests", {"Retry-After": "0"}), ok({"a": 1})]
        assert await objects.create(PODS, {}, namespace="ns") == {"a": 1}


async def test_retry_after_is_honoured() -> None:
    script = Script(status(429, "TooManyRequests", {"Retry-After": "1"}), ok({"a": 1}))
    async with scripted(script) as objects:
        objects._patience = 0.5
        with pytest.raises(TooManyRequests) as caught:  # one second asked, half a second of patience
            await objects.get(PODS, "p", namespace="ns")
        assert caught.value.retry_after == 1.0
    assert len(script.asked) == 1


async def test_an_idempotent_call_is_repeated_after_a_server_error() -> None:
    script = Script(status(503, "ServiceUnavailable"), ok({"a": 1}))
    async with scripted(script) as objects:
        assert await objects.patch(PODS, "p", {"spec": None}, namespace="ns") == {"a": 1}
    assert [a[3] for a in script.asked] == ["application/merge-patch+json"] * 2


async def test_a_json_patch_is_not_repeated() -> None:
    script = Script(status(503, "ServiceUnavailable"))
    async with scripted(script) as objects:
        with pytest.raises(ServerError):
            await objects.patch(
                PODS, "p", [{"op": "add", "path": "/x/-", "value": 1}], namespace="ns", kind="json"
            )
    assert script.asked[0][3] == "application/json-patch+json"


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [(404, "NotFound", NotFound), (409, "AlreadyExists", Conflict), (422, "Invalid", Invalid)],
)
async def test_errors_carry_status_and_message(code: int, reason: str, expected: type[Exception]) -> None:
    async with scripted(Script(status(code, reason))) as objects:
        with pytest.raises(expected, match=f"told: {reason}") as caught:
            await objects.get(PODS, "p", namespace="ns")
    assert caught.value.status == code  # type: ignore[attr-defined]
    assert caught.value.reason == reason  # type: ignore[attr-defined]


async def test_delete_of_what_is_gone_is_no_error() -> None:
    script = Script(status(404, "NotFound"), ok({}))
    async with scripted(script) as objects:
        assert await objects.delete(PODS, "p", namespace="ns") is False
        assert await objects.delete(PODS, "p", namespace="ns", grace=0) is True
    assert script.asked[1][2] == {"propagationPolicy": "Background", "gracePeriodSeconds": 0}


async def test_lists_follow_pages_and_say_the_kind() -> None:
    script = Script(
        ok({"metadata": {"continue": "c1", "resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]}),
        ok({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]}),
    )
    async with scripted(script) as objects:
        items, version = await objects.list_all(NODES, labels="a=b")
    assert [(i["metadata"]["name"], i["kind"], i["apiVersion"]) for i in items] == [
        ("a", "Node", "v1"),
        ("b", "Node", "v1"),
    ]
    assert version == "7"
    assert [a[1] for a in script.asked] == [
        "/api/v1/nodes?labelSelector=a%3Db",
        "/api/v1/nodes?labelSelector=a%3Db&continue=c1",
    ]


async def test_a_proxy_error_page_becomes_one_line() -> None:
    page = web.Response(status=403, text="<html>\nno\n")
    async with scripted(Script(page)) as objects:
        with pytest.raises(Exception, match=r"^<html>$"):
            await objects.get(PODS, "p", namespace="ns")


async def test_node_stats_and_configz() -> None:
    summary = {"node": {"memory": {"time": "2026-11-28T10:00:00Z", "availableBytes": 209715200}}}
    script = Script(ok(summary), ok({"kubeletconfig": {"evictionHard": {"memory.available": "200Mi"}}}))
    async with scripted(script) as objects:
        assert node.memory_row(await node.stats_summary(objects, "n1")) == ("2026-11-28T10:00:00Z", 209715200)
        assert await node.configz(objects, "n1") == {"evictionHard": {"memory.available": "200Mi"}}
    assert [a[1] for a in script.asked] == [
        "/api/v1/nodes/n1/proxy/stats/summary",
        "/api/v1/nodes/n1/proxy/configz",
    ]
    assert node.memory_row({"node": {}}) is None


async def test_nobody_there_is_one_line() -> None:
    async with connect(kubeconfig("http://127.0.0.1:1")) as connection:
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1: Cannot connect"):
            await Objects(connection, patience=0.0).get(PODS, "p", namespace="ns")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "no context ''"),
        ({"current-context": "x", "contexts": [{"name": "y"}]}, r"no context 'x' \(known: y\)"),
        (
            {"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "z"}}]},
            "unknown cluster 'z'",
        ),
        (kubeconfig("ftp://x"), "no usable server"),
        (
            {
                **kubeconfig("https://x"),
                "clusters": [
                    {"name": "k", "cluster": {"server": "https://x", "certificate-authority-data": "AAAA"}}
                ],
            },
            "unusable certificates",
        ),
    ],
)
async def test_bad_kubeconfigs_are_one_line(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        async with connect(document):
            pass
