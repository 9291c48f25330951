"""What is asked of running things through the API: kubelet pages, pod logs, evictions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web

from harness.embedded.api.answers import as_api_error, json_answer, success
from harness.embedded.api.errors import ApiError, BadRequest, Unavailable
from harness.embedded.api.hooks import Hooks
from harness.embedded.api.objects import Object
from harness.embedded.api.requests import Target, flag, no_such_path, number
from harness.embedded.api.resources import NODES, PODS
from harness.embedded.api.store import Store


def node_page(store: Store, hooks: Hooks, target: Target) -> web.Response:
    """Answer `nodes/<name>/proxy/…` with what the kubelet serves there. Raises `NotFound`, `Unavailable`."""
    name, _, _ = target.name.partition(":")  # <node>:<port> is a proxy name too
    store.get(NODES, "", name)
    match target.rest:
        case ("stats", "summary"):
            return json_answer(_reach(lambda: hooks.stats_summary(name), f"the kubelet of {name}"))
        case ("configz",):
            return json_answer(_reach(lambda: hooks.configz(name), f"the kubelet of {name}"))
        case ("healthz",):
            return web.Response(text="ok")
        case _:
            raise no_such_path()


def _reach(ask: Any, what: str) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = ask()
    except Exception as error:
        raise as_api_error(error) or Unavailable(f"error trying to reach {what}: {error}") from error
    return answer


def evict(store: Store, target: Target, body: Mapping[str, Any], *, dry_run: bool) -> web.Response:
    """Answer `pods/<name>/eviction`: delete the pod as asked (policy/v1 Eviction; no disruption budgets here)."""
    options = body.get("deleteOptions") or {}
    preconditions = options.get("preconditions") or {}
    namespace = target.namespace or ""
    if dry_run:
        store.get(PODS, namespace, target.name)
    else:
        store.delete(
            PODS,
            namespace,
            target.name,
            grace=options.get("gracePeriodSeconds"),
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
        )
    return json_answer({**success(), "code": 201}, code=201)


def _container(pod: Object, asked: str) -> str:
    name, spec = pod["metadata"]["name"], pod.get("spec") or {}
    mains = [container["name"] for container in spec.get("containers") or []]
    inits = [container["name"] for container in spec.get("initContainers") or []]
    if not asked:
        default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
        if len(mains) == 1:
            return str(mains[0])
        if default in mains:
            return str(default)
        choices = f"choose one of: [{' '.join(mains)}]" + (
            f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
        )
        raise BadRequest(f"a container name must be specified for pod {name}, {choices}")
    if asked not in {*mains, *inits}:
        raise BadRequest(f"container {asked} is not valid for pod {name}")
    return asked


async def _all(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def _tail(log: bytes, lines: int | None) -> int:
    """Return where the last `lines` lines of a log begin."""
    if lines is None:
        return 0
    position = len(log) - (1 if log.endswith(b"\n") else 0)
    for _ in range(lines):
        position = log.rfind(b"\n", 0, position)
        if position < 0:
            return 0
    return position + 1 if lines else len(log)


async def pod_log(
    store: Store, hooks: Hooks, request: web.Request, target: Target, closing: asyncio.Event
) -> web.StreamResponse:
    """Answer `pods/<name>/log`: `container`, `follow`, `tailLines`, `limitBytes`; `previous` has nothing.

    `sinceSeconds`, `sinceTime` and `timestamps` are not known to the hook and refused.
    """
    query, namespace = request.query, target.namespace or ""
    pod = store.get(PODS, namespace, target.name)
    container = _container(pod, query.get("container", ""))
    if flag(query, "previous"):
        raise BadRequest(f'previous terminated container "{container}" in pod "{target.name}" not found')
    for name in ("sinceSeconds", "sinceTime"):
        if query.get(name):
            raise BadRequest(f"{name} is not served: logs are kept without times")
    if flag(query, "timestamps"):
        raise BadRequest("timestamps is not served: logs are kept without times")
    tail, limit, follow = number(query, "tailLines"), number(query, "limitBytes"), flag(query, "follow")

    def chunks(following: bool) -> AsyncIterator[bytes]:
        return hooks.pod_log(namespace, target.name, container, following)

    try:
        if not follow:
            log = await _all(chunks(False))
            return _text(log[_tail(log, tail) :][:limit])
        skip = _tail(await _all(chunks(False)), tail) if tail is not None else 0
    except ApiError:
        raise
    except Exception as error:
        raise as_api_error(error) or Unavailable(f"no log of {container}: {error}") from error
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    async with asyncio.TaskGroup() as group:
        copy = group.create_task(_copy(response, chunks(True), skip, limit))
        stop = group.create_task(closing.wait())
        await asyncio.wait((copy, stop), return_when=asyncio.FIRST_COMPLETED)
        copy.cancel()
        stop.cancel()
    await response.write_eof()
    return response


async def _copy(
    response: web.StreamResponse, chunks: AsyncIterator[bytes], skip: int, limit: int | None
) -> None:
    left = limit
    async for chunk in chunks:
        skipped = min(skip, len(chunk))
        skip -= skipped
        part = chunk[skipped:] if left is None else chunk[skipped : skipped + left]
        if part:
            await response.write(part)
        if left is not None:
            left -= len(part)
            if left <= 0:
                return


def _text(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": "text/plain"})
