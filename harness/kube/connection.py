"""An authenticated HTTP session to one API server, made from a kubeconfig.

Documents whose user has a token, a password or a client certificate are read directly. Everything that needs a
plugin (exec, OIDC, cloud providers) goes through `kubernetes.aio.config`, which is imported only then: it costs
most of a second. Credentials are asked for again after a 401, so plugins may renew them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from harness.kube.config import load
from harness.kube.errors import ConfigError, Unreachable, api_error, status_payload

USER_AGENT = "kubevirt-density"
CONNECT_TIMEOUT = 10.0
REQUEST_TIMEOUT = 60.0
"""Seconds for one answer; kube-apiserver's own --request-timeout default is 60 s. Watches have deadlines of their own."""


class Credentials(Protocol):
    """Where the Authorization header comes from."""

    async def headers(self, *, renew: bool) -> Mapping[str, str]:
        """Return the headers to send; `renew` after the server refused the last ones."""
        ...


@dataclass(slots=True)
class Static:
    """A token or password that stands in the kubeconfig, or a token file, which is read again on renewal."""

    authorization: str = ""
    token_file: Path | None = None

    async def headers(self, *, renew: bool) -> Mapping[str, str]:
        """Return the header."""
        if self.token_file is not None and (renew or not self.authorization):
            try:
                self.authorization = f"Bearer {self.token_file.read_text(encoding='utf-8').strip()}"
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"kubeconfig: token file {self.token_file}: {describe(error)}") from error
        return {"Authorization": self.authorization} if self.authorization else {}


@dataclass(slots=True, kw_only=True)
class Connection:
    """A session and where it leads. Requests go through `request`, which turns error answers into `ApiError`."""

    session: aiohttp.ClientSession
    server: str
    """URL without trailing slash; may have a path (an API behind a proxy)."""
    ssl: ssl.SSLContext | bool
    credentials: Credentials
    proxy: str | None = None
    server_hostname: str | None = None
    _refused: str = ""
    """The Authorization that was refused last."""
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def options(self) -> dict[str, Any]:
        """Return what every aiohttp call to this server is given."""
        options: dict[str, Any] = {"ssl": self.ssl}
        if self.proxy:
            options["proxy"] = self.proxy
        if self.server_hostname:
            options["server_hostname"] = self.server_hostname
        return options

    async def headers(self) -> dict[str, str]:
        """Return the headers every call to this server is given. Raises ConfigError when a plugin fails.

        Credentials that were refused are renewed first, once for all who wait: a plugin may open a browser.
        """
        async with self._renewing:
            found = await self.credentials.headers(renew=False)
            if self._refused and found.get("Authorization", "") == self._refused:
                found = await self.credentials.headers(renew=True)
                self._refused = ""
        return {"User-Agent": USER_AGENT, **found}

    def renew_credentials(self, refused: Mapping[str, str]) -> None:
        """Have the credentials of these request headers replaced, if nobody has meanwhile."""
        self._refused = refused.get("Authorization", "")

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109 - aiohttp's own, per socket operation
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send and yield the response of a success. Raises ApiError, Unreachable.

        A 401 is tried again once with renewed credentials. Breaks while reading the body are the reader's to name.
        """
        for attempt in (1, 2):
            headers = {**await self.headers(), "Accept": "application/json"}
            if body is not None:
                headers["Content-Type"] = content_type
            try:
                response = await self.session.request(
                    method,
                    self.server + path,
                    params=params,
                    data=body,
                    headers=headers,
                    timeout=timeout
                    or aiohttp.ClientTimeout(total=REQUEST_TIMEOUT, sock_connect=CONNECT_TIMEOUT),
                    **self.options(),
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"{self.server}: {describe(error)}") from error
            async with response:
                if response.status < 400:
                    yield response
                    return
                try:
                    payload = status_payload(await response.read())
                except (aiohttp.ClientError, TimeoutError, OSError):
                    payload = {}
                if response.status == 401 and attempt == 1:
                    self.renew_credentials(headers)
                    continue
                raise api_error(
                    response.status, payload, retry_after=_seconds(response.headers.get("Retry-After"))
                )


def describe(error: BaseException) -> str:
    """Return one line about a transport error; aiohttp's and asyncio's are sometimes empty."""
    if isinstance(error, TimeoutError):
        return f"timed out ({error})" if str(error) else "timed out"
    return str(error) or type(error).__name__


def _seconds(value: str | None) -> float | None:
    # The HTTP-date form is allowed by RFC 9110 but no Kubernetes component sends it.
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


@asynccontextmanager
async def connect(
    kubeconfig: Mapping[str, Any] | Path | None = None, *, context: str | None = None
) -> AsyncIterator[Connection]:
    """Open a session to the API of a kubeconfig document, file, or (None) $KUBECONFIG or ~/.kube/config.

    Raises ConfigError. Nothing is sent yet.
    """
    document = kubeconfig if isinstance(kubeconfig, Mapping) else load(kubeconfig)
    base = kubeconfig.parent if isinstance(kubeconfig, Path) else Path.cwd()
    cluster, user = select(document, context)
    server = str(cluster.get("server", "")).rstrip("/")
    if not server.startswith(("http://", "https://")):
        raise ConfigError(f"kubeconfig: cluster has no usable server ({server!r})")
    if "exec" in user or "auth-provider" in user:
        credentials, tls = await _plugin(document, context, base)
    else:
        credentials, tls = _static(user, base), _tls(cluster, user, base)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # one connection per watch and console, besides calls
        read_bufsize=2**21,  # large objects arrive in few wake-ups
        trust_env=True,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    async with session:
        yield Connection(
            session=session,
            server=server,
            ssl=tls,
            credentials=credentials,
            proxy=cluster.get("proxy-url"),
            server_hostname=cluster.get("tls-server-name"),
        )


def select(document: Mapping[str, Any], context: str | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return cluster and user of a context (None: the current one). Raises ConfigError."""
    name = context or document.get("current-context") or ""
    chosen = _named(document, "contexts", name)
    if chosen is None:
        known = ", ".join(str(c.get("name")) for c in document.get("contexts") or ()) or "none"
        raise ConfigError(f"kubeconfig: no context {name!r} (known: {known})")
    details = chosen.get("context") or {}
    cluster = _named(document, "clusters", details.get("cluster", ""))
    if cluster is None:
        raise ConfigError(f"kubeconfig: context {name!r} names an unknown cluster {details.get('cluster')!r}")
    user = _named(document, "users", details.get("user", "")) or {}
    return cluster.get("cluster") or {}, user.get("user") or {}


