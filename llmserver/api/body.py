"""Read the body of a request: one JSON object and nothing that a later step would choke on.

Python's own parser lets NaN, endless numbers, half characters and bottomless nesting through; here they are a 400.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from llmserver.errors import RequestError

MAX_BODY_BYTES = 32 * 2**20
MAX_DEPTH = 64
_MAX_DIGITS = 40
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class StrictRoute(APIRoute):
    """A route whose JSON body is read by parse() below."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler with a stricter reader of the body in front."""
        inner = super().get_route_handler()
        if self.body_field is None:
            return inner

        async def handle(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            await strict.parse()
            return await inner(strict)

        return handle


class _StrictRequest(Request):
    _parsed: Any = None

    async def parse(self) -> None:
        """Read and check the body. Raises RequestError."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = await self._read()
        if raw and kind != "application/json":
            got = f"not {kind!r}" if kind else "which is missing"
            raise RequestError(f"send the body with the header Content-Type: application/json, {got}")
        if raw:
            self._parsed = parse(raw)
            if not isinstance(self._parsed, dict):
                raise RequestError("the body must be one JSON object", param="body")

    async def _read(self) -> bytes:
        chunks, n_bytes = [], 0
        async for chunk in self.stream():
            n_bytes += len(chunk)
            if n_bytes > MAX_BODY_BYTES:
                too_large = RequestError(f"the body is larger than {MAX_BODY_BYTES // 2**20} MiB")
                too_large.status = 413
                raise too_large
            chunks.append(chunk)
        self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """What parse() found."""
        return self._parsed


def parse(raw: bytes) -> Any:
    """The value of a JSON text. Raises RequestError that says what is wrong with it."""
    try:
        value = json.loads(raw.decode(), parse_constant=_no_constant, parse_float=_float, parse_int=_int)
    except UnicodeDecodeError as why:
        raise RequestError(f"the body is not UTF-8: byte {why.start} cannot be read") from why
    except json.JSONDecodeError as why:
        raise RequestError(f"the body is not valid JSON: {why.msg} at character {why.pos}") from why
    except RecursionError as why:
        raise RequestError(f"the body is nested deeper than {MAX_DEPTH} levels") from why
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _SURROGATE.search(raw):
        _check_characters(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _parts(outer) if isinstance(inner, (dict, list))]
        if not level:
            return
    raise RequestError(f"the body is nested deeper than {MAX_DEPTH} levels")


def _check_characters(value: Any) -> None:
    """Refuse strings that hold half of a surrogate pair; a field's path is only looked for when there is one."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        todo: list[tuple[str, Any]] = [("", value)]
        while todo:
            where, inner = todo.pop()
            if isinstance(inner, str):
                _check_text(inner, where)
            elif isinstance(inner, dict):
                for key in inner:
                    _check_text(key, where)
                todo.extend((f"{where}.{key}", part) for key, part in inner.items())
            elif isinstance(inner, list):
                todo.extend((f"{where}.{i}", part) for i, part in enumerate(inner))


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as why:
        param = where.lstrip(".") or "body"
        raise RequestError(
            f"{param}: character {why.start} is half of a surrogate pair, which is no character", param=param
        ) from why


def _no_constant(name: str) -> float:
    raise RequestError(f"the body is not valid JSON: {name} is no JSON number")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise RequestError(f"the body holds a number that is too large: {digits[:20]}")
    return number


def _int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise RequestError(f"the body holds a number of {len(digits)} digits; {_MAX_DIGITS} are the most")
    return int(digits)
