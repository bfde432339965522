"""A message as the model server gets it, in OpenAI's form."""

from __future__ import annotations

import base64
from typing import Any

from chatbot.core.events import Image, Message


def message_wire(message: Message) -> dict[str, Any]:
    """One entry of a request's messages: a plain text, or parts where pictures go with it."""
    if not message.images:
        return {"role": message.role, "content": message.content}
    text = [{"type": "text", "text": message.content}] if message.content else []
    return {"role": message.role, "content": [*text, *map(_part, message.images)]}


def _part(image: Image) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(image)}}


def data_url(image: Image) -> str:
    """The picture itself in place of an address: nobody has to fetch it."""
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode('ascii')}"