def _named(document: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any] | None:
    return next((item for item in document.get(section) or () if item.get("name") == name), None)


def _static(user: Mapping[str, Any], base: Path) -> Credentials:
    if user.get("token"):
        return Static(f"Bearer {user['token']}")
    if user.get("tokenFile"):
        return Static(token_file=base / user["tokenFile"])
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return Static(f"Basic {base64.b64encode(pair).decode()}")
    return Static()


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], base: Path) -> ssl.SSLContext | bool:
    if str(cluster.get("server", "")).startswith("http://"):
        return True
    try:
        authority = _material(cluster, "certificate-authority", base)
        tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        # Cluster CAs made by older tools lack extensions that VERIFY_X509_STRICT (default since Python 3.13) asks for.
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        certificate, key = _material(user, "client-certificate", base), _material(user, "client-key", base)
        if certificate and key:
            # The ssl module loads key pairs from files only; the directory is private and gone at once.
            with tempfile.TemporaryDirectory(prefix="density-") as directory:
                pair = Path(directory) / "pair.pem"
                pair.touch(mode=0o600)
                pair.write_bytes(certificate + b"\n" + key)
                tls.load_cert_chain(pair)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise ConfigError(f"kubeconfig: unusable certificates: {describe(error)}") from error
    return tls


def _material(section: Mapping[str, Any], key: str, base: Path) -> bytes | None:
    if section.get(f"{key}-data"):
        try:
            return base64.b64decode(section[f"{key}-data"], validate=True)
        except binascii.Error as error:
            raise ConfigError(f"kubeconfig: {key}-data is not base64") from error
    return (base / section[key]).read_bytes() if section.get(key) else None


async def _plugin(
    document: Mapping[str, Any], context: str | None, base: Path
) -> tuple[Credentials, ssl.SSLContext | bool]:
    from harness.kube.plugins import PluginCredentials  # noqa: PLC0415 - imports kubernetes

    return await PluginCredentials.load(document, context=context, base=base)
