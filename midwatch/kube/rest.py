"""`kubernetes.aio`'s REST layer, set up as `transport` needs it. Imported when the first connection is made."""

from __future__ import annotations

import tempfile
from pathlib import Path

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from midwatch.domain.errors import UsageError
from midwatch.kube.connection import ClientCertificate, Connection
from midwatch.kube.proxies import proxy_of


class _Rest(RESTClientObject):
    def _create_pool_manager(self) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = super()._create_pool_manager()
        session._retry_connection = False
        return session


def open_rest(connection: Connection, certificate: ClientCertificate | None) -> RESTClientObject:
    """The connections to a server, none of which is open yet.

    Raises:
        UsageError: `kubeconfig-malformed`; authority, certificate or key is no such thing.
    """
    configuration = Configuration(host=connection.server)
    configuration.verify_ssl = not connection.insecure
    configuration.disable_strict_ssl_verification = True
    configuration.ca_cert_data = connection.ca
    configuration.tls_server_name = connection.tls_server_name
    configuration.proxy = proxy_of(connection)
    # trust_env would also take a password from ~/.netrc, and proxies by other rules than kubectl's.
    configuration.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    with tempfile.TemporaryDirectory(prefix="midwatch-") as folder:
        if certificate is not None:
            _store(configuration, certificate, Path(folder))
        try:
            return _Rest(configuration)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or "not PEM"
            text = f"context {connection.context!r}: certificate authority, client certificate or key: {reason}"
            raise UsageError("kubeconfig-malformed", text) from None


def _store(configuration: Configuration, certificate: ClientCertificate, folder: Path) -> None:
    """OpenSSL reads a client certificate from files only; the folder goes as soon as it has."""
    for name, data in (("client.crt", certificate.certificate), ("client.key", certificate.key)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)
    configuration.cert_file, configuration.key_file = str(folder / "client.crt"), str(folder / "client.key")
