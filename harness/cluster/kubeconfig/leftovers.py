"""Finding and removing what runs left in an existing cluster, by the label that everything of a run carries.

Only what carries the label is touched. A run that still goes on can't be told from a dead one by the cluster, so age
decides: nothing younger than the longest run is taken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig.node_pods import DAEMONSETS, RUN_LABEL
from harness.kube.errors import Forbidden, KubeError, NotFound
from harness.kube.objects import Objects
from harness.kube.resources import NAMESPACES, PODS, VMIS, VMS, Resource

YOUNG = timedelta(hours=2)
"""No scenario takes so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One object of a run. `failed`: why it could not be removed."""

    kind: str
    namespace: str
    name: str
    run: str
    age: timedelta
    removed: bool = False
    failed: str = ""

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        state = self.failed or ("removed" if self.removed else "left alone: too young")
        hours = self.age.total_seconds() / 3600
        return f"{self.kind} {where} (run {self.run}, {hours:.1f} h old): {state}"


async def collect(
    objects: Objects, *, namespace: str = "", older_than: timedelta = YOUNG, now: datetime | None = None
) -> tuple[Leftover, ...]:
    """Remove the leftovers of all runs, in one namespace or ('') everywhere we may look; return all that were seen.

    Raises ClusterError when nothing at all may be looked at, KubeError when the cluster can't be reached.
    """
    moment = now or datetime.now(UTC)
    found: list[Leftover] = []
    denied: KubeError | None = None
    looked = False
    # A namespace takes what is in it along; VMs before their VMIs, which they would make anew.
    for resource in (NAMESPACES, DAEMONSETS, VMS, VMIS, PODS):
        if resource is NAMESPACES and namespace:
            continue
        try:
            async for item in _labelled(objects, resource, namespace):
                if not any(gone.kind == "Namespace" and gone.name == item.namespace for gone in found):
                    found.append(await _remove(objects, resource, item, moment - older_than, moment))
            looked = True
        except NotFound:
            continue
        except Forbidden as error:
            denied = error
    if denied is not None and not looked:
        hint = "" if namespace else "; --namespace NS looks in one namespace only"
        raise ClusterError(f"RBAC denies looking for leftovers: {denied}{hint}") from denied
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    name: str
    namespace: str
    run: str
    created: datetime


async def _labelled(objects: Objects, resource: Resource, namespace: str) -> AsyncIterator[_Item]:
    items, _ = await objects.list_all(resource, namespace=namespace, labels=RUN_LABEL)
    for item in items:
        meta = item["metadata"]
        if _owned(meta):  # goes with its owner
            continue
        yield _Item(
            name=str(meta["name"]),
            namespace=str(meta.get("namespace") or ""),
            run=str(meta["labels"][RUN_LABEL]),
            created=datetime.fromisoformat(str(meta["creationTimestamp"])),
        )


def _owned(meta: dict[str, Any]) -> bool:
    return any(owner.get("controller") for owner in meta.get("ownerReferences") or ())


async def _remove(
    objects: Objects, resource: Resource, item: _Item, limit: datetime, now: datetime
) -> Leftover:
    removed, failed = False, ""
    if item.created <= limit:
        try:
            removed = True
            await objects.delete(resource, item.name, namespace=item.namespace)
        except KubeError as error:
            removed, failed = False, str(error)
    return Leftover(
        kind=resource.kind,
        namespace=item.namespace,
        name=item.name,
        run=item.run,
        age=now - item.created,
        removed=removed,
        failed=failed,
    )
