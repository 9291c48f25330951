"""Asking an API server what we may do, before anything is done (SelfSubjectAccessReview, authorization.k8s.io/v1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig.rights import Part, Right, rights
from harness.kube.errors import Forbidden, NotFound
from harness.kube.objects import Objects
from harness.kube.resources import Resource

REVIEWS = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="selfsubjectaccessreviews",
    kind="SelfSubjectAccessReview",
    namespaced=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What may be done: the optional rights we have, and what is lost with those we have not."""

    parts: frozenset[Part]
    lacks: tuple[str, ...]
    missing: Mapping[Part, str]
    """Part that is not had → the first right of it that is missing."""

    def may(self, part: Part) -> bool:
        """Whether a part of the rights is had whole."""
        return part in self.parts


async def review(
    objects: Objects, *, namespace: str, kubevirt_namespace: str, parts: Iterable[Part]
) -> Access:
    """Ask for every right of `parts`; required ones must be had. `namespace` '': one will be made per run.

    Raises ClusterError naming the first right that is missing and how to get it.
    """
    chosen = tuple(parts)
    where = {"cluster": "", "namespace": namespace, "default": "default", "kubevirt": kubevirt_namespace}
    wanted = [
        *rights("cluster", chosen),
        *rights("default", chosen),
        *rights("namespace", chosen),
        *rights("kubevirt", chosen),
    ]
    async with asyncio.TaskGroup() as tasks:
        asked = [
            (right, tasks.create_task(_missing(objects, right, namespace=where[right.scope])))
            for right in wanted
        ]
    denied = [(right, missing) for right, task in asked if (missing := task.result())]
    for right, missing in denied:
        if right.required and right.scope == "namespace" and not namespace:
            raise ClusterError(
                f"RBAC denies {missing} in every namespace: name an existing one with --namespace, "
                "or grant it: density rbac --part namespaces | kubectl apply -f -"
            )
        if right.required:
            raise ClusterError(
                f"RBAC denies {missing} ({right.why}): density rbac | kubectl apply -f - grants it"
            )
    lost = {right.part for right, _ in denied if right.part != "run"}
    return Access(
        parts=frozenset(part for part in chosen if part not in lost),
        lacks=tuple(f"RBAC denies {missing}: {right.lack}" for right, missing in denied),
        missing={right.part: missing for right, missing in reversed(denied)},
    )


async def _missing(objects: Objects, right: Right, *, namespace: str) -> str:
    for name in right.resources:
        plural, _, subresource = name.partition("/")
        for verb in right.verbs:
            attributes = {
                "verb": verb,
                "group": right.group,
                "resource": plural,
                **({"subresource": subresource} if subresource else {}),
                **({"namespace": namespace} if namespace else {}),
            }
            if not await _allowed(objects, attributes):
                there = f" in namespace {namespace}" if namespace else ""
                group = f".{right.group}" if right.group else ""
                return f"{verb} {plural}{group}{'/' + subresource if subresource else ''}{there}"
    return ""


async def _allowed(objects: Objects, attributes: dict[str, str]) -> bool:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        answer = await objects.create(REVIEWS, body)
    except (Forbidden, NotFound):
        # Clusters that took `system:basic-user` away: the calls themselves will tell.
        return True
    return bool((answer.get("status") or {}).get("allowed"))
