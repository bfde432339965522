"""What a model server's answers and refusals say, read from the SDK's values. Asks nobody, trusts nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from chatbot.core.events import Progress, Queued, Reading
from chatbot.core.options import BY_NAME
from chatbot.errors import ChatError

_MOST_BEFORE = 100_000


def progress_of(extra: Mapping[str, Any]) -> Progress | None:
    """Read what a chunk says of the queue or of the prompt; None when it says nothing that makes sense."""
    read = extra.get("prompt_progress")
    if isinstance(read, dict):
        total, processed = read.get("total"), read.get("processed")
        if type(total) is int and type(processed) is int and 0 <= processed <= total and total > 0:
            return Reading(100 * processed // total)
    n_before = extra.get("queue_position")
    return Queued(n_before) if type(n_before) is int and 0 < n_before <= _MOST_BEFORE else None


def usage_of(told: Any) -> dict[str, int] | None:
    """Tokens of the prompt, of the answer, and where the server tells, of the prompt's part that was in its cache."""
    if told is None:
        return None
    found = {"prompt_tokens": told.prompt_tokens, "completion_tokens": told.completion_tokens}
    cached = getattr(getattr(told, "prompt_tokens_details", None), "cached_tokens", None)
    return found | ({"cached_tokens": cached} if type(cached) is int else {})


def retry_after_s(why: ChatError) -> float | None:
    """How long a server that turned a request away for now (429, 503) asks to be left alone; None if it does not."""
    response = getattr(why.__cause__, "response", None)
    if response is None or response.status_code not in {429, 503}:
        return None
    told = str(response.headers.get("retry-after", ""))
    if told.strip().isdigit():
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def refused(said: str, param: str | None, fields: Sequence[str]) -> str:
    """What to tell of a request that was found wrong: the server's sentence, and the option it is about.

    Servers that do not name the field apart name it in their sentence.
    """
    first = param.partition(".")[0] if param else ""
    names = [name for name in fields if (name == first if first else re.search(rf"\b{re.escape(name)}\b", said))]
    if not names:
        return said
    thinking = {"reasoning_effort", "chat_template_kwargs"}
    name = "thinking" if names[0] in thinking and names[0] not in BY_NAME else names[0]
    option = f"the option {name}" if name in BY_NAME else f"{name} in the option extra"
    return f"the model server does not take {option}: take it back in the chat's options. It says: {said}"


def thought_in(delta: Any) -> str:
    """The reasoning in a chunk, under either name that servers use."""
    told = delta.model_extra or {}
    found = told.get("reasoning_content") or told.get("reasoning")
    return found if isinstance(found, str) else ""


def said_in(why: Any) -> str:
    """The server's own sentence, without the SDK's decoration."""
    body = why.body if isinstance(why.body, dict) else {}
    return str(body.get("message") or why.message)
