"""Ask llama.cpp itself whether a grammar is one, and which texts it accepts."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import llama_cpp
from llama_cpp._logger import set_verbose

from llmserver.text.grammar import Grammar
from tests.processes import MODEL


@lru_cache(maxsize=1)
def vocab() -> Any:
    """The embedded model's vocabulary, without its weights."""
    set_verbose(False)  # llama.cpp reports halves of characters, which its Python logger cannot print
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(MODEL).encode(), params)
    assert model
    return llama_cpp.llama_model_get_vocab(model)


def tokens_of(text: str) -> list[int]:
    data = text.encode()
    room = (llama_cpp.llama_token * (len(data) + 8))()
    n = llama_cpp.llama_tokenize(vocab(), data, len(data), room, len(room), False, True)
    assert n >= 0
    return list(room[:n])


def sampler(grammar: Grammar) -> Any:
    """llama.cpp's sampler of a grammar; None if it refuses the grammar."""
    text, root = grammar.text.encode(), grammar.root.encode()
    if not grammar.lazy:
        return llama_cpp.llama_sampler_init_grammar(vocab(), text, root)
    patterns = (ctypes.c_char_p * len(grammar.triggers))(*(one.encode() for one in grammar.triggers))
    return llama_cpp.llama_sampler_init_grammar_lazy_patterns(
        vocab(), text, root, patterns, len(grammar.triggers), None, 0
    )


def is_grammar(grammar: Grammar) -> bool:
    """Whether llama.cpp can read it."""
    chain = sampler(grammar)
    if chain:
        llama_cpp.llama_sampler_free(chain)
    return bool(chain)


def is_allowed(chain: Any, token: int) -> bool:
    one = (llama_cpp.llama_token_data * 1)(llama_cpp.llama_token_data(token, 1.0, 0.0))
    array = llama_cpp.llama_token_data_array(one, 1, -1, False)
    llama_cpp.llama_sampler_apply(chain, ctypes.byref(array))
    return bool(one[0].logit > -1e30)


def accepts(grammar: Grammar, text: str, *, whole: bool = True) -> bool:
    """Whether the grammar lets every token of the text through, and then lets the answer end (`whole`)."""
    chain = sampler(grammar)
    assert chain, f"llama.cpp refuses the grammar:\n{grammar.text}"
    try:
        for token in tokens_of(text):
            if not is_allowed(chain, token):
                return False
            llama_cpp.llama_sampler_accept(chain, token)
        return not whole or is_allowed(chain, llama_cpp.llama_vocab_eos(vocab()))
    finally:
        llama_cpp.llama_sampler_free(chain)
