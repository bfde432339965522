"""The process in which strangers' files are read: little memory, little time, no secrets around it.

For each file a line of JSON and the file's bytes come in, and a line of JSON goes out: {text, title, kind, pages,
links}, or {refused, links}. It ends with its parent, whatever it is doing then.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rag.extract.decode import NotText, clean, decode, html_charset
from rag.extract.limits import MAX_CHARS, Unreadable
from rag.sources import Readable

_MOST_RESIDENT = 256 << 20  # a child that holds so much after a file is replaced
_THREAD_BYTES = 256 << 10


def main() -> None:
    """Answer for file after file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, meant for the parent
    os.nice(5)  # answers that are being written come first
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(_THREAD_BYTES)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    files, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a parser prints is no answer
    gc.freeze()
    answers.write(b"ready\n")
    answers.flush()
    while line := files.readline():
        request = json.loads(line)
        said = _answer(request, files.read(request["n_bytes"]))
        answers.write(json.dumps(said).encode("ascii") + b"\n")
        answers.flush()


def _answer(request: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """What there is to say of one file."""
    said: dict[str, Any]
    _limit(request["time_s"], request["memory_bytes"])
    is_last = False
    try:
        found = _read(request, data)
        if len(found.text) > MAX_CHARS:
            raise Unreadable(f"holds more than {MAX_CHARS:,} characters: split it")
        said = {name: getattr(found, name) for name in ("text", "title", "kind", "pages", "links")}
    except Unreadable as why:
        said = {"refused": why.reason, "links": why.links}
    except (MemoryError, RecursionError):
        is_last = True
        said = {"refused": "is nested too deeply or needs too much memory: add it as plain text"}
    except Exception:  # noqa: BLE001 - a parser met what its authors did not think of
        is_last = True
        said = {"refused": "is damaged or built in a way that cannot be read: add it as plain text"}
    said["is_last"] = is_last or _resident() > _MOST_RESIDENT
    return said


def _read(request: Mapping[str, Any], data: bytes) -> Readable:
    kind, is_whole = request["kind"], request["is_whole"]
    if kind == "pdf":
        from rag.extract import pdf

        return pdf.read(data, is_whole=is_whole)
    if kind == "zip":
        from rag.extract import docx

        text, title = docx.read(data)
        return Readable(clean(text).strip("\n"), "document", clean(title))
    if kind == "page":
        return _page(request, data)
    if kind == "sitemap":
        from rag.extract import sitemap

        return Readable(sitemap.written(data), kind)
    from rag.extract import tables

    text = _decoded(data, request["charset"])
    return tables.table(text) if kind == "table" else tables.json_text(text, kind, is_whole=is_whole)


def _page(request: Mapping[str, Any], data: bytes) -> Readable:
    from rag.extract.page import readable

    charset = request["charset"]
    declared = html_charset(data) if charset in {"", "utf-8"} else charset  # UTF-8 is tried in any case
    html = _decoded(data, declared)
    gc.disable()  # a page's tree has no cycles, and looking for them takes longer than to read it
    try:
        page = readable(html, request["url"], is_plain=not request["is_whole"])
    finally:
        gc.enable()
    links = () if request["is_whole"] else page.links
    if not page.markdown:
        raise Unreadable("has no text that can be read without running its scripts", links)
    return Readable(clean(page.markdown).strip("\n"), "page", clean(page.title), (), links)


def _decoded(data: bytes, charset: str) -> str:
    try:
        return decode(data, charset)
    except NotText as why:
        raise Unreadable("is no text in any encoding that is known here") from why


def _limit(time_s: int, memory_bytes: int) -> None:
    """What this file may take; the time of the files before it does not count."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    n_seconds = int(spent.ru_utime + spent.ru_stime) + time_s + 1
    for what, most in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, n_seconds)):
        with suppress(OSError, ValueError):  # macOS knows no limit of address space
            _, hard = resource.getrlimit(what)
            resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _resident() -> int:
    """Bytes of memory that it holds now: the most it ever held would be its parent's, which forked it."""
    try:
        with open("/proc/self/statm", "rb") as told:
            return int(told.read().split()[1]) * resource.getpagesize()
    except OSError:  # macOS, where a new program begins anew
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _end_with_parent() -> None:
    """Wait until nobody holds the other end of the pipe, and end at once."""
    waiting = select.poll()
    waiting.register(0, 0)  # nothing but its end
    waiting.poll()
    os._exit(1)
