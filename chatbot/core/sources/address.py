"""Which addresses may be fetched: the web's public ones, spelled plainly. Pure: looks nothing up, connects nowhere."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from chatbot.errors import AddressRefused

_MOST_CHARS = 4_000
_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Public by the registry, and yet inside: where clouds keep what a machine may know of itself.
_INSIDE = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "168.63.129.16/32", "fec0::/10", "fd00:ec2::/32")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last four bytes are the IPv4 address that is meant

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Target:
    """A checked address. host: a name in ASCII or an IP address without brackets; path: with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address in full."""
        return f"{self.scheme}://{self.netloc}{self.path}"


def parse(url: str) -> Target:
    """Read an address. Raises AddressRefused for what is not http or https, carries a login, or is oddly spelled."""
    url = url.strip()
    if len(url) > _MOST_CHARS or re.search(r"[\x00-\x20\x7f\\]", url):
        raise AddressRefused(f"an address is one word of at most {_MOST_CHARS:,} characters without a backslash")
    try:
        parts = urlsplit(url)
        scheme, port, given = parts.scheme.lower(), parts.port, parts.hostname or ""
    except ValueError as why:
        raise AddressRefused("this is no address of a page: it is spelled like https://example.org/page") from why
    if scheme not in _PORTS:
        raise AddressRefused("only addresses that begin with http:// or https:// can be fetched")
    if "@" in parts.netloc:
        raise AddressRefused("an address with a user name in it is not fetched: leave out what stands before the @")
    host = _host(given, is_bracketed="[" in parts.netloc)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]|")
    return Target(scheme, host, _PORTS[scheme] if port is None else port, f"{path}?{query}" if query else path)


def _host(given: str, *, is_bracketed: bool) -> str:
    """The host in its one plain spelling. Raises AddressRefused."""
    if is_bracketed:
        try:
            return str(ipaddress.IPv6Address(given))
        except ValueError as why:
            raise AddressRefused(f"{given[:80]} is no IPv6 address") from why
    try:
        host = given.encode("idna").decode("ascii").lower()
    except UnicodeError as why:
        raise AddressRefused(f"{given[:80]} is no host name") from why
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as why:
            raise AddressRefused(f"{host[:80]} is no IPv4 address: it is spelled as four numbers up to 255") from why
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise AddressRefused(f"{given[:80] or 'an empty word'} is no host name: it is spelled like example.org")
    return host


def is_address(host: str) -> bool:
    """Whether a checked host is an IP address, so that nothing has to be looked up."""
    return ":" in host or bool(_NUMBER.fullmatch(host.rpartition(".")[2]))


def is_public(address: str) -> bool:
    """Whether this IP address, and the one that it may wrap, is out on the internet."""
    try:
        ip = _unwrapped(ipaddress.ip_address(address))
    except ValueError:
        return False
    inside = any(ip in network for network in _INSIDE if network.version == ip.version)
    return ip.is_global and not (inside or ip.is_multicast or ip.is_reserved or ip.is_link_local or ip.is_loopback)


def _unwrapped(ip: Ip) -> Ip:
    """The IPv4 address inside an IPv6 address that stands for one."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id:
            raise ValueError(ip)
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip
