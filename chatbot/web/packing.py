"""Scripts and styles go out packed to browsers that unpack them: a third of the bytes, which a phone waits for."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path

from flask import Flask, Response, request

_PACKED_TYPES = ("text/javascript", "text/css", "image/svg+xml", "application/json")
_SMALLEST = 1_000  # bytes; less is not worth it


def add_packing(app: Flask) -> None:
    """Pack what the static folder holds. Each file is packed once, when it is first asked for."""
    packed, lock = dict[str, tuple[float, bytes]](), threading.Lock()

    def content(path: Path) -> bytes:
        changed_at = path.stat().st_mtime
        with lock:
            found = packed.get(str(path))
            if found is None or found[0] != changed_at:
                found = packed[str(path)] = changed_at, gzip.compress(path.read_bytes(), mtime=0)
            return found[1]

    @app.after_request
    def pack(response: Response) -> Response:
        if request.endpoint != "static" or response.mimetype not in _PACKED_TYPES:
            return response
        response.vary.add("Accept-Encoding")
        is_whole = response.status_code == 200 and (response.content_length or 0) >= _SMALLEST
        if is_whole and request.accept_encodings["gzip"] > 0:
            response.close()  # the file that it would have read
            response.direct_passthrough = False
            response.set_data(content(Path(str(app.static_folder)) / str((request.view_args or {})["filename"])))
            response.headers["Content-Encoding"] = "gzip"
            response.headers.pop("Accept-Ranges", None)
            tag, _ = response.get_etag()
            response.set_etag(str(tag), weak=True)  # the same file in other bytes
        return response
