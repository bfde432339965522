"""Who may ask: the check of the API key that stands before every route but /health."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from fastapi import Request

from llmserver.errors import InvalidKey
from llmserver.settings import ServeSettings


async def require_key(request: Request) -> None:
    """Refuse a request without one of the API keys, where there are any. Raises InvalidKey."""
    settings: ServeSettings = request.app.state.settings
    keys = settings.api_keys
    if keys and not knows(keys, request.headers.get("authorization", "")):
        raise InvalidKey("a valid API key is needed: send it as `Authorization: Bearer KEY`")


def knows(keys: Sequence[str], header: str) -> bool:
    """Whether the header holds one of the keys; how long that takes tells nothing of them."""
    scheme, _, sent = header.partition(" ")
    raw = sent.strip().encode("latin-1", "replace")  # as HTTP headers are decoded: these are the bytes that were sent
    found = [hmac.compare_digest(raw, key.encode()) for key in keys]
    return scheme.lower() == "bearer" and any(found)
