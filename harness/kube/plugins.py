"""Credentials from plugins (exec, OIDC, cloud providers), by the official client's kubeconfig loader."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.kube_config import KubeConfigLoader

from harness.kube.errors import ConfigError


class PluginCredentials:
    """Asks `kubernetes.aio.config` for a token, again whenever the server refuses the last one."""

    def __init__(self, loader: KubeConfigLoader) -> None:
        self._loader = loader
        self._authorization = ""

    @classmethod
    async def load(
        cls, document: Mapping[str, Any], *, context: str | None, base: Path
    ) -> tuple[Self, ssl.SSLContext | bool]:
        """Run the plugin once and return credentials and TLS settings. Raises ConfigError."""
        try:
            loader = KubeConfigLoader(dict(document), active_context=context, config_base_path=str(base))  # type: ignore[no-untyped-call]
            credentials = cls(loader)
            configuration = await credentials._refresh()
        except (ConfigException, OSError, ValueError) as error:
            raise ConfigError(f"kubeconfig: {' '.join(str(error).split())}") from error
        if str(configuration.host).startswith("http://"):
            return credentials, True
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not configuration.verify_ssl:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
        elif not credentials._authorization:
            # The loader logs a plugin's failure and goes on; without credentials every call would be anonymous.
            raise ConfigError(
                "kubeconfig: the credential plugin gave no credentials; run it by hand to see why"
            )
        return credentials, tls

    async def headers(self, *, renew: bool) -> Mapping[str, str]:
        """Return the header, after running the plugin again if asked."""
        if renew:
            try:
                await self._refresh()
            except (ConfigException, OSError, ValueError) as error:
                raise ConfigError(
                    f"kubeconfig: the credential plugin failed: {' '.join(str(error).split())}"
                ) from error
        return {"Authorization": self._authorization} if self._authorization else {}

    async def _refresh(self) -> Configuration:
        # The loader keeps an exec token until 5 min before its stated expiry; a refused one must not be kept.
        if hasattr(self._loader, "exec_plugin_expiry"):
            del self._loader.exec_plugin_expiry
        configuration = Configuration()
        await self._loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
        self._authorization = str(configuration.api_key.get("BearerToken") or "")
        return configuration
