"""Which HTTP proxy leads to a server: the kubeconfig's, else the environment's, as Go reads it for kubectl."""

from __future__ import annotations

import ipaddress
import urllib.request
from urllib.parse import urlsplit

from midwatch.domain.errors import UsageError
from midwatch.kube.connection import Connection


def proxy_of(connection: Connection) -> str | None:
    """The proxy's URL, None for a direct connection.

    As with Go's `http.ProxyFromEnvironment`, the environment's proxy is not used for loopback, and `NO_PROXY` may hold
    networks; the kubeconfig's own proxy always is.

    Raises:
        UsageError: `unsupported-proxy`, for one of the environment that is not HTTP.
    """
    if connection.proxy:
        return connection.proxy
    url = urlsplit(connection.server)
    host = url.hostname or ""
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(url.scheme)
    if not proxy or _is_loopback(host) or _is_exempt(host, proxies.get("no", "")):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise UsageError("unsupported-proxy", f"{url.scheme.upper()}_PROXY is no HTTP proxy, others do not work")
    return proxy


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_exempt(host: str, no_proxy: str) -> bool:
    if urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]  # not in typeshed for every platform
        return True
    address = _address(host)
    return address is not None and any(
        _in_network(address, entry.strip()) for entry in no_proxy.split(",") if "/" in entry
    )


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
