"""Text to tokens and back, by the model's own vocabulary. Read-only, so any thread may ask."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp

from llmserver.engine.info import ModelInfo
from llmserver.engine.llama.model import Model

_NONE = -1


class Vocab:
    """The vocabulary of one model, with the bytes of every token looked up once."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self.size = int(llama_cpp.llama_vocab_n_tokens(vocab))
        self.pieces = tuple(self._piece(token) for token in range(self.size))
        self.hidden = frozenset(t for t in range(self.size) if llama_cpp.llama_vocab_is_control(vocab, t))
        self.eog = frozenset(t for t in range(self.size) if llama_cpp.llama_vocab_is_eog(vocab, t))

    def _piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, size, 0, True)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def tokenize(self, text: str, *, bos: bool, special: bool) -> list[int]:
        """Token ids of a text. bos: begin as the model wants texts to begin; special: read special tokens."""
        data = text.encode("utf-8")
        size = len(data) + 8
        while True:
            tokens = (llama_cpp.llama_token * size)()
            n = llama_cpp.llama_tokenize(self._vocab, data, len(data), tokens, size, bos, special)
            if n >= 0:
                return list(tokens[:n])
            size = -n

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        """The bytes of tokens; special ones are left out unless asked for."""
        data = (llama_cpp.llama_token * len(tokens))(*tokens)
        size = 8 * len(tokens) + 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = llama_cpp.llama_detokenize(self._vocab, data, len(tokens), buffer, size, False, special)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def text_of(self, token: int) -> str:
        """A special token as templates write it."""
        return "" if token == _NONE else self.pieces[token].decode("utf-8", "replace")

    def fim(self) -> tuple[int, int, int] | None:
        """Tokens for prefix, suffix and middle of a text to fill in."""
        kinds = (llama_cpp.llama_vocab_fim_pre, llama_cpp.llama_vocab_fim_suf, llama_cpp.llama_vocab_fim_mid)
        prefix, suffix, middle = (int(kind(self._vocab)) for kind in kinds)
        return None if _NONE in (prefix, suffix, middle) else (prefix, suffix, middle)


def describe(model: Model, vocab: Vocab, kind: str) -> ModelInfo:
    """What a loaded model says of itself."""
    bos, eos = int(llama_cpp.llama_vocab_bos(model.vocab)), int(llama_cpp.llama_vocab_eos(model.vocab))
    template = llama_cpp.llama_model_chat_template(model.model, None)
    return ModelInfo(
        name=str(model.options.model_alias),
        kind=kind,
        n_ctx=model.n_ctx,
        n_ctx_train=int(llama_cpp.llama_model_n_ctx_train(model.model)),
        n_vocab=vocab.size,
        n_embd=int(llama_cpp.llama_model_n_embd(model.model)),
        size_bytes=int(llama_cpp.llama_model_size(model.model)),
        chat_template=template.decode("utf-8", "replace") if template else "",
        bos=vocab.text_of(bos),
        eos=vocab.text_of(eos),
        bos_id=bos,
        eos_id=eos,
        add_bos=bool(llama_cpp.llama_vocab_get_add_bos(model.vocab)),
        eog=vocab.eog,
        fim=vocab.fim(),
        metadata=_metadata(model),
        placement=model.placement,
    )


def _metadata(model: Model) -> dict[str, str]:
    """The file's short keys and values; long lists such as the vocabulary are not among them."""
    found = {}
    buffer = ctypes.create_string_buffer(1024)
    for i in range(llama_cpp.llama_model_meta_count(model.model)):
        llama_cpp.llama_model_meta_key_by_index(model.model, i, buffer, len(buffer))
        key = buffer.value.decode("utf-8", "replace")
        n = llama_cpp.llama_model_meta_val_str_by_index(model.model, i, buffer, len(buffer))
        if 0 <= n < len(buffer) and not key.startswith("tokenizer."):
            found[key] = buffer.value.decode("utf-8", "replace")
    return found
