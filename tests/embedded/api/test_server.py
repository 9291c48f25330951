from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from harness.embedded.api.certificate import server_context
from harness.embedded.api.resources import (
    EVENTS,
    KUBEVIRTS,
    NAMESPACES,
    NODES,
    PODS,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
)
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from tests.embedded.api.fakes import FakeHooks

Make = Callable[..., dict[str, Any]]
POD_PATH = "/api/v1/namespaces/default/pods"
VMI_PATH = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
RECORDED = Path(__file__).parents[2] / "recordings" / "kubevirt-api-answers.ndjson.gz"
TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


def recorded(case: str) -> Any:
    with gzip.open(RECORDED) as lines:
        return next(record for line in lines if (record := json.loads(line)).get("case") == case)


# -- who may ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic eDp5", "Bearer"])
async def test_without_the_token_nothing_is_served(server: ApiServer, header: str | None) -> None:
    context = ssl.create_default_context(cadata=server.authority.decode())
    headers = {"Authorization": header} if header else {}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), headers=headers) as session,
        session.get(f"{server.url}/api/v1/pods") as answer,
    ):
        assert answer.status == 401
        body = await answer.json()
    assert body["kind"] == "Status"
    assert body["reason"] == "Unauthorized"


async def test_health_and_version_are_public(server: ApiServer) -> None:
    context = ssl.create_default_context(cadata=server.authority.decode())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for path in ("/healthz", "/readyz", "/livez"):
            async with session.get(server.url + path) as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
        async with session.get(server.url + "/version/") as answer:
            assert (await answer.json())["gitVersion"] == "v1.36.2+density.embedded"


async def test_the_certificate_is_not_trusted_by_others(server: ApiServer) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(server.url + "/healthz")


def test_no_key_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server_context()

    assert list(tmp_path.iterdir()) == []


# -- reading ---------------------------------------------------------------------------------------------------


async def test_list_and_get(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("b", labels={"app": "x"}))
    store.create(PODS, pod("a", node="n"))
    async with http.get("/api/v1/pods?limit=500") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        body = await answer.json()
    assert body["kind"] == "PodList"
    assert body["apiVersion"] == "v1"
    assert body["metadata"] == {"resourceVersion": "4"}
    assert [item["metadata"]["name"] for item in body["items"]] == ["a", "b"]

    async with http.get(f"{POD_PATH}/a") as answer:
        assert (await answer.json())["spec"]["nodeName"] == "n"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("labelSelector=app", ["a", "b"]),
        ("labelSelector=app%3Dx", ["a"]),
        ("labelSelector=app!%3Dx", ["b", "c"]),
        ("labelSelector=!app", ["c"]),
        ("labelSelector=app+in+(x,y),tier+notin+(z)", ["a", "b"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=spec.nodeName%3Dn,status.phase!%3DFailed", ["c"]),
    ],
)
async def test_selectors(
    http: aiohttp.ClientSession, store: Store, pod: Make, query: str, names: list[str]
) -> None:
    store.create(PODS, pod("a", labels={"app": "x"}))
    store.create(PODS, pod("b", labels={"app": "y"}))
    store.create(PODS, pod("c", node="n"))
    async with http.get(f"{POD_PATH}?{query}") as answer:
        assert [item["metadata"]["name"] for item in (await answer.json())["items"]] == names


