"""POST /files: a file from the page, read and kept until the message that it belongs to is sent; GET /files/ID: a
picture, as it is."""

from __future__ import annotations

from urllib.parse import quote

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from chatbot.core import files
from chatbot.core.store import NewFile, StoredFile
from chatbot.errors import BadRequest, UnknownFile
from chatbot.web import guard, parse
from chatbot.web.service import ChatService

_AROUND_BYTES = 65_536  # the form around a file
_DRAINED_BYTES = 300_000_000
_MOST_BESIDE = 100


def add_uploads(app: Flask, service: ChatService) -> None:
    """Add the route. Uploads come from this server's own page alone, see same_origin."""

    @app.post("/files")
    def upload() -> Response:
        from chatbot.web.app import same_origin  # app adds this route, so it cannot be imported above

        same_origin()
        user = service.auth.who()
        name, data, chat_id = sent_file(service.settings.max_file_mb * 1_000_000)
        read = files.extract(name, data, max_bytes=service.settings.max_file_mb * 1_000_000)
        new = NewFile(files.clean_name(name), read.kind, read.text, "", read.media_type, read.data)
        sent = guard.own_only(service.store, user, {"chat_id": chat_id, "files": _beside()})
        return jsonify(file=service.controls.add_file(user, sent["chat_id"], new, sent["files"]))

    @app.get("/files/<file_id>")
    def picture(file_id: str) -> Response:
        file = service.store.file(guard.own(service.store, service.auth.who(), "files", file_id))
        if file.data is None:
            raise UnknownFile("this file is a text and no picture: its message shows its name")
        return _shown(file)


def sent_file(max_bytes: int) -> tuple[str, bytes, str | None]:
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


def _beside() -> list[str]:
    """The ids of the files that go with the same message."""
    given = request.form.getlist("files")
    return parse.ids({"files": given}, "files", _MOST_BESIDE)


def _shown(file: StoredFile) -> Response:
    """A picture for the page that it is on, and for no other. The browser asks each time whether it may show it."""
    answer = Response(file.data, mimetype=file.media_type)
    answer.headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(file.name, safe='')}"
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.set_etag(file.id)
    answer.make_conditional(request)
    return answer


def _drain() -> None:
    """Read and forget what is being sent: a browser that is cut off while it sends shows its own error, not ours."""
    n_bytes = 0
    while n_bytes < _DRAINED_BYTES and (piece := request.stream.read(_AROUND_BYTES)):
        n_bytes += len(piece)
