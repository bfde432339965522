"""The body of an answer, unpacked while it comes, so that neither a long one nor a bomb ever is in memory."""

from __future__ import annotations

import zlib
from http.client import HTTPResponse

from chatbot.errors import FetchFailed

_PIECE = 65_536
_GZIP, _ZLIB, _BARE = 31, 15, -15  # zlib's window bits for the three forms
_PACKED = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


def read(response: HTTPResponse, n_bytes: int) -> bytes:
    """All of the body, unpacked. Raises FetchFailed when it has more than n_bytes, or less than was announced."""
    encoding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding not in {"identity", *_PACKED}:
        raise FetchFailed("the page is packed in a way that was not asked for, so it cannot be read")
    if response.length is not None and response.length > n_bytes:
        raise _too_large(n_bytes, response.length)
    sink = _Sink(_PACKED.get(encoding), n_bytes)
    n_read = 0
    while piece := response.read(_PIECE):
        n_read += len(piece)
        if n_read > n_bytes:
            raise _too_large(n_bytes)
        sink.take(piece)
    if response.length:  # http.client counts down what is still to come
        raise FetchFailed("the connection ended in the middle of the page: try again")
    return sink.finish()


def _too_large(n_bytes: int, has: int = 0) -> FetchFailed:
    size = f" ({has / 1e6:,.0f} MB)" if has else ""
    return FetchFailed(f"the page is larger than {n_bytes / 1e6:g} MB{size}, which is the most that is fetched")


class _Sink:
    """Takes what comes and keeps it unpacked, never more than n_bytes."""

    def __init__(self, window_bits: int | None, n_bytes: int) -> None:
        self._bits, self._most = window_bits, n_bytes
        self._unpack = zlib.decompressobj(window_bits) if window_bits else None
        self._kept = bytearray()
        self._is_first = True

    def take(self, piece: bytes) -> None:
        if self._unpack is None:
            self._keep(piece)
            return
        if self._is_first and self._bits == _ZLIB and piece[0] & 0x0F != 8:  # some servers leave zlib's header out
            self._bits, self._unpack = _BARE, zlib.decompressobj(_BARE)
        self._is_first = False
        while piece:
            if self._unpack.eof:  # another member of a gzip, or what a server added after it
                if self._bits != _GZIP or not piece.startswith(b"\x1f\x8b"):
                    return
                self._unpack = zlib.decompressobj(_GZIP)
            try:
                self._keep(self._unpack.decompress(piece, self._most - len(self._kept) + 1))
            except zlib.error as why:
                raise FetchFailed("the page came damaged: it cannot be unpacked") from why
            piece = self._unpack.unused_data if self._unpack.eof else self._unpack.unconsumed_tail

    def finish(self) -> bytes:
        if self._unpack is not None and not self._is_first and not self._unpack.eof:
            raise FetchFailed("the connection ended in the middle of the page: try again")
        return bytes(self._kept)

    def _keep(self, piece: bytes) -> None:
        self._kept += piece
        if len(self._kept) > self._most:
            raise _too_large(self._most)
