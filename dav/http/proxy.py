"""X-Forwarded fields: believed only when asked to, and only from trusted addresses.

`Forwarded` (RFC 7239) is not read. A proxy that sets X-Forwarded-For passes a client's own
`Forwarded` on, and the other way round: believing both would let clients choose their address.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from dav.http.errors import ListenError
from dav.http.settings import PRIVATE_NETWORKS
from dav.http.target import check_host

_FIELDS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")


class Peer(NamedTuple):
    """Who sent a request, and how: address, URL scheme, Host ("" for the request's own)."""

    address: str
    scheme: str
    host: str


@lru_cache(maxsize=1024)
def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: with brackets or a port perhaps; None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def plain_address(text: str) -> str:
    """An IPv4 address that a dual-stack socket shows as IPv6, in its usual form."""
    return text[7:] if text.startswith("::ffff:") and "." in text else text


class ProxyTrust:
    """Decides whose X-Forwarded fields are believed, and reads them."""

    def __init__(self, networks: Collection[str]) -> None:
        """Takes networks in CIDR notation, or addresses. Raises ListenError for a bad one."""
        self._networks: list[IPv4Network | IPv6Network] = []
        for network in networks:
            try:
                self._networks.append(ip_network(network, strict=False))
            except ValueError as error:
                raise ListenError(f"The trusted proxy {network!r} is not a network.") from error
        self._follows_chains = set(networks) != set(PRIVATE_NETWORKS)
        self._trusts = lru_cache(maxsize=1024)(self._is_trusted)

    def resolve(self, fields: dict[str, str], peer: Peer) -> Peer:
        """The peer that a request comes from, by its fields (WSGI names) and its socket's peer."""
        address = _parse_address(peer.address)
        if address is None or not self._trusts(address):
            return peer
        forwarded, scheme, host = (fields.get(name, "") for name in _FIELDS)
        scheme = scheme.rpartition(",")[2].strip().lower()
        host = host.rpartition(",")[2].strip()
        return Peer(
            address=self._find_client(forwarded) or peer.address,
            scheme=scheme if scheme in {"http", "https"} else peer.scheme,
            host=host if host and check_host(host) else "",
        )

    def _find_client(self, forwarded: str) -> str:
        """The address nearest to us that is no trusted proxy; what lies beyond may be invented.

        Of private networks as a whole nobody knows whether an address is a proxy or a client that
        invents what lies beyond it: then the nearest address is the client.
        """
        found = ""
        for item in reversed(forwarded.split(",")):
            address = _parse_address(item)
            if address is None:
                break
            found = str(address)
            if not (self._follows_chains and self._trusts(address)):
                break
        return found

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def drop_forwarded(fields: dict[str, str]) -> None:
    """Remove the X-Forwarded fields, so that no application believes them by accident."""
    for name in _FIELDS:
        fields.pop(name, None)
