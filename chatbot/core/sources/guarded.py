"""The library's way to the net: pages and repositories of public hosts, and of those inside that are allowed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from chatbot.core.sources import fetch
from chatbot.core.sources.address import parse
from chatbot.core.sources.fetch import Limits, Net
from chatbot.core.sources.tunnel import Tunnel
from chatbot.core.sources.wire import Deadline
from chatbot.errors import AddressRefused, FetchFailed
from rag.errors import SourceFailed
from rag.sources import Fetched

_ACCEPT = "text/html, text/*;q=0.9, application/pdf;q=0.8, */*;q=0.5"
_LOOK_UP_S = 10.0


class Guarded:
    """rag.sources.Fetch, over the fetcher that a person's addresses go through."""

    def __init__(self, allowed: Collection[str], limits: Limits, net: Net) -> None:
        self._allowed, self._limits, self._net = allowed, limits, net

    def __call__(self, url: str, stamp: str = "") -> Fetched:
        """Fetch an address. stamp: of an earlier answer. Raises SourceFailed."""
        try:
            came = fetch.get(url, self._allowed, limits=self._limits, net=self._net, accept=_ACCEPT, stamp=stamp)
        except FetchFailed as why:
            raise SourceFailed(why.message, why.answered) from why
        except AddressRefused as why:
            raise SourceFailed(why.message) from why
        return Fetched(came.final_url, came.content_type, came.body, came.stamp, came.is_same)

    @contextmanager
    def tunnel(self, url: str, n_bytes: int) -> Iterator[str]:
        """The address of a proxy that leads to the host of this address alone. Raises SourceFailed."""
        try:
            target = parse(url)
            addresses = fetch.addresses_of(target, target.host in self._allowed, self._net, Deadline(_LOOK_UP_S))
        except (FetchFailed, AddressRefused) as why:
            raise SourceFailed(why.message) from why
        except TimeoutError as why:
            raise SourceFailed(f"the network did not say where {url} is: try again later") from why
        tunnel = Tunnel(target, addresses, self._net, n_bytes)
        try:
            yield tunnel.url
        except SourceFailed as why:
            if tunnel.is_too_large:
                said = f"{url} has more than {n_bytes / 1e6:,.0f} MB, which is the most that is fetched: give a folder"
                raise SourceFailed(said) from why
            if tunnel.problem:
                said = f"{tunnel.problem}: check the address, or try again later"
                raise SourceFailed(said) from why
            raise
        finally:
            tunnel.close()
