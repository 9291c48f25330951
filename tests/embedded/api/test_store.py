from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from harness.embedded.api.errors import AlreadyExists, BadRequest, Conflict, Gone, Invalid, NotFound
from harness.embedded.api.resources import EVENTS, KUBEVIRTS, NAMESPACES, NODES, PODS, VIRTUALMACHINEINSTANCES
from harness.embedded.api.store import Store
from tests.embedded.api.fakes import Clock

Make = Callable[..., dict[str, Any]]


def test_create_stamps_what_the_api_server_stamps(store: Store) -> None:
    made = store.create(PODS, {"metadata": {"name": "a"}, "spec": {}}, namespace="default")

    assert made["apiVersion"] == "v1"
    assert made["kind"] == "Pod"
    assert made["metadata"]["namespace"] == "default"
    assert made["metadata"]["creationTimestamp"] == "2026-05-04T12:00:00Z"
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["resourceVersion"] == "3"
    assert len(made["metadata"]["uid"]) == 36
    assert store.get(PODS, "default", "a") is made


def test_same_seed_same_uids_and_names() -> None:
    one, two = (
        Store(seed=4).create(PODS, {"metadata": {"generateName": "p-"}}, namespace="d") for _ in range(2)
    )

    assert one["metadata"]["uid"] == two["metadata"]["uid"]
    assert one["metadata"]["name"] == two["metadata"]["name"]
    assert one["metadata"]["name"].startswith("p-")
    assert len(one["metadata"]["name"]) == 7


def test_create_takes_a_copy(store: Store, pod: Make) -> None:
    mine = pod("a")
    made = store.create(PODS, mine)
    mine["spec"]["containers"].append("later")

    assert len(made["spec"]["containers"]) == 1


def test_create_refuses_a_second_of_the_same_name(store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))

    with pytest.raises(AlreadyExists, match='pods "a" already exists') as caught:
        store.create(PODS, pod("a"))
    assert caught.value.status["code"] == 409
    assert caught.value.status["reason"] == "AlreadyExists"


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a" * 254])
def test_create_refuses_bad_names(store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        store.create(PODS, {"metadata": {"name": name}})
    assert caught.value.status["code"] == 422
    assert caught.value.status["details"]["causes"][0]["field"] == "metadata.name"


def test_create_refuses_another_namespace_than_asked(store: Store) -> None:
    with pytest.raises(BadRequest, match="does not match the namespace"):
        store.create(PODS, {"metadata": {"name": "a", "namespace": "x"}}, namespace="y")


def test_what_is_no_json_fails_in_the_writers_hands(store: Store) -> None:
    before = store.resource_version
    with pytest.raises(TypeError):
        store.create(PODS, {"metadata": {"name": "a"}, "spec": {"x": {1, 2}}})
    assert store.resource_version == before
    assert store.list(PODS)[0] == []


def test_get_names_the_group_of_what_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound, match=r'^virtualmachineinstances.kubevirt.io "a" not found$'):
        store.get(VIRTUALMACHINEINSTANCES, "default", "a")


def test_list_is_sorted_and_of_one_namespace(store: Store, pod: Make) -> None:
    for namespace, name in (("b", "y"), ("a", "z"), ("a", "x")):
        store.create(PODS, pod(name), namespace=namespace)

    everything, version = store.list(PODS)
    assert [o["metadata"]["name"] for o in everything] == ["x", "z", "y"]
    assert [o["metadata"]["name"] for o in store.list(PODS, "a")[0]] == ["x", "z"]
    assert version == 5


def test_update_with_an_old_version_conflicts(store: Store, pod: Make) -> None:
    first = store.create(PODS, pod("a"))
    store.mutate(PODS, "default", "a", lambda o: o["spec"].update(x=1))

    with pytest.raises(Conflict, match="the object has been modified"):
        store.update(PODS, {**first, "spec": {}})


def test_update_without_a_version_overwrites(store: Store, pod: Make) -> None:
    first = store.create(PODS, pod("a"))
    body = {"metadata": {"name": "a", "namespace": "default", "labels": {"k": "v"}}, "spec": {"n": 1}}
    second = store.update(PODS, body)

    assert second["spec"] == {"n": 1}
    assert second["metadata"]["labels"] == {"k": "v"}
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1


