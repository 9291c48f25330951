"""RBAC in front of an API server that has none: evaluates a manifest's rules, and answers 403 to everything else.

Rules as in kubernetes.io/docs/reference/access-authn-authz/rbac: additive, by verb, group, resource[/subresource];
a RoleBinding holds in its namespace, a ClusterRoleBinding everywhere.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from tests.faults import TOKEN, Upstream
from tests.kube.faulty import kubeconfig, serve

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Asked:
    """What a request asks for, in the words of RBAC."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def named(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def __str__(self) -> str:
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        return f'cannot {self.verb} resource "{self.named}" in API group "{self.group}"{where}'


def asked(request: web.Request) -> Asked | None:
    """None for paths that are no resources."""
    match [part for part in request.path.split("/") if part]:
        case ["api", "v1", *rest] if rest:
            group = ""
        case ["apis", group, _, *rest] if rest:
            pass
        case _:
            return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and len(rest) == 2:
        namespace = rest[1]
    resource, name, *sub = [*rest, ""] if len(rest) == 1 else rest
    verb = VERBS.get(request.method) or (
        "watch" if request.query.get("watch") == "true" else "get" if name else "list"
    )
    return Asked(verb, group, resource, sub[0] if sub else "", namespace, name)


@dataclass
class Rbac:
    """The manifest, and what was asked of it."""

    manifest: Iterable[Mapping[str, Any]]
    upstream: Upstream
    served: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Plural → objects to serve in place of what the API behind has none of."""
    instead: Callable[[web.Request, Asked], Awaitable[web.StreamResponse | None]] | None = None
    """Answers what is allowed in place of the API behind, where it answers."""
    denied: list[Asked] = field(default_factory=list)
    used: set[tuple[str, str, str]] = field(default_factory=set)
    """(verb, group, resource[/subresource]) that were allowed and asked for."""

    def __post_init__(self) -> None:
        objects = list(self.manifest)
        roles = {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in objects}
        self._rules: list[tuple[str, Mapping[str, Any]]] = []
        for binding in objects:
            if not binding["kind"].endswith("Binding"):
                continue
            where = binding["metadata"].get("namespace", "")
            reference = binding["roleRef"]
            kind = reference["kind"]
            role = roles[kind, where if kind == "Role" else "", reference["name"]]
            self._rules += [(where, rule) for rule in role["rules"]]

    def allows(self, wish: Asked) -> bool:
        return any(
            (not where or where == wish.namespace)
            and wish.verb in rule["verbs"]
            and wish.group in rule["apiGroups"]
            and wish.named in rule["resources"]
            for where, rule in self._rules
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        wish = asked(request)
        if wish is not None and wish.resource == "selfsubjectaccessreviews":
            return await self._review(request)
        if wish is not None:
            if not self.allows(wish):
                self.denied.append(wish)
                return forbidden(wish)
            self.used.add((wish.verb, wish.group, wish.named))
            if wish.resource in self.served:
                return answer({"metadata": {"resourceVersion": "1"}, "items": self.served[wish.resource]})
            if self.instead is not None:
                found = await self.instead(request, wish)
                if found is not None:
                    return found
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        return await self._forward(request)

    async def _review(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        wanted = body["spec"]["resourceAttributes"]
        wish = Asked(
            wanted["verb"],
            wanted.get("group", ""),
            wanted["resource"],
            wanted.get("subresource", ""),
            wanted.get("namespace", ""),
        )
        return answer({**body, "status": {"allowed": self.allows(wish)}}, code=201)

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.upstream.authority.decode())

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {"Authorization": f"Bearer {self.upstream.token}"}
        if "Content-Type" in request.headers:
            headers["Content-Type"] = request.headers["Content-Type"]
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.request(
                request.method,
                self.upstream.url + request.path_qs,
                headers=headers,
                data=await request.read() or None,
                ssl=self._tls(),
            ) as found,
        ):
            response = web.StreamResponse(status=found.status, headers={"Content-Type": "application/json"})
            await response.prepare(request)
            with suppress(aiohttp.ClientError, ConnectionError):
                async for chunk in found.content.iter_any():
                    await response.write(chunk)
            return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        protocols = ("plain.kubevirt.io",)
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self.upstream.token}"}
        ) as session:
            try:
                behind = await session.ws_connect(
                    self.upstream.url + request.path_qs, protocols=protocols, ssl=self._tls(), max_msg_size=0
                )
            except aiohttp.WSServerHandshakeError as error:
                return web.Response(status=error.status)
            socket = web.WebSocketResponse(protocols=protocols)
            await socket.prepare(request)

            async def pump(source: Any, target: Any) -> None:
                async for message in source:
                    await target.send_bytes(message.data)
                await target.close()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump(behind, socket))
                tasks.create_task(pump(socket, behind))
            return socket


def answer(body: Any, *, code: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json", status=code)


def forbidden(wish: Asked) -> web.Response:
    message = f'{wish.resource} is forbidden: User "system:serviceaccount:density:density" {wish}'
    return answer(
        {"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": message},
        code=403,
    )


@asynccontextmanager
async def rbac(
    manifest: Iterable[Mapping[str, Any]], upstream: Upstream, **options: Any
) -> AsyncIterator[tuple[Rbac, dict[str, Any]]]:
    """Run the proxy; yield it and a kubeconfig that leads to it."""
    made = Rbac(manifest=manifest, upstream=upstream, **options)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with serve(app) as url:
        yield made, kubeconfig(url, {"token": TOKEN})
