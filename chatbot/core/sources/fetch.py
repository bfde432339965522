"""Fetch one address of the web for a person, and nothing inside the house: checked, pinned, limited in bytes and time.

http.client, because it follows nothing, keeps nothing and reads no environment: no proxies, no cookies, no .netrc. The
socket that it gets is connected to an address that was checked a moment before, so no later look-up can change it.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urldefrag, urljoin

from chatbot import __version__
from chatbot.core.sources import body
from chatbot.core.sources.address import Target, is_address, is_public, parse
from chatbot.core.sources.wire import Deadline, TimedSocket, connect, look_up
from chatbot.errors import AddressRefused, FetchFailed

_VALIDATORS = {
    "ETag": re.compile(r'(?:W/)?"[\x21\x23-\x7e]{1,300}"'),
    "Last-Modified": re.compile(r"[\x20-\x7e]{10,60}"),
}
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_MOST_ADDRESSES = 4
_PATIENCE_S = 2.5  # with one address while there are others
_AGENT = f"Paddock/{__version__} (fetches a page when a person asks for it)"


@dataclass(frozen=True)
class Limits:
    """Bytes after unpacking, seconds for everything, and how many times a server may send us elsewhere."""

    n_bytes: int = 5_000_000
    seconds: float = 10.0
    n_redirects: int = 5


@dataclass(frozen=True)
class Net:
    """How the net is reached; the tests have one of their own. look_up: IP addresses of a name."""

    look_up: Callable[[str, int, float], Sequence[str]] = look_up
    connect: Callable[[str, int, float], socket.socket] = connect
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context


@dataclass(frozen=True)
class Fetched:
    """What came, from where in the end, and what its server calls it.

    stamp: to be given the next time; a server that then says that nothing changed sends no body (is_same).
    """

    final_url: str
    content_type: str
    body: bytes
    stamp: str = ""
    is_same: bool = False


def get(
    url: str,
    allowed: Collection[str] = (),
    *,
    limits: Limits = Limits(),
    net: Net = Net(),
    accept: str = "*/*",
    stamp: str = "",
) -> Fetched:
    """Fetch a page. allowed: host names and addresses that may be inside the house; stamp: of an earlier answer.

    Raises AddressRefused before anything is sent, FetchFailed for all that goes wrong afterwards.
    """
    deadline = Deadline(limits.seconds)
    begun = target = parse(url)
    may_be_inside = True
    for _ in range(limits.n_redirects + 1):
        # A page from outside cannot send us to a host inside, even to one that a person may ask for.
        may_be_inside = may_be_inside and target.host in allowed
        with _telling(begun, target, limits):
            addresses = addresses_of(target, may_be_inside, net, deadline)
            with closing(_connected(target, addresses, net, deadline)) as sock:
                came = _ask(target, TimedSocket(sock, deadline), limits, accept, stamp)
        if isinstance(came, Fetched):
            return came
        target = came
    raise FetchFailed(f"{begun.url} sends us elsewhere for the {limits.n_redirects + 1}th time: this is given up")


@contextmanager
def _telling(begun: Target, target: Target, limits: Limits) -> Iterator[None]:
    """Say of what fails behind a redirect where it began, which is all that a person knows of it."""
    before = "" if target is begun else f"{begun.url} leads elsewhere: "
    try:
        yield
    except TimeoutError as why:
        said = f"{before}{target.host} did not send the page within {limits.seconds:g} seconds: try again later"
        raise FetchFailed(said) from why
    except FetchFailed as why:
        raise FetchFailed(before + why.message, why.answered) from why
    except AddressRefused as why:
        raise AddressRefused(before + why.message) from why


def addresses_of(target: Target, may_be_inside: bool, net: Net, deadline: Deadline) -> Sequence[str]:
    """The addresses of the host, each one checked. Raises AddressRefused, FetchFailed."""
    found = [target.host] if is_address(target.host) else net.look_up(target.host, target.port, deadline.left())
    if not found:
        raise FetchFailed(f"no host called {target.host} can be found: check its spelling and the network")
    if not may_be_inside and not all(map(is_public, found)):
        raise AddressRefused(
            f"{target.host} is an address inside this network, and only public pages are fetched: "
            f"where that is meant, start with --allowed_fetch_hosts {target.host}"
        )
    return found


def _connected(target: Target, addresses: Sequence[str], net: Net, deadline: Deadline) -> socket.socket:
    """A connection to the host, with TLS for its name where that is asked for."""
    sock = reached(target, addresses, net, deadline)
    if target.scheme == "http":
        return sock
    try:
        sock.settimeout(deadline.left())
        return net.tls().wrap_socket(sock, server_hostname=target.host)
    except ssl.SSLCertVerificationError as why:
        sock.close()
        raise FetchFailed(f"{target.host} cannot prove that it is {target.host}: {why.verify_message}") from why
    except OSError as why:
        sock.close()
        if isinstance(why, TimeoutError):
            raise
        raise FetchFailed(f"{target.host} speaks no TLS that is safe: https is not possible with it") from why


def reached(target: Target, addresses: Sequence[str], net: Net, deadline: Deadline) -> socket.socket:
    """A connection to the first of the addresses that takes one. Raises FetchFailed, TimeoutError."""
    sock, tried = None, addresses[:_MOST_ADDRESSES]
    for address in tried:
        is_last = address == tried[-1]
        try:
            sock = net.connect(address, target.port, deadline.left() if is_last else min(_PATIENCE_S, deadline.left()))
            break
        except OSError as why:  # an IPv6 address where only IPv4 leads out does not answer at all
            if is_last and isinstance(why, TimeoutError):
                raise
    if sock is None:
        raise FetchFailed(f"{target.host} takes no connection at port {target.port}")
    return sock


def _ask(target: Target, sock: TimedSocket, limits: Limits, accept: str, stamp: str) -> Fetched | Target:
    """Send the request and read the answer: a page, or where we are sent."""
    connection = http.client.HTTPConnection(target.host, target.port)
    conditions = _conditions(stamp)
    connection.sock = sock  # it has what http.client uses
    headers = {"Host": target.netloc, "User-Agent": _AGENT, "Accept": accept, "Accept-Encoding": "gzip, deflate"}
    try:
        connection.request("GET", target.path, headers={**headers, **conditions, "Connection": "close"})
        response = connection.getresponse()
        if response.status in _REDIRECTS:
            return _elsewhere(target, response.headers.get("Location") or "")
        if response.status == HTTPStatus.NOT_MODIFIED and conditions:
            return Fetched(target.url, "", b"", _stamp(response) or stamp, is_same=True)
        if response.status != HTTPStatus.OK:
            raise FetchFailed(
                f"{target.host} answered {_meaning(response.status)} instead of the page", response.status
            )
        kind = response.headers.get("Content-Type") or ""
        return Fetched(target.url, kind, body.read(response, limits.n_bytes), _stamp(response))
    except TimeoutError:
        raise
    except (http.client.HTTPException, OSError, ValueError) as why:
        raise FetchFailed(f"{target.host} broke off or did not answer in HTTP: try again later") from why


def _stamp(response: http.client.HTTPResponse) -> str:
    """What tells this answer from a later one: its ETag, else the time of its last change; empty with neither."""
    for name, form in _VALIDATORS.items():
        said = (response.headers.get(name) or "").strip()
        if form.fullmatch(said):
            return f"{name}: {said}"
    return ""


def _conditions(stamp: str) -> dict[str, str]:
    """The headers that ask for a page only if it is another one than that of a stamp."""
    name, _, said = stamp.partition(": ")
    if name not in _VALIDATORS or not _VALIDATORS[name].fullmatch(said):
        return {}
    return {"If-None-Match" if name == "ETag" else "If-Modified-Since": said}


def _elsewhere(target: Target, location: str) -> Target:
    """Where a redirect leads. Raises FetchFailed, AddressRefused."""
    if not location:
        raise FetchFailed(f"{target.host} sends us elsewhere without saying where")
    as_sent = location.encode("latin-1", "replace").decode("utf-8", "replace")  # headers come as Latin-1
    try:
        return parse(urldefrag(urljoin(target.url, as_sent.strip()))[0])
    except AddressRefused as why:
        raise AddressRefused(f"{target.url} leads elsewhere: {why.message}") from why


def _meaning(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)
