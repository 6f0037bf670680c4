"""The way to an API server, stage by stage, and its clock."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.doctor.checks import Check, CheckId, Health, doubtful, failed, fine, not_looked_at
from midwatch.domain.durations import format_duration

_CLOCKS_AGREE = timedelta(minutes=1)
"""What a stale condition leaves to the clocks (`midwatch.domain.nodes.STALE_AFTER`)."""
_CLOCKS_LIE = timedelta(minutes=5)
"""Half of a lease's life: beyond it a host may take the lease of another one that lives."""
_PRIVATE = "privatelink."
_PRIVATE_NETWORKS = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
"""What virtual networks use (RFC 1918, 6598, 4193). Python's `is_private` takes in loopback and more."""


class Stage(StrEnum):
    """How far a connection gets."""

    DNS = "network.dns"
    TCP = "network.tcp"
    TLS = "network.tls"
    HTTP = "network.http"


_STAGES = tuple(Stage)


class NetworkProbe(Message):
    """What a try to reach an API server showed.

    Attributes:
        server: its URL.
        host, port: where the connection goes: the server, or the proxy before it.
        proxy: whether that is a proxy.
        addresses: what the host's name resolves to.
        stopped_at: the stage that failed; None: the server answered.
        error: why.
        authority: who vouches for the server's certificate: `kubeconfig`, `system`, `nobody` (no check, or no TLS).
        status: HTTP status of the answer. Any one is an answer: whether we may ask comes later.
        server_time: what the server's clock said in its answer (`Date`, whole seconds).
        asked, answered: our clock before and after.
    """

    server: str
    host: str
    port: int
    asked: datetime
    answered: datetime
    proxy: bool = False
    addresses: tuple[str, ...] = ()
    stopped_at: Stage | None = None
    error: str = ""
    authority: str = "kubeconfig"
    status: int | None = None
    server_time: datetime | None = None

    @property
    def private(self) -> bool:
        """Whether this is, by its name or its addresses, an API server that only its own network reaches."""
        return _PRIVATE in self.server or any(_is_private(address) for address in self.addresses)


def network_checks(probe: NetworkProbe) -> tuple[Check, ...]:
    """A check for each stage; those after one that failed are unknown."""
    found: list[Check] = []
    for number, stage in enumerate(_STAGES):
        if stage is probe.stopped_at:
            found.append(failed(CheckId(stage), probe.server, _what_failed(probe), _REMEDIES[stage](probe)))
            rest = [CheckId(later) for later in _STAGES[number + 1 :]]
            return (*found, *not_looked_at(rest, CheckId(stage)))
        found.append(_passed(stage, probe))
    return tuple(found)


def clock_check(probe: NetworkProbe) -> Check:
    """Whether our clock and the server's agree. The answer was made at some moment between question and answer."""
    said = probe.server_time
    if said is None:
        detail = "the answer has no usable Date, so the clocks cannot be compared"
        return Check(id=CheckId.CLOCK, subject=probe.server, verdict=Health.UNKNOWN, detail=detail)
    early, late = probe.asked - (said + timedelta(seconds=1)), said - probe.answered
    apart = max(early, late, timedelta(0))
    if apart <= _CLOCKS_AGREE:
        return fine(CheckId.CLOCK, probe.server, f"within {format_duration(_CLOCKS_AGREE)} of the API server's")
    whose = "behind" if late > early else "ahead of"
    length = format_duration(timedelta(seconds=round(apart.total_seconds())))
    detail = f"the clock here is {length} {whose} the API server's"
    remedy = "set both clocks by NTP: the age of conditions and leases is judged by them"
    return (failed if apart > _CLOCKS_LIE else doubtful)(CheckId.CLOCK, probe.server, detail, remedy)


def _passed(stage: Stage, probe: NetworkProbe) -> Check:
    what, where = CheckId(stage), f"{'proxy ' if probe.proxy else ''}{probe.host}"
    if stage is Stage.DNS:
        kind = ", private" if any(_is_private(address) for address in probe.addresses) else ""
        return fine(what, probe.server, f"{where} is {', '.join(probe.addresses)}{kind}")
    if stage is Stage.TCP:
        return fine(what, probe.server, f"{where} takes connections on port {probe.port}")
    if stage is Stage.HTTP:
        return fine(what, probe.server, f"it answers (HTTP {probe.status})")
    if probe.authority == "nobody":
        text = "the server's certificate is not checked: whoever answers there gets the credentials"
        return doubtful(what, probe.server, text, "put the cluster's certificate authority into the kubeconfig")
    whose = "the kubeconfig's authority" if probe.authority == "kubeconfig" else "an authority of this system"
    return fine(what, probe.server, f"its certificate is signed by {whose}")


def _what_failed(probe: NetworkProbe) -> str:
    if probe.private and probe.addresses:
        return f"{probe.error} (private: {', '.join(probe.addresses)})"
    return probe.error


def _dns_remedy(probe: NetworkProbe) -> str:
    if probe.private:
        return (
            "this is a private cluster: run Midwatch where its private DNS zone is linked (its virtual network, or a "
            "peered one), or over a VPN that resolves there"
        )
    return "check the server's name in the kubeconfig, and this machine's DNS; was the cluster deleted or renamed?"


def _tcp_remedy(probe: NetworkProbe) -> str:
    if probe.proxy:
        return "check proxy-url, HTTPS_PROXY and NO_PROXY, and whether the proxy runs"
    if probe.private:
        return "this is a private cluster: run Midwatch in its virtual network, a peered one, or over a VPN"
    return (
        "is the cluster stopped? do its authorized IP ranges (az aks update --api-server-authorized-ip-ranges) and the "
        "firewalls between let this address through?"
    )


def _tls_remedy(probe: NetworkProbe) -> str:
    if probe.authority == "system":
        return "put the cluster's certificate authority into the kubeconfig (certificate-authority-data)"
    return (
        "fetch the kubeconfig anew (az aks get-credentials): the cluster's authority was rotated, or something between "
        "breaks TLS open"
    )


def _http_remedy(_: NetworkProbe) -> str:
    return (
        "something accepts connections there and does not answer as an API server does: look at load balancer and proxy"
    )


_REMEDIES = {Stage.DNS: _dns_remedy, Stage.TCP: _tcp_remedy, Stage.TLS: _tls_remedy, Stage.HTTP: _http_remedy}


def _is_private(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(parsed in network for network in _PRIVATE_NETWORKS)
