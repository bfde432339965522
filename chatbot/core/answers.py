"""What a model server's answers and refusals say, read from its JSON. Asks nobody, trusts nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatbot.core.events import Progress, Queued, Reading
from chatbot.core.options import BY_NAME
from chatbot.errors import ChatError, ContextFull, ModelBusy, ModelError, ModelLoading, NoChatTemplate

_MOST_BEFORE = 100_000
_LONGEST_SENTENCE = 2_000
_BY_CODE: Mapping[str, type[ModelError]] = {
    "context_length_exceeded": ContextFull,
    "model_loading": ModelLoading,
    "no_chat_template": NoChatTemplate,
    "queue_full": ModelBusy,
    "queue_timeout": ModelBusy,
}


class NoModelServer(Exception):
    """What came is none of the OpenAI API's answers."""


class Refusal(Exception):
    """The server's error, in place of an answer or in the middle of one, where status is None."""

    def __init__(self, error: object, status: int | None = None, retry_after: str = "") -> None:
        super().__init__(status)
        found = error if isinstance(error, dict) else {"message": error}
        message, code, param = found.get("message") or found.get("detail"), found.get("code"), found.get("param")
        self.status, self.retry_after = status, retry_after
        self.code = code if isinstance(code, str) else ""
        self.param = param if isinstance(param, str) else ""
        said = message.strip()[:_LONGEST_SENTENCE] if isinstance(message, str) else ""
        self.said = said or f"the model server answered with an error{f' (status {status})' if status else ''}"

    def translated(self, fields: Sequence[str]) -> ModelError:
        """The error of our tree, decided by status and code, never by the text; fields: what extra the request had."""
        kind = _BY_CODE.get(self.code)
        if kind is None and self.status in {400, 422}:
            return ModelError(refused(self.said, self.param, fields))
        return (kind or ModelError)(self.said)


@dataclass(frozen=True)
class Piece:
    """Some text, the reason why the answer ended, what it cost, how far it is, or a thought; any may be missing."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    progress: Progress | None = None
    thought: str = ""


def piece_of(chunk: object, *, continues: bool) -> Piece:
    """Read one chunk of an answer, or of a text that is continued. Raises Refusal, NoModelServer for what is none."""
    if not isinstance(chunk, dict):
        raise NoModelServer
    if chunk.get("error"):
        raise Refusal(chunk["error"])
    choices = chunk.get("choices") or ()
    choice = choices[0] if isinstance(choices, list) and choices else {}
    if not (isinstance(choices, list | tuple) and isinstance(choice, dict)):
        raise NoModelServer
    said = choice if continues else choice.get("delta") or choice.get("message") or {}
    if not isinstance(said, dict):
        raise NoModelServer
    return Piece(
        _text(said.get("text" if continues else "content")),
        _text(choice.get("finish_reason")) or None,
        usage_of(chunk.get("usage")),
        progress_of(chunk),
        "" if continues else _text(said.get("reasoning_content")) or _text(said.get("reasoning")),
    )


def models_in(body: object) -> list[dict[str, Any]]:
    """The entries in a list of models, each with an id. Raises NoModelServer."""
    found = body.get("data") if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise NoModelServer
    return [each for each in found if isinstance(each, dict) and isinstance(each.get("id"), str)]


def progress_of(extra: Mapping[str, Any]) -> Progress | None:
    """Read what a chunk says of the queue or of the prompt; None when it says nothing that makes sense."""
    read = extra.get("prompt_progress")
    if isinstance(read, dict):
        total, processed = read.get("total"), read.get("processed")
        if type(total) is int and type(processed) is int and 0 <= processed <= total and total > 0:
            return Reading(100 * processed // total)
    n_before = extra.get("queue_position")
    return Queued(n_before) if type(n_before) is int and 0 < n_before <= _MOST_BEFORE else None


def usage_of(told: object) -> dict[str, int] | None:
    """Tokens of the prompt, of the answer, and where the server tells, of the prompt's part that was in its cache."""
    if not isinstance(told, dict):
        return None
    found = {name: told.get(name) for name in ("prompt_tokens", "completion_tokens")}
    if not all(type(count) is int for count in found.values()):
        return None
    details = told.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return {**found, **({"cached_tokens": cached} if type(cached) is int else {})}  # type: ignore[dict-item]


def retry_after_s(why: ChatError) -> float | None:
    """How long a server that turned a request away for now (429, 503) asks to be left alone; None if it does not."""
    refusal = why.__cause__
    if not isinstance(refusal, Refusal) or refusal.status not in {429, 503}:
        return None
    told = refusal.retry_after
    if told.strip().isdigit():
        return float(told)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def refused(said: str, param: str, fields: Sequence[str]) -> str:
    """What to tell of a request that was found wrong: the server's sentence, and the option it is about.

    Servers that do not name the field apart name it in their sentence.
    """
    first = param.partition(".")[0]
    names = [name for name in fields if (name == first if first else re.search(rf"\b{re.escape(name)}\b", said))]
    if not names:
        return said
    thinking = {"reasoning_effort", "chat_template_kwargs"}
    name = "thinking" if names[0] in thinking and names[0] not in BY_NAME else names[0]
    option = f"the option {name}" if name in BY_NAME else f"{name} in the option extra"
    return f"the model server does not take {option}: take it back in the chat's options. It says: {said}"


def _text(told: object) -> str:
    return told if isinstance(told, str) else ""
