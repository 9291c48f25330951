"""The API server: HTTPS on loopback, one bearer token, errors as Status, every path led to who answers it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

import structlog
import yaml
from aiohttp import web

from harness.embedded.api import certificate, discovery, lifecycle, running
from harness.embedded.api.answers import as_api_error, error_answer, json_answer
from harness.embedded.api.consoles import Consoles
from harness.embedded.api.errors import ApiError, MethodNotAllowed, Unauthorized
from harness.embedded.api.handlers import Call, Handlers
from harness.embedded.api.hooks import Admission, AdmitAll, Hooks
from harness.embedded.api.requests import (
    Target,
    dry_run,
    no_such_path,
    parse_accept,
    parse_target,
    read_object,
)
from harness.embedded.api.resources import CONSOLE_GROUP, CONSOLE_VERSIONS, LIFECYCLE_SUBRESOURCES
from harness.embedded.api.store import Store
from harness.embedded.api.watching import Watches

_log = structlog.get_logger(__name__)

_PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""Served to anyone, as `system:public-info-viewer` allows."""

_BODY_LIMIT = 3 << 20
"""Bytes; the request limit of a real API server."""


class ApiServer:
    """Serves a store. `async with ApiServer(store, admission=…, hooks=…) as server`, then `server.kubeconfig`.

    `bookmark_interval`: seconds between bookmarks of a quiet watch. `write_deadline`: seconds a client may take to
    read nothing of what is sent to it before its watch is cut.
    """

    def __init__(
        self,
        store: Store,
        *,
        hooks: Hooks,
        admission: Admission | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        bookmark_interval: float = 60.0,
        write_deadline: float = 30.0,
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._host = host
        self._port = port
        self.token = token or secrets.token_urlsafe(24)
        self._watches = Watches(store, bookmark_interval=bookmark_interval, write_deadline=write_deadline)
        self._consoles = Consoles(store, hooks)
        self._handlers = Handlers(store, admission or AdmitAll(), self._watches)
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._authority = b""

    # -- life --------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Bind and serve. Raises `OSError` when the port is taken."""
        context: ssl.SSLContext
        context, self._authority = certificate.server_context(self._host)
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[self._guard])
        app.router.add_route("*", "/{path:.*}", self._dispatch)
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.3, keepalive_timeout=75
        )
        await runner.setup()
        self._runner = runner
        try:
            site = web.TCPSite(runner, self._host, self._port, ssl_context=context)
            await site.start()
        except BaseException:
            await self.stop()
            raise
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop within a second, open watches and consoles included. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._closing.set()
        self._watches.close()
        self._consoles.close()
        open_ = [c.transport for c in runner.server.connections if c.transport] if runner.server else []
        await runner.cleanup()
        # Closing TLS waits for the client's goodbye, which an idle connection pool never sends.
        for transport in open_:
            # Python before 3.11.4 forgets a closed connection's protocol and trips over that.
            with contextlib.suppress(AttributeError):
                transport.abort()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """`https://127.0.0.1:<port>`."""
        return f"https://{self._host}:{self._port}"

    @property
    def authority(self) -> bytes:
        """The PEM of the certificate authority to trust."""
        return self._authority

    @property
    def open_watches(self) -> int:
        """How many watches are open now."""
        return len(self._watches)

    @property
    def kubeconfig(self) -> dict[str, Any]:
        """A kubeconfig document for this server, ready to be dumped as YAML or JSON."""
        name = "density-embedded"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {
                        "server": self.url,
                        "certificate-authority-data": base64.b64encode(self._authority).decode(),
                    },
                }
            ],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
            "current-context": name,
            "preferences": {},
        }

    @property
    def kubeconfig_yaml(self) -> str:
        """The same as YAML text. It holds the token: write it to a 0600 file."""
        return yaml.safe_dump(self.kubeconfig, sort_keys=False)

    # -- requests ----------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            self._authenticate(request)
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return error_answer(_too_large())
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort is a Status, as clients expect
            answer = as_api_error(error)
            if answer is None:
                _log.exception("request failed", method=request.method, path=request.path)
                answer = ApiError(f"Internal error occurred: {error}")
            return error_answer(answer)

    def _authenticate(self, request: web.Request) -> None:
        if request.path.rstrip("/") in _PUBLIC:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self.token.encode()):
            raise Unauthorized("Unauthorized")

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        segments = [segment for segment in request.path.split("/") if segment]
        match segments:
            case ["api", "v1", _, *_]:
                return await self._resource(request, "", "v1", segments[2:])
            case ["apis", group, version, _, *_] if group == CONSOLE_GROUP:
                return await self._kubevirt_subresource(request, version, segments[3:])
            case ["apis", "authorization.k8s.io" | "authentication.k8s.io", "v1", plural]:
                return await self._review(request, plural)
            case ["apis", group, version, _, *_]:
                return await self._resource(request, group, version, segments[3:])
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        return self._page(request, segments)

    def _page(self, request: web.Request, segments: list[str]) -> web.Response:
        body: dict[str, Any] | None
        match segments:
            case ["healthz" | "livez" | "readyz", *_]:
                return web.Response(text="ok")
            case ["version"]:
                body = discovery.version_info()
            case ["api" | "apis"] if parse_accept(request.headers.get("Accept", "")).aggregated:
                found = discovery.aggregated(core=segments == ["api"])
                return json_answer(found, media=discovery.AGGREGATED)
            case ["api"]:
                body = discovery.api_versions()
            case ["apis"]:
                body = discovery.api_group_list()
            case ["api", "v1"]:
                body = discovery.api_resource_list("", "v1")
            case ["apis", group]:
                versions = discovery.groups().get(group)
                body = discovery.api_group(group, versions) if versions else None
            case ["apis", group, version]:
                body = discovery.api_resource_list(group, version)
            case ["openapi", "v3"]:
                body = discovery.openapi_paths()
            case ["openapi", "v3", "api", version]:
                body = discovery.openapi_document("", version)
            case ["openapi", "v3", "apis", group, version]:
                body = discovery.openapi_document(group, version)
            case []:
                body = {
                    "paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]
                }
            case _:
                body = None
        if body is None:
            raise no_such_path()
        return json_answer(body)

    async def _resource(
        self, request: web.Request, group: str, version: str, segments: list[str]
    ) -> web.StreamResponse:
        target = parse_target(group, version, segments)
        match target.subresource:
            case "proxy":
                self._only(request, "GET")
                return running.node_page(self._store, self._hooks, target)
            case "log":
                self._only(request, "GET")
                return await running.pod_log(self._store, self._hooks, request, target, self._closing)
            case "eviction":
                self._only(request, "POST")
                body = await read_object(request)
                dry = dry_run(request.query, body.get("deleteOptions"))
                return running.evict(self._store, target, body, dry_run=dry)
        accept = parse_accept(request.headers.get("Accept", ""))
        return await self._handlers.handle(Call(request, target, accept, _deprecation(target)))

    async def _kubevirt_subresource(
        self, request: web.Request, version: str, segments: list[str]
    ) -> web.StreamResponse:
        if version not in CONSOLE_VERSIONS:
            raise no_such_path()
        match segments:
            case ["namespaces", namespace, "virtualmachineinstances", name, "console"]:
                self._only(request, "GET")
                return await self._consoles.serve(request, namespace, name)
            case ["namespaces", namespace, "virtualmachineinstances", name, "vnc"]:
                self._only(request, "GET")
                raise self._consoles.refuse_vnc(namespace, name)
            case ["namespaces", namespace, "virtualmachines", name, verb] if verb in LIFECYCLE_SUBRESOURCES:
                self._only(request, "PUT")
                lifecycle.act(self._store, namespace, name, verb, await read_object(request, optional=True))
                return web.Response(status=202)
        self._only(request, "GET")
        raise no_such_path()

    async def _review(self, request: web.Request, plural: str) -> web.Response:
        """Answer who one is and whether one may: whoever holds the token may do everything."""
        self._only(request, "POST")
        answers: dict[str, dict[str, Any]] = {
            "selfsubjectaccessreviews": {"allowed": True},
            "selfsubjectreviews": {"userInfo": {"username": "density", "groups": ["system:masters"]}},
        }
        if plural not in answers:
            raise no_such_path()
        body = await read_object(request)
        return json_answer({"metadata": {}, **body, "status": answers[plural]}, code=201)

    @staticmethod
    def _only(request: web.Request, method: str) -> None:
        if request.method != method:
            raise MethodNotAllowed("the server does not allow this method on the requested resource")


def _deprecation(target: Target) -> tuple[str, ...]:
    """Return the warning of a deprecated version (as recorded: only v1alpha3 of kubevirt.io has one)."""
    if target.version == target.resource.version:
        return ()
    return (f"{target.api_version} is now deprecated and will be removed in a future release.",)


class _TooLargeBody(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


def _too_large() -> ApiError:
    return _TooLargeBody(f"the request body is larger than {_BODY_LIMIT} bytes")
