"""Which of llama_cpp.server's settings the batched engine does not need, and which it cannot honour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from llmserver.errors import BadSettings
from llmserver.settings import ModelOptions, ServeSettings
from llmserver.text.template import NAMES

_STOCK = "it works with --engine stock"
# Settings that would change answers, with what to do instead.
_CANNOT = {
    "clip_model_path": f"images need llama_cpp.server's own handlers: {_STOCK}",
    "draft_model": f"speculative decoding is not here yet: {_STOCK}",
    "lora_path": "name it with --adapters NAME=PATH and ask for model:NAME",
    "lora_base": f"a LoRA acts on the served weights: {_STOCK}",
    "hf_tokenizer_config_path": f"the chat template comes from the GGUF file or --chat_format: {_STOCK}",
    "hf_pretrained_model_name_or_path": f"the tokenizer comes from the GGUF file: {_STOCK}",
    "hf_model_repo_id": "fetch the file first: see python -m llmserver models pull --help",
    "vocab_only": "a model without weights cannot answer",
}
# Settings for which there is nothing to do here, with the reason.
_NEEDLESS = {
    "interrupt_requests": "no request interrupts another",
    "disable_ping_events": "signs of life are comments, which clients skip",
    "logits_all": "log probabilities need no setting",
    "last_n_tokens_size": "a request's repeat_last_n says it",
    "cache": "host RAM is always used: see --cache_ram_mib",
    "cache_type": "host RAM is always used: see --cache_ram_mib",
    "cache_size": "host RAM is always used: see --cache_ram_mib",
    "mul_mat_q": "llama.cpp has no such choice any more",
}


def check(settings: ServeSettings) -> list[str]:
    """What to tell the owner about settings without effect. Raises BadSettings for one that cannot be honoured."""
    for model in settings.models:
        for name, why in _CANNOT.items():
            if getattr(model, name) not in (None, False, ""):
                raise BadSettings(f"--{name} has no effect on the batched engine: {why}")
        if model.chat_format is not None and model.chat_format not in NAMES:
            raise BadSettings(f"--chat_format {model.chat_format} is not known: use {', '.join(NAMES)}, or {_STOCK}")
    names = Counter(str(model.model_alias) for model in settings.models)
    for name, n in names.items():
        if n > 1:
            raise BadSettings(f"{n} models go by the name {name}: give each a model_alias of its own")
    found = list(dict.fromkeys(name for model in settings.models for name in _given(model)))
    found += [name for name in settings.server.model_fields_set if name in _NEEDLESS]
    return [f"--{name} has no effect on the batched engine: {_NEEDLESS[name]}" for name in found]


def _given(model: ModelOptions) -> Iterator[str]:
    """Needless settings that somebody has set to something else than their default."""
    for name in _NEEDLESS.keys() & model.model_fields_set:
        if getattr(model, name) != type(model).model_fields[name].default:
            yield name
