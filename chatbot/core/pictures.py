"""What a picture is, by its bytes alone: its kind and size from its header, what it costs a model. Decodes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from chatbot.core.events import Message
from chatbot.core.model import ModelInfo
from chatbot.errors import CannotSee, ChatError
from rag.extract.limits import Unreadable

KIND = "image"  # of a file that is a picture
MAX_PIXELS = 40_000_000
# An estimate: models cut a picture into patches of some 27 pixels a side, scale large ones down, small ones up.
_PIXELS_A_TOKEN = 750
_FEWEST_TOKENS, _MOST_TOKENS = 85, 1_600
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_GIF = (b"GIF87a", b"GIF89a")
# Markers that begin a frame and so tell the size; the three left out are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length


@dataclass(frozen=True)
class Picture:
    """What the header of a picture says."""

    media_type: str
    width: int
    height: int


class Server(Protocol):
    """What refuse_blind asks of the model server."""

    def models(self) -> list[ModelInfo]:
        """All that it offers."""


def media_type_of(data: bytes) -> str:
    """image/png, image/jpeg, image/webp or image/gif; nothing for all else."""
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(_JPEG):
        return "image/jpeg"
    if data.startswith(_GIF):
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def look(data: bytes) -> Picture:
    """The header of a picture of a known kind. Raises Unreadable for one that is damaged or too large."""
    media_type = media_type_of(data)
    read = {"image/png": _png, "image/jpeg": _jpeg, "image/gif": _gif, "image/webp": _webp}.get(media_type)
    width, height = read(data) if read else (0, 0)
    if not width or not height:
        raise Unreadable("is a picture whose size cannot be read: it is damaged, save it anew as PNG or JPEG")
    if width * height > MAX_PIXELS:
        has = f"{width:,} by {height:,} pixels"
        raise Unreadable(f"is a picture of {has}, and {MAX_PIXELS / 1e6:.0f} megapixels are the most: make it smaller")
    return Picture(media_type, width, height)


def n_tokens(data: bytes) -> int:
    """About how many tokens a picture takes: by its size, since no server counts them beforehand."""
    try:
        seen = look(data)
    except Unreadable:
        return _MOST_TOKENS
    return min(_MOST_TOKENS, max(_FEWEST_TOKENS, round(seen.width * seen.height / _PIXELS_A_TOKEN)))


def cost(message: Message) -> int:
    """About how many tokens the pictures of a message take."""
    return sum(n_tokens(image.data) for image in message.images)


def in_words(message: Message) -> Message:
    """The message with a line in place of each picture."""
    if not message.images:
        return message
    lines = "\n".join(f"[picture {image.name}]" for image in message.images)
    return replace(message, content="\n\n".join(filter(None, (message.content, lines))), images=())


def for_model(messages: Sequence[Message], info: ModelInfo) -> tuple[list[Message], int]:
    """The messages as this model can take them, and how many pictures of older ones it goes without, being blind.

    Those of the last message of a person are left: they are what is asked about.
    """
    if info.can_see:
        return list(messages), 0
    last = max((i for i, each in enumerate(messages) if each.role == "user"), default=0)
    older = messages[:last]
    return [*map(in_words, older), *messages[last:]], sum(len(each.images) for each in older)


def refuse_blind(info: ModelInfo, server: Server) -> None:
    """Raise CannotSee for a model that cannot see, naming one that can where the server offers any."""
    if info.can_see:
        return
    try:
        seeing = next((each.name for each in server.models() if "vision" in each.capabilities), "")
    except ChatError:
        seeing = ""
    if seeing:
        raise CannotSee(f"the model {info.name} cannot see pictures: choose {seeing}, or send the message without them")
    raise CannotSee(
        f"the model {info.name} cannot see pictures, and no other one of its server is known to: send the message "
        "without them, or start a model server with a model that can see"
    )


def _png(data: bytes) -> tuple[int, int]:
    is_whole = data[12:16] == b"IHDR" and len(data) > 32
    return (_big(data[16:20]), _big(data[20:24])) if is_whole else (0, 0)


def _gif(data: bytes) -> tuple[int, int]:
    return (_little(data[6:8]), _little(data[8:10])) if len(data) > 13 else (0, 0)


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16] if len(data) >= 30 else b""
    if kind == b"VP8X":
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    if kind == b"VP8L" and data[20:21] == b"\x2f":
        sides = _little(data[21:25])
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    return 0, 0


def _jpeg(data: bytes) -> tuple[int, int]:
    """The size in the first frame's header, behind whatever a camera wrote before it."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
        elif marker in _FRAMES:
            return _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7])
        else:
            at += 2 + max(2, _big(data[at + 2 : at + 4]))
    return 0, 0


def _big(piece: bytes) -> int:
    return int.from_bytes(piece, "big")


def _little(piece: bytes) -> int:
    return int.from_bytes(piece, "little")
