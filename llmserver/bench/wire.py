"""Take an HTTP/1.1 reply and server-sent events apart as their bytes come. No sockets, no clock, no OpenAI."""

from __future__ import annotations

_FIELDS = (b"event", b"id", b"retry")


class BrokenReply(ValueError):
    """The bytes are no HTTP/1.1 reply."""


class Reply:
    """A push parser for one reply: feed() returns the part of the body that became whole."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self._rest = b""
        self._is_chunked = False
        self._n_left: int | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the connection. Raises BrokenReply."""
        self._rest += data
        if not self.status:
            self._read_head()
        if not self.status:
            return b""
        return self._read_chunks() if self._is_chunked else self._read_plain()

    def close(self) -> None:
        """The server closed the connection: that completes a body without a length."""
        self.is_complete |= bool(self.status) and not self._is_chunked and self._n_left is None

    def _read_head(self) -> None:
        head, end, rest = self._rest.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, status = first.partition(" ")
        if not version.startswith("HTTP/1.") or not status[:3].isdigit():
            raise BrokenReply(f"the reply begins with {first[:60]!r}, which is not HTTP/1.1")
        self.status, self._rest = int(status[:3]), rest
        named = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in named}
        self._is_chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length", "")
        self._n_left = int(length) if length.isdigit() else None

    def _read_plain(self) -> bytes:
        piece, self._rest = self._rest, b""
        if self._n_left is not None:
            self._n_left -= len(piece)
            self.is_complete = self._n_left <= 0
        return piece

    def _read_chunks(self) -> bytes:
        pieces, at, rest = [], 0, self._rest
        while not self.is_complete and (end := rest.find(b"\r\n", at)) >= 0:
            try:
                size = int(rest[at:end].partition(b";")[0], 16)
            except ValueError as why:
                raise BrokenReply(f"{rest[at:end][:60]!r} stands where the size of a chunk belongs") from why
            begin = end + 2
            if size and len(rest) < begin + size + 2:
                break
            pieces.append(rest[begin : begin + size])
            self.is_complete = size == 0
            at = begin + size + 2
        self._rest = rest[at:]
        return b"".join(pieces)


class Events:
    """A push parser for text/event-stream: feed() returns the data of each event that became whole."""

    def __init__(self) -> None:
        self.stray = b""
        """The first line that is no event stream's: neither field nor comment."""
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, body: bytes) -> list[bytes]:
        """Take a part of the body."""
        *lines, self._rest = (self._rest + body).split(b"\n")
        found = []
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif line:
                self._look_at(line)
            elif self._data:
                found.append(b"\n".join(self._data))
                self._data.clear()
        return found

    def _look_at(self, line: bytes) -> None:
        is_known = line.startswith(b":") or line.partition(b":")[0] in _FIELDS
        if not is_known and not self.stray:
            self.stray = line