def test_mutate_edits_a_copy_and_shares_nothing_it_changed(store: Store, pod: Make) -> None:
    first = store.create(PODS, pod("a"))
    second = store.mutate(PODS, "default", "a", lambda o: o["spec"]["containers"].append({"name": "d"}))

    assert len(first["spec"]["containers"]) == 1
    assert len(second["spec"]["containers"]) == 2


def test_mutate_without_a_change_writes_nothing(store: Store, pod: Make) -> None:
    first = store.create(PODS, pod("a"))
    before = store.resource_version
    second = store.mutate(
        PODS, "default", "a", lambda o: o["spec"].update(containers=first["spec"]["containers"])
    )

    assert second is first
    assert store.resource_version == before
    assert store.since(PODS, before) == []


def test_a_failing_mutation_leaves_the_object(store: Store, pod: Make) -> None:
    first = store.create(PODS, pod("a"))

    def half(obj: dict[str, Any]) -> None:
        obj["spec"]["x"] = 1
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        store.mutate(PODS, "default", "a", half)
    assert store.get(PODS, "default", "a") is first


@pytest.mark.parametrize(
    ("resource", "part", "generation"),
    [
        (PODS, "spec", 2),
        (PODS, "status", 1),
        (PODS, "metadata", 1),
        (VIRTUALMACHINEINSTANCES, "spec", 2),
        (VIRTUALMACHINEINSTANCES, "status", 2),
        (VIRTUALMACHINEINSTANCES, "metadata", 1),
        (KUBEVIRTS, "spec", 2),
        (KUBEVIRTS, "status", 1),
        (NODES, "spec", None),
    ],
)
def test_generation_follows_what_real_clusters_count(
    store: Store, resource: Any, part: str, generation: int | None
) -> None:
    store.create(resource, {"metadata": {"name": "a"}, "spec": {"x": 1}})
    namespace = "default" if resource.namespaced else ""
    key = "labels" if part == "metadata" else "x"
    changed = store.mutate(
        resource, namespace, "a", lambda o: o.setdefault(part, {}).update({key: {"y": "2"}})
    )

    assert changed["metadata"].get("generation") == generation


# -- deletion --------------------------------------------------------------------------------------------------


