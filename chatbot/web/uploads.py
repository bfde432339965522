"""POST /files: a file from the page, read to text and kept until the message that it belongs to is sent."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from chatbot.core import files
from chatbot.errors import BadRequest
from chatbot.web.service import ChatService

_AROUND_BYTES = 65_536  # the form around a file
_DRAINED_BYTES = 300_000_000


def add_uploads(app: Flask, service: ChatService) -> None:
    """Add the route. Uploads come from this server's own page alone, see same_origin."""

    @app.post("/files")
    def upload() -> Response:
        from chatbot.web.app import same_origin  # app adds this route, so it cannot be imported above

        same_origin()
        name, data, chat_id = _sent(service.settings.max_file_mb * 1_000_000)
        read = files.extract(name, data, max_bytes=service.settings.max_file_mb * 1_000_000)
        return jsonify(file=service.add_file(chat_id, files.clean_name(name), read.kind, read.text))


def _sent(max_bytes: int) -> tuple[str, bytes, str | None]:
    """(name, bytes, chat) of the form. Raises FileTooLarge before the file is read, BadRequest."""
    if (request.content_length or 0) > max_bytes + _AROUND_BYTES:
        _drain()
        raise files.too_large("this file", max_bytes, request.content_length)
    request.max_content_length = max_bytes + _AROUND_BYTES
    try:
        file = request.files.get("file")
    except RequestEntityTooLarge as why:
        raise files.too_large("this file", max_bytes) from why
    if file is None:
        raise BadRequest("send a form with the file as its field `file`")
    chat_id = request.form.get("chat_id", "")
    if len(chat_id) > 64:
        raise BadRequest("chat_id is the id of a chat, or left out")
    return file.filename or "", file.stream.read(max_bytes + 1), chat_id or None


def _drain() -> None:
    """Read and forget what is being sent: a browser that is cut off while it sends shows its own error, not ours."""
    n_bytes = 0
    while n_bytes < _DRAINED_BYTES and (piece := request.stream.read(_AROUND_BYTES)):
        n_bytes += len(piece)
