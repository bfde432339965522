"""Which files of a conversation the model gets whole: those that it has room for. Of others it gets what a question
asks of them. Pure but for the counter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chatbot.core import files
from chatbot.core.events import Attached, Given, Message
from chatbot.core.store_rows import StoredFile
from rag.fence import fenced

if TYPE_CHECKING:
    from chatbot.core.model import ModelInfo
    from chatbot.core.turn import Turn
    from chatbot.settings import ChatSettings


def message_of(role: str, text: str, given: Sequence[StoredFile]) -> Message:
    """A message with its files, which it knows by name: texts stand fenced in it, pictures go beside it."""
    made = files.message_of(role, text, given)
    texts = tuple(
        Attached(each.id, each.name, each.text, each.source, each.kind) for each in given if each.data is None
    )
    return replace(made, files=texts, said=text) if texts else made


@dataclass(frozen=True)
class Parted:
    """The messages of a turn with a line in place of each file that the model has no room for; these files; and the
    tokens of that room, None where everything fits."""

    messages: Sequence[Message]
    long: tuple[Attached, ...] = ()
    n_room: int | None = None


def parted(turn: Turn, info: ModelInfo, settings: ChatSettings, count: Callable[[str], int]) -> Parted:
    """Which files of a turn go whole: each message's in their order, as long as they fit beside the system prompt and
    an answer. What came before does not count: it is folded or left out."""
    if info.n_ctx is None or not any(message.files for message in turn.messages):
        return Parted(turn.messages)
    most = turn.options.longest(settings.max_tokens)
    n_room = files.room_beside(info.n_ctx, count(turn.options.system_prompt or ""), most)
    out: list[Message] = []
    long: list[Attached] = []
    for message in turn.messages:
        whole = _fitting(message, n_room, count)
        missing = [each for each in message.files if each not in whole]
        out.append(replace(message, content=_content(message, whole, missing)) if missing else message)
        long += missing
    return Parted(out, tuple(long), n_room)


def asked_with(message: Message, content: str, long: Sequence[Attached]) -> Message:
    """The last message with other words for the model, behind those of its files that are sent whole."""
    whole = [each for each in message.files if each not in long]
    return replace(message, content=files.as_content(content, whole))


def given(message: Message, sent: Sequence[Message]) -> Given | None:
    """How the files of a message reach the model in what is sent; None where it has none."""
    if not message.files:
        return None
    text = next((each.content for each in reversed(sent) if each.role == "user"), "")
    whole = [each for each in message.files if fenced(each.text) in text]
    parts = [each for each in message.files if each not in whole]
    return Given(*(tuple(files.clean_name(each.name) for each in some) for some in (whole, parts)))


def _fitting(message: Message, n_room: int, count: Callable[[str], int]) -> list[Attached]:
    """Its files that fit, in their order. Most texts need no counting: none has more tokens than bytes."""
    given = message.files
    if not given or len(message.content.encode("utf-8", "surrogatepass")) <= n_room:
        return list(given)
    whole: list[Attached] = []
    left = n_room - count(message.said)
    for each in given:
        n_least = len(each.text) // files.CHARS_A_TOKEN
        if n_least <= left and (n_tokens := count(each.text)) <= left:
            whole.append(each)
            left -= n_tokens
    return whole


def _content(message: Message, whole: Sequence[Attached], missing: Sequence[Attached]) -> str:
    lines = [f"[The file {files.clean_name(each.name)} is too long to be sent whole.]" for each in missing]
    return files.as_content("\n\n".join(filter(None, (*lines, message.said))), whole)