def test_a_pod_without_a_node_goes_at_once(store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    store.delete(PODS, "default", "a")

    with pytest.raises(NotFound):
        store.get(PODS, "default", "a")


def test_a_pod_on_a_node_waits_for_its_kubelet(store: Store, pod: Make, clock: Clock) -> None:
    body = pod("a", node="n")
    body["spec"]["terminationGracePeriodSeconds"] = 50
    store.create(PODS, body)
    clock.advance(5)
    marked = store.delete(PODS, "default", "a")

    assert marked["metadata"]["deletionTimestamp"] == "2026-05-04T12:00:55Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 50
    assert store.delete(PODS, "default", "a") is marked

    shorter = store.delete(PODS, "default", "a", grace=10)
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 10
    assert store.delete(PODS, "default", "a", grace=20) is shorter

    store.remove(PODS, "default", "a")
    assert store.list(PODS)[0] == []


def test_a_pod_goes_at_once_when_forced_or_finished(store: Store, pod: Make) -> None:
    store.create(PODS, pod("a", node="n"))
    store.delete(PODS, "default", "a", grace=0)
    store.create(PODS, pod("b", node="n"))
    store.mutate(PODS, "default", "b", lambda o: o.update(status={"phase": "Failed"}))
    store.delete(PODS, "default", "b")

    assert store.list(PODS)[0] == []


def test_finalizers_hold_an_object_until_the_last_is_taken_away(store: Store, vmi: Make) -> None:
    body = vmi("v")
    body["metadata"]["finalizers"] = ["kubevirt.io/foregroundDeleteVirtualMachine", "x/y"]
    store.create(VIRTUALMACHINEINSTANCES, body)
    marked = store.delete(VIRTUALMACHINEINSTANCES, "default", "v")
    assert marked["metadata"]["deletionTimestamp"] == "2026-05-04T12:00:00Z"

    store.mutate(VIRTUALMACHINEINSTANCES, "default", "v", lambda o: o["metadata"]["finalizers"].remove("x/y"))
    assert store.get(VIRTUALMACHINEINSTANCES, "default", "v")["metadata"]["finalizers"] == [
        "kubevirt.io/foregroundDeleteVirtualMachine"
    ]

    before = store.resource_version
    store.mutate(VIRTUALMACHINEINSTANCES, "default", "v", lambda o: o["metadata"].pop("finalizers"))
    assert store.list(VIRTUALMACHINEINSTANCES)[0] == []
    assert [change.type for change in store.since(VIRTUALMACHINEINSTANCES, before)] == ["DELETED"]


def test_an_update_cannot_take_back_a_deletion(store: Store, pod: Make) -> None:
    store.create(PODS, pod("a", node="n"))
    store.delete(PODS, "default", "a")
    after = store.mutate(PODS, "default", "a", lambda o: o["metadata"].pop("deletionTimestamp"))

    assert after["metadata"]["deletionTimestamp"] == "2026-05-04T12:00:30Z"


def test_preconditions(store: Store, pod: Make) -> None:
    made = store.create(PODS, pod("a"))
    with pytest.raises(Conflict, match="UID in precondition: other"):
        store.delete(PODS, "default", "a", uid="other")
    with pytest.raises(Conflict, match="ResourceVersion in precondition: 1"):
        store.delete(PODS, "default", "a", resource_version="1")
    with pytest.raises(Conflict):
        store.remove(PODS, "default", "a", uid="other")
    store.delete(PODS, "default", "a", uid=made["metadata"]["uid"])
    assert store.list(PODS)[0] == []


def test_a_namespace_ends_after_what_is_in_it(store: Store, pod: Make) -> None:
    store.create(NAMESPACES, {"metadata": {"name": "x"}})
    store.create(PODS, pod("a", node="n"), namespace="x")
    store.create(PODS, pod("b"), namespace="x")
    store.create(EVENTS, {"metadata": {"name": "e"}, "involvedObject": {}}, namespace="x")
    store.delete(NAMESPACES, "", "x")

    assert store.get(NAMESPACES, "", "x")["status"]["phase"] == "Terminating"
    assert [o["metadata"]["name"] for o in store.list(PODS, "x")[0]] == ["a"]
    store.remove(PODS, "x", "a")
    assert [o["metadata"]["name"] for o in store.list(NAMESPACES)[0]] == ["default"]
    assert store.list(EVENTS)[0] == []


# -- changes ---------------------------------------------------------------------------------------------------


async def test_a_subscriber_sees_what_is_there_then_what_happens(store: Store, pod: Make) -> None:
    store.create(NODES, {"metadata": {"name": "n"}})
    store.create(PODS, pod("a"))
    async with store.subscribe(PODS, NODES) as changes:
        store.mutate(NODES, "", "n", lambda o: o.update(status={"x": 1}))
        store.mutate(PODS, "default", "a", lambda o: o.update(status={"x": 1}))
        store.delete(PODS, "default", "a")
        seen = [await anext(changes) for _ in range(5)]

    assert [(c.type, c.object["kind"]) for c in seen] == [
        ("ADDED", "Pod"),
        ("ADDED", "Node"),
        ("MODIFIED", "Node"),
        ("MODIFIED", "Pod"),
        ("DELETED", "Pod"),
    ]
    assert [c.resource_version for c in seen] == [4, 3, 5, 6, 7]
    assert "status" not in seen[0].object


async def test_a_waiting_subscriber_is_woken_and_leaves_nothing_behind(store: Store, pod: Make) -> None:
    changes = store.subscribe(PODS)
    waiting = asyncio.create_task(anext(changes))
    await asyncio.sleep(0)
    store.create(NODES, {"metadata": {"name": "n"}})
    await asyncio.sleep(0)
    assert not waiting.done()
    store.create(PODS, pod("a"))
    assert (await waiting).object["metadata"]["name"] == "a"

    waiting = asyncio.create_task(anext(changes))
    await asyncio.sleep(0)
    assert len(store._listeners[PODS]) == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(store._listeners[PODS]) == 0


async def test_a_subscriber_that_fell_behind_is_caught_up(pod: Make) -> None:
    store = Store(ring=4)
    store.create(PODS, pod("stays"))
    store.create(PODS, pod("goes"))
    store.create(PODS, pod("reborn"))
    changes = store.subscribe(PODS)
    for _ in range(3):
        await anext(changes)
    store.delete(PODS, "default", "goes")
    store.delete(PODS, "default", "reborn")
    store.create(PODS, pod("reborn"))
    for number in range(20):
        store.mutate(PODS, "default", "stays", lambda o, n=number: o["spec"].update(n=n))  # type: ignore[misc]
    store.create(PODS, pod("new"))

    seen = [await anext(changes) for _ in range(5)]
    assert [(c.type, c.object["metadata"]["name"]) for c in seen] == [
        ("DELETED", "goes"),
        ("DELETED", "reborn"),
        ("ADDED", "new"),
        ("ADDED", "reborn"),
        ("MODIFIED", "stays"),
    ]
    assert seen[4].object["spec"]["n"] == 19


def test_the_ring_is_bounded_and_says_so(pod: Make) -> None:
    store = Store(ring=8)
    store.create(PODS, pod("a"))
    for number in range(100):
        store.mutate(PODS, "default", "a", lambda o, n=number: o["spec"].update(n=n))  # type: ignore[misc]

    assert len(store._rings[PODS]._changes) <= 10
    with pytest.raises(Gone, match="too old resource version: 2") as caught:
        store.since(PODS, 2)
    assert caught.value.status["code"] == 410
    assert caught.value.status["reason"] == "Expired"
    oldest_kept = store._rings[PODS].forgotten
    assert len(store.since(PODS, oldest_kept)) == store.resource_version - oldest_kept


def test_a_quiet_kind_is_not_pushed_out_by_a_busy_one() -> None:
    store = Store(ring=4)
    store.create(NODES, {"metadata": {"name": "n"}})
    for number in range(50):
        store.create(EVENTS, {"metadata": {"name": f"e{number}"}, "involvedObject": {}})

    assert [c.object["metadata"]["name"] for c in store.since(NODES, 0)] == ["n"]


def test_an_event_is_serialised_once(store: Store, vmi: Make) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    encoded = store.encoded(VIRTUALMACHINEINSTANCES, "default", "v")
    (change,) = store.since(VIRTUALMACHINEINSTANCES, 2)

    assert change.encoded is encoded
    assert encoded.json() is encoded.json()
    assert encoded.json("kubevirt.io/v1alpha3") is encoded.json("kubevirt.io/v1alpha3")
    assert b'"apiVersion":"kubevirt.io/v1alpha3"' in encoded.json("kubevirt.io/v1alpha3")


def test_a_change_copies_its_path_and_shares_the_rest(store: Store, pod: Make) -> None:
    first = store.create(PODS, pod("a", labels={"k": "v"}))
    second = store.mutate(PODS, "default", "a", lambda o: o.update(status={"phase": "Running"}))

    assert second["spec"] is first["spec"]
    assert second["metadata"]["labels"] is first["metadata"]["labels"]
    third = store.update(PODS, {**second, "status": {"phase": "Running", "x": 1}})
    assert third["spec"] is first["spec"]


def test_what_is_stored_is_json(store: Store) -> None:
    made = store.create(
        PODS, {"metadata": {"name": "a"}, "spec": {"x": (1, 2), "y": MappingProxyType({"z": None})}}
    )

    assert made["spec"] == {"x": [1, 2], "y": {"z": None}}
    assert type(made["spec"]["x"]) is list


def test_a_marked_pod_stays_while_its_kubelet_reports(store: Store, pod: Make) -> None:
    store.create(PODS, pod("a", node="n"))
    store.delete(PODS, "default", "a")
    store.mutate(PODS, "default", "a", lambda o: o.update(status={"phase": "Failed"}))

    assert store.get(PODS, "default", "a")["status"] == {"phase": "Failed"}


def test_a_mutation_to_what_is_no_json_changes_nothing(store: Store, pod: Make) -> None:
    first = store.create(PODS, pod("a"))
    before = store.resource_version
    with pytest.raises(TypeError):
        store.mutate(PODS, "default", "a", lambda o: o["spec"].update(x={1}))

    assert store.get(PODS, "default", "a") is first
    assert store.resource_version == before
    assert store.since(PODS, before) == []
