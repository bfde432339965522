"""What a model can be asked for, by its settings, its file and its chat template."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmserver.api.chat_prompt import compiled, no_template, source_of
from llmserver.errors import LlmServerError
from llmserver.offload.gguf import read

if TYPE_CHECKING:
    from llmserver.engine.pool import Known

log = logging.getLogger("llmserver")


def capabilities_of(known: Known, options: Any) -> list[str]:
    """The capabilities of a model with these settings, None where they are not known; may take a moment.

    Of a model that is not loaded only what can be told without llama.cpp.
    """
    if known.kind != "chat":
        return [known.kind]
    info, named = known.info, getattr(options, "chat_format", None)
    if info is None:
        can_chat = bool(named) or options is None or _has_template(str(options.model))
        return ["chat"] * can_chat + ["completion"]
    source = source_of(info, named)
    can = ["chat"] * bool(source) + ["completion"]
    if info.fim is not None:
        can.append("fill_in_the_middle")
    if source:
        with suppress(LlmServerError):  # a template that cannot be read is told to who asks for a chat
            template = compiled(source, info.bos, info.eos).capabilities
            can += ["tools"] * template.tools + ["reasoning"] * template.thinking
    return can


def tell_of_base(models: Sequence[tuple[Known, Any]]) -> None:
    """Read the chat templates of loaded models, and warn of each model that has none."""
    for known, options in models:
        if known.info is not None and "chat" not in capabilities_of(known, options) and known.kind == "chat":
            log.warning("%s: %s", known.name, no_template())


def _has_template(path: str) -> bool:
    """Whether the file brings a chat template; whoever loads one that cannot be read is told why."""
    with suppress(OSError, LlmServerError):
        file = os.stat(path)
        return _template_in(path, file.st_mtime_ns, file.st_size)
    return True


@lru_cache(maxsize=64)
def _template_in(path: str, _changed_at: int, _n_bytes: int) -> bool:
    template = read(Path(path)).metadata.get("tokenizer.chat_template")
    return isinstance(template, str) and bool(template.strip())