@pytest.mark.parametrize(
    "query", ["fieldSelector=spec.foo%3D1", "labelSelector=a%3D%3D%3Db", "fieldSelector=x"]
)
async def test_bad_selectors_are_bad_requests(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"{POD_PATH}?{query}") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nothing",
        "/apis/kubevirt.io/v2/virtualmachineinstances",
        "/api/v1/namespaces/d/nodes",
        "/x",
        "/apis/x",
    ],
)
async def test_unknown_paths(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        body = await answer.json()
    assert answer.status == 404
    assert body["message"] == "the server could not find the requested resource"


@pytest.mark.parametrize("case", ["kubelet-bad-node", "vnc-missing", "console-missing"])
async def test_missing_things_are_worded_as_recorded(http: aiohttp.ClientSession, case: str) -> None:
    record = recorded(case)
    async with http.get(record["path"]) as answer:
        assert answer.status == record["answer"]["status"]
        assert await answer.json() == record["answer"]["body"]


async def test_versions_of_lists(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    for query, code in (
        ("resourceVersion=0", 200),
        ("resourceVersion=2", 200),
        ("resourceVersion=3&resourceVersionMatch=Exact", 200),
        ("resourceVersion=2&resourceVersionMatch=Exact", 410),
        ("resourceVersion=99", 504),
        ("resourceVersion=x", 400),
        ("continue=abc", 400),
    ):
        async with http.get(f"{POD_PATH}?{query}") as answer:
            assert answer.status == code, query


async def test_table(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a", node="n"))
    async with http.get(POD_PATH, headers={"Accept": TABLE}) as answer:
        body = await answer.json()
    assert (body["kind"], body["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [c["name"] for c in body["columnDefinitions"]][:5] == [
        "Name",
        "Ready",
        "Status",
        "Restarts",
        "Age",
    ]
    assert body["rows"][0]["cells"] == ["a", "0/1", "Unknown", "0", "0s", "<none>", "n", "<none>", "<none>"]
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert "spec" not in body["rows"][0]["object"]

    async with http.get(f"{POD_PATH}/a?includeObject=Object", headers={"Accept": TABLE}) as answer:
        assert (await answer.json())["rows"][0]["object"]["spec"]["nodeName"] == "n"


async def test_only_unservable_types_are_refused(http: aiohttp.ClientSession) -> None:
    async with http.get(POD_PATH, headers={"Accept": "application/cbor"}) as answer:
        assert answer.status == 406
    async with http.get(
        POD_PATH, headers={"Accept": "application/vnd.kubernetes.protobuf,application/json"}
    ) as answer:
        assert answer.status == 200


async def test_an_old_version_is_served_with_a_warning(
    http: aiohttp.ClientSession, store: Store, vmi: Make
) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    old = VMI_PATH.replace("/v1/", "/v1alpha3/")
    async with http.get(f"{old}/v") as answer:
        assert (await answer.json())["apiVersion"] == "kubevirt.io/v1alpha3"
        assert answer.headers["Warning"] == recorded("v1alpha3")["answer"]["warnings"][0]
    async with http.post(old, json={**vmi("w"), "apiVersion": "kubevirt.io/v1alpha3"}) as answer:
        assert answer.status == 201
        assert (await answer.json())["apiVersion"] == "kubevirt.io/v1alpha3"
    assert store.get(VIRTUALMACHINEINSTANCES, "default", "w")["apiVersion"] == "kubevirt.io/v1"


# -- writing ---------------------------------------------------------------------------------------------------


async def test_create(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    async with http.post(POD_PATH, json={**pod("a"), "status": {"phase": "Running"}}) as answer:
        assert answer.status == 201
        body = await answer.json()
    assert body == store.get(PODS, "default", "a")
    assert body["status"] == {"phase": "Pending"}

    async with http.post(POD_PATH, json=pod("a")) as answer:
        assert answer.status == 409


async def test_create_with_a_generated_name(http: aiohttp.ClientSession, pod: Make) -> None:
    body = pod("x")
    body["metadata"] = {"generateName": "hog-"}
    async with http.post(POD_PATH, json=body) as answer:
        name = (await answer.json())["metadata"]["name"]
    assert name.startswith("hog-")
    assert len(name) == 9


async def test_a_body_without_a_content_type_is_json(http: aiohttp.ClientSession, pod: Make) -> None:
    async with http.post(
        POD_PATH, data=json.dumps(pod("a")).encode(), skip_auto_headers=["Content-Type"]
    ) as answer:
        assert answer.status == 201


@pytest.mark.parametrize(
    ("path", "body", "code", "part"),
    [
        (POD_PATH, {"kind": "Node", "metadata": {"name": "a"}}, 400, "must be of type Pod"),
        (
            POD_PATH,
            {"apiVersion": "v2", "metadata": {"name": "a"}},
            400,
            "does not match the expected API version",
        ),
        (POD_PATH, {"metadata": {"name": "a"}, "spec": {}}, 422, "spec.containers: Required value"),
        (POD_PATH, [], 400, "must be an object"),
        (POD_PATH, {"metadata": []}, 400, "metadata must be an object"),
        ("/api/v1/namespaces/gone/pods", {"metadata": {"name": "a"}}, 404, 'namespaces "gone" not found'),
        (
            "/api/v1/namespaces/default/services",
            {"metadata": {"name": "a"}},
            405,
            "does not allow this method",
        ),
        (
            "/api/v1/namespaces/default/events",
            {"metadata": {"name": "e"}},
            422,
            "involvedObject: Required value",
        ),
        (VMI_PATH, {"metadata": {"name": "forbidden"}}, 422, "denied the request: no"),
    ],
)
async def test_refused_creations(
    http: aiohttp.ClientSession, store: Store, path: str, body: Any, code: int, part: str
) -> None:
    before = store.resource_version
    async with http.post(path, json=body) as answer:
        status = await answer.json()
    assert (answer.status, status["kind"], status["code"]) == (code, "Status", code)
    assert part in status["message"]
    assert store.resource_version == before


async def test_a_body_that_is_no_json(http: aiohttp.ClientSession) -> None:
    async with http.post(POD_PATH, data=b"{", headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 400
    async with http.post(POD_PATH, data=b"a: b", headers={"Content-Type": "application/yaml"}) as answer:
        assert answer.status == 415


@pytest.mark.parametrize(
    ("query", "code", "warned"),
    [
        ("", 201, True),
        ("?fieldValidation=Warn", 201, True),
        ("?fieldValidation=Ignore", 201, False),
        ("?fieldValidation=Strict", 400, False),
        ("?fieldValidation=Loud", 400, False),
    ],
)
async def test_field_validation(
    http: aiohttp.ClientSession, vmi: Make, query: str, code: int, warned: bool
) -> None:
    body = vmi("v")
    body["spec"]["tpyo"] = 1
    async with http.post(VMI_PATH + query, json=body) as answer:
        assert answer.status == code
        expected = ['299 - "unknown field \\"spec.tpyo\\""'] if warned else []
        assert answer.headers.getall("Warning", []) == expected
        if code == 201:
            assert "tpyo" not in (await answer.json())["spec"]


async def test_dry_runs_store_nothing(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    before = store.resource_version
    async with http.post(f"{POD_PATH}?dryRun=All", json=pod("b")) as answer:
        assert (answer.status, (await answer.json())["metadata"]["name"]) == (201, "b")
    async with http.post(f"{POD_PATH}?dryRun=All", json=pod("a")) as answer:
        assert answer.status == 409
    async with http.patch(
        f"{POD_PATH}/a?dryRun=All",
        json={"metadata": {"labels": {"x": "y"}}},
        headers={"Content-Type": "application/merge-patch+json"},
    ) as answer:
        assert (await answer.json())["metadata"]["labels"] == {"x": "y"}
    async with http.delete(f"{POD_PATH}/a", json={"dryRun": ["All"]}) as answer:
        assert answer.status == 200
    async with http.post(f"{POD_PATH}?dryRun=Some", json=pod("b")) as answer:
        assert answer.status == 400
    assert store.resource_version == before


async def test_update_and_conflict(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    old = store.create(PODS, pod("a"))
    changed = {**old, "metadata": {**old["metadata"], "labels": {"x": "y"}}, "status": {"phase": "Failed"}}
    async with http.put(f"{POD_PATH}/a", json=changed) as answer:
        body = await answer.json()
    assert answer.status == 200
    assert body["metadata"]["labels"] == {"x": "y"}
    assert "status" not in body
    async with http.put(f"{POD_PATH}/a", json=changed) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (409, "Conflict")
    async with http.put(f"{POD_PATH}/b", json=changed) as answer:
        assert answer.status == 404


async def test_names_must_match_the_path(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    async with http.put(f"{POD_PATH}/a", json=pod("b")) as answer:
        assert answer.status == 400
        assert "does not match the name on the URL (a)" in (await answer.json())["message"]


async def test_status_is_a_part_of_its_own(http: aiohttp.ClientSession, store: Store, vmi: Make) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    patch = {"spec": {"domain": {"memory": {"guest": "1Gi"}}}, "status": {"phase": "Running"}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(f"{VMI_PATH}/v/status", json=patch, headers=headers) as answer:
        body = await answer.json()
    assert body["status"] == {"phase": "Running"}
    assert body["spec"]["domain"]["memory"]["guest"] == "64Mi"
    async with http.patch(
        f"{VMI_PATH}/v", json={"spec": {"x": 1}, "status": {"phase": "Failed"}}, headers=headers
    ) as answer:
        body = await answer.json()
    assert body["spec"]["x"] == 1
    assert body["status"] == {"phase": "Running"}


async def test_a_pods_spec_is_fixed(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    headers = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(f"{POD_PATH}/a", json={"spec": {"nodeName": "n"}}, headers=headers) as answer:
        assert answer.status == 422
        assert "pod updates may not change fields other than" in (await answer.json())["message"]
    async with http.patch(
        f"{POD_PATH}/a",
        json={"spec": {"containers": [{"name": "c", "image": "j"}]}},
        headers={"Content-Type": "application/strategic-merge-patch+json"},
    ) as answer:
        assert (await answer.json())["spec"]["containers"] == [{"name": "c", "image": "j"}]


@pytest.mark.parametrize(
    ("path", "media", "body", "code"),
    [
        (
            f"{POD_PATH}/a",
            "application/json-patch+json",
            [{"op": "test", "path": "/kind", "value": "Pod"}],
            200,
        ),
        (
            f"{POD_PATH}/a",
            "application/json-patch+json",
            [{"op": "test", "path": "/kind", "value": "X"}],
            422,
        ),
        (f"{POD_PATH}/a", "application/json-patch+json", [{"op": "fly"}], 400),
        (f"{POD_PATH}/a", "application/json-patch+json", {"op": "add"}, 400),
        (f"{POD_PATH}/a", "application/json-patch+json", [{"op": "remove", "path": "/spec/x/y"}], 422),
        (f"{POD_PATH}/a", "application/json-patch+json", [{"op": "replace", "path": "", "value": 1}], 400),
        (
            f"{POD_PATH}/a",
            "application/json-patch+json",
            [{"op": "replace", "path": "/metadata", "value": 1}],
            400,
        ),
        (f"{POD_PATH}/a", "application/merge-patch+json", [], 400),
        (f"{POD_PATH}/a", "application/apply-patch+yaml", {}, 415),
        (f"{POD_PATH}/none", "application/apply-patch+yaml", {}, 415),
        (f"{VMI_PATH}/v", "application/strategic-merge-patch+json", {}, 415),
        (f"{POD_PATH}/none", "application/merge-patch+json", {}, 404),
        (f"{POD_PATH}/a", "application/merge-patch+json", {"metadata": {"resourceVersion": "1"}}, 409),
    ],
)
async def test_patches(
    http: aiohttp.ClientSession,
    store: Store,
    pod: Make,
    vmi: Make,
    path: str,
    media: str,
    body: Any,
    code: int,
) -> None:
    store.create(PODS, pod("a"))
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    before = store.resource_version
    async with http.patch(path, json=body, headers={"Content-Type": media}) as answer:
        assert answer.status == code, await answer.text()
        assert (await answer.json())["kind"] == ("Pod" if code == 200 else "Status")
    assert store.resource_version == before


# -- deleting --------------------------------------------------------------------------------------------------


async def test_delete_answers_pods_as_pods(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    store.create(PODS, pod("b", node="n"))
    async with http.delete(f"{POD_PATH}/a") as answer:
        assert (await answer.json())["kind"] == "Pod"
    async with http.delete(f"{POD_PATH}/b", json={"gracePeriodSeconds": 7}) as answer:
        assert (await answer.json())["metadata"]["deletionGracePeriodSeconds"] == 7
    async with http.delete(f"{POD_PATH}/b?gracePeriodSeconds=0") as answer:
        assert answer.status == 200
    assert store.list(PODS)[0] == []


async def test_delete_answers_others_with_a_status_once_gone(
    http: aiohttp.ClientSession, store: Store, vmi: Make
) -> None:
    held = vmi("held")
    held["metadata"]["finalizers"] = ["a/b"]
    store.create(VIRTUALMACHINEINSTANCES, held)
    uid = store.create(VIRTUALMACHINEINSTANCES, vmi("free"))["metadata"]["uid"]
    async with http.delete(f"{VMI_PATH}/held", json={"propagationPolicy": "Foreground"}) as answer:
        assert (await answer.json())["kind"] == "VirtualMachineInstance"
    async with http.delete(f"{VMI_PATH}/free") as answer:
        body = await answer.json()
    assert (body["kind"], body["status"]) == ("Status", "Success")
    assert body["details"]["uid"] == uid


async def test_delete_refusals(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    for options, code in (
        ({"preconditions": {"uid": "x"}}, 409),
        ({"propagationPolicy": "Sideways"}, 400),
        ({"gracePeriodSeconds": "soon"}, 400),
    ):
        async with http.delete(f"{POD_PATH}/a", json=options) as answer:
            assert answer.status == code
    async with http.delete(f"{POD_PATH}/none") as answer:
        assert answer.status == 404


async def test_delete_options_may_come_as_protobuf(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    store.create(PODS, pod("a", node="n"))
    body = b"k8s\x00\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x02\x08\x05"
    async with http.delete(
        f"{POD_PATH}/a", data=body, headers={"Content-Type": "application/vnd.kubernetes.protobuf"}
    ) as answer:
        assert (await answer.json())["metadata"]["deletionGracePeriodSeconds"] == 5


async def test_delete_a_collection(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    for name in ("a", "b", "c"):
        store.create(PODS, pod(name, labels={"n": name}))
    async with http.delete(f"{POD_PATH}?labelSelector=n+in+(a,b)") as answer:
        assert (await answer.json())["status"] == "Success"
    assert [o["metadata"]["name"] for o in store.list(PODS)[0]] == ["c"]


async def test_nothing_is_made_in_a_namespace_that_goes(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    store.create(NAMESPACES, {"metadata": {"name": "x"}})
    store.create(PODS, pod("a", node="n"), namespace="x")
    async with http.delete("/api/v1/namespaces/x") as answer:
        assert (await answer.json())["status"]["phase"] == "Terminating"
    async with http.post("/api/v1/namespaces/x/pods", json=pod("b")) as answer:
        body = await answer.json()
    assert answer.status == 403
    assert body["details"]["causes"][0]["reason"] == "NamespaceTerminating"


# -- running things --------------------------------------------------------------------------------------------


async def test_kubelet_pages(http: aiohttp.ClientSession, store: Store) -> None:
    for name in ("n", "mute"):
        store.create(NODES, {"metadata": {"name": name}})
    async with http.get("/api/v1/nodes/n/proxy/stats/summary") as answer:
        assert (await answer.json())["node"]["memory"]["availableBytes"] == 1
    async with http.get("/api/v1/nodes/n/proxy/configz") as answer:
        assert (await answer.json())["kubeletconfig"]["evictionHard"]["memory.available"] == "200Mi"
    async with http.get("/api/v1/nodes/n/proxy/pods") as answer:
        assert answer.status == 404
    async with http.get("/api/v1/nodes/mute/proxy/stats/summary") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "one\ntwo\nthree\n"),
        ("?tailLines=2", "two\nthree\n"),
        ("?tailLines=0", ""),
        ("?tailLines=9", "one\ntwo\nthree\n"),
        ("?limitBytes=5", "one\nt"),
        ("?container=c", "one\ntwo\nthree\n"),
    ],
)
async def test_logs(http: aiohttp.ClientSession, store: Store, pod: Make, query: str, text: str) -> None:
    store.create(PODS, pod("a"))
    async with http.get(f"{POD_PATH}/a/log{query}") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert await answer.text() == text


async def test_logs_followed(http: aiohttp.ClientSession, store: Store, pod: Make, hooks: FakeHooks) -> None:
    store.create(PODS, pod("a"))
    async with http.get(f"{POD_PATH}/a/log?follow=true&tailLines=1") as answer:
        assert await answer.content.readline() == b"three\n"
        hooks.later.put_nowait(b"four\n")
        assert await answer.content.readline() == b"four\n"
        hooks.later.put_nowait(None)
        assert await answer.content.read() == b""


async def test_logs_need_a_container_where_there_are_several(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    body = pod("a")
    body["spec"]["containers"].append({"name": "d", "image": "i"})
    store.create(PODS, body)
    for query, message in (
        ("", "a container name must be specified for pod a, choose one of: [c d]"),
        ("?container=e", "container e is not valid for pod a"),
    ):
        async with http.get(f"{POD_PATH}/a/log{query}") as answer:
            assert (answer.status, (await answer.json())["message"]) == (400, message)


async def test_eviction_deletes(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a", node="n"))
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "a", "namespace": "default"},
        "deleteOptions": {"gracePeriodSeconds": 3},
    }
    async with http.post(f"{POD_PATH}/a/eviction", json=eviction) as answer:
        assert (answer.status, (await answer.json())["status"]) == (201, "Success")
    assert store.get(PODS, "default", "a")["metadata"]["deletionGracePeriodSeconds"] == 3


async def test_reviews(http: aiohttp.ClientSession) -> None:
    spec = {"resourceAttributes": {"verb": "create", "resource": "pods"}}
    async with http.post(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json={"spec": spec}
    ) as answer:
        body = await answer.json()
    assert (answer.status, body["status"], body["spec"]) == (201, {"allowed": True}, spec)


# -- discovery -------------------------------------------------------------------------------------------------


async def test_aggregated_discovery_repeats_the_exact_media_type(http: aiohttp.ClientSession) -> None:
    wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    async with http.get("/apis", headers={"Accept": f"{wanted},application/json"}) as answer:
        assert answer.headers["Content-Type"] == wanted
        body = await answer.json(content_type=None)
    assert body["kind"] == "APIGroupDiscoveryList"
    names = {item["metadata"]["name"]: [v["version"] for v in item["versions"]] for item in body["items"]}
    assert names["kubevirt.io"] == ["v1", "v1alpha3"]
    async with http.get("/apis", headers={"Accept": "application/json"}) as answer:
        assert (await answer.json())["kind"] == "APIGroupList"


async def test_legacy_discovery_names_the_group_of_foreign_kinds(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/v1/") as answer:
        resources = {item["name"]: item for item in (await answer.json())["resources"]}
    assert resources["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "kind": "Eviction",
        "verbs": ["create"],
        "group": "policy",
        "version": "v1",
    }
    assert resources["pods"]["shortNames"] == ["po"]
    async with http.get("/apis/subresources.kubevirt.io/v1") as answer:
        listed = [item["name"] for item in (await answer.json())["resources"]]
    assert listed == [
        "virtualmachines/restart",
        "virtualmachines/start",
        "virtualmachines/stop",
        "virtualmachineinstances/console",
        "virtualmachineinstances/vnc",
    ]


@pytest.mark.parametrize(
    "resource", [NODES, NAMESPACES, PODS, EVENTS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES, KUBEVIRTS]
)
async def test_openapi_names_every_kind_that_can_be_created(
    http: aiohttp.ClientSession, resource: Any
) -> None:
    async with http.get("/openapi/v3") as answer:
        paths = (await answer.json())["paths"]
    key = f"apis/{resource.api_version}" if resource.group else "api/v1"
    async with http.get(paths[key]["serverRelativeURL"]) as answer:
        document = await answer.json()
    operations = [path["patch"] for path in document["paths"].values() if "patch" in path]
    (found,) = [o for o in operations if o["x-kubernetes-group-version-kind"]["kind"] == resource.kind]
    assert "fieldValidation" in [parameter["name"] for parameter in found["parameters"]]


async def test_a_vm_is_started_and_stopped_by_put(http: aiohttp.ClientSession, store: Store) -> None:
    spec = {"runStrategy": "Halted", "template": {"spec": {"domain": {"devices": {}}}}}
    store.create(VIRTUALMACHINES, {"metadata": {"name": "a"}, "spec": spec}, namespace="default")
    base = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines"
    async with http.put(f"{base}/a/start") as answer:
        assert (answer.status, await answer.read()) == (202, b"")
    assert store.get(VIRTUALMACHINES, "default", "a")["spec"]["runStrategy"] == "Always"
    async with http.put(f"{base}/a/start") as answer:
        body = await answer.json()
    refused = 'Operation cannot be fulfilled on virtualmachine.kubevirt.io "a": '
    assert (answer.status, body["message"]) == (
        409,
        f"{refused}Always does not support manual start requests",
    )
    async with http.put(f"{base}/a/stop", json={"gracePeriod": 5}) as answer:
        assert answer.status == 400
    async with http.put(f"{base}/a/stop", json={"dryRun": ["All"]}) as answer:
        assert answer.status == 202
    assert store.get(VIRTUALMACHINES, "default", "a")["spec"]["runStrategy"] == "Always"
    async with http.get(f"{base}/a/stop") as answer:
        assert answer.status == 405
    async with http.put(f"{base}/b/stop") as answer:
        body = await answer.json()
    assert (answer.status, body["message"]) == (404, 'virtualmachine.kubevirt.io "b" not found')


async def test_a_bug_is_an_internal_error_not_a_hang(
    http: aiohttp.ClientSession, store: Store, pod: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(PODS, pod("a"))
    monkeypatch.setattr(store, "list", None)
    async with http.delete(POD_PATH) as answer:
        body = await answer.json()
    assert (answer.status, body["reason"]) == (500, "InternalError")
