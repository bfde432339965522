"""Requests that llama_cpp.server would crash on, or call its own fault: refused before they run.

Each check runs while the request holds the model. A wrong grammar and a token that does not exist end the whole
process in llama.cpp, so these two are not a matter of politeness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llama_cpp
from fastapi import Depends, Request
from llama_cpp.server import app as library
from llama_cpp.server import types as stock

from llmserver.errors import RequestError

_library_prepare = library.prepare_request_resources


def prepare(body: Any, llama_proxy: Any, body_model: str | None, kwargs: Any) -> Any:
    """The library's prepare_request_resources, which every completion passes, and what it forgets to check."""
    ids = body.logit_bias if body.logit_bias_type != "tokens" else None
    wrong = [name for name in ids or {} if not name.isdecimal()]
    if wrong:
        raise RequestError(f"logit_bias: {wrong[0]!r} is no token id", param="logit_bias")
    llama = _library_prepare(body, llama_proxy, body_model, kwargs)
    wants_logprobs = body.logprobs is not None and body.logprobs is not False
    if wants_logprobs and not llama._logits_all:
        raise RequestError("logprobs need a server started with --logits_all true", param="logprobs")
    if body.grammar is not None:
        _check_grammar(llama, kwargs["grammar"])
    return llama


def _check_grammar(llama: Any, grammar: Any) -> None:
    """Raise RequestError for a grammar that llama.cpp cannot parse: it says so with a null pointer."""
    vocab = llama._model.vocab
    sampler = llama_cpp.llama_sampler_init_grammar(vocab, grammar._grammar.encode(), grammar._root.encode())
    if not sampler:
        raise RequestError("grammar: not a GBNF grammar with a rule named root", param="grammar")
    llama_cpp.llama_sampler_free(sampler)


async def complete(request: Request, body: stock.CreateCompletionRequest) -> Any:
    """POST /v1/completions with the one non-empty prompt that the library can take."""
    if isinstance(body.prompt, list) and len(body.prompt) != 1:
        raise RequestError(f"prompt: one text is expected, got {len(body.prompt)}", param="prompt")
    if not (body.prompt if isinstance(body.prompt, str) else body.prompt[0]):
        raise RequestError("prompt: must not be empty", param="prompt")
    return await library.create_completion(request, body)


async def embed(request: stock.CreateEmbeddingRequest, llama_proxy: Any = Depends(library.get_llama_proxy)) -> Any:  # noqa: B008
    """POST /v1/embeddings where the server was started for it."""
    if not llama_proxy(request.model).context_params.embeddings:
        raise RequestError("embeddings need a server started with --embedding true")
    return await library.create_embedding(request, llama_proxy)


async def detokenize(body: stock.DetokenizeInputRequest, llama_proxy: Any = Depends(library.get_llama_proxy)) -> Any:  # noqa: B008
    """POST /extras/detokenize for tokens that exist; half a character becomes U+FFFD."""
    llama = llama_proxy(body.model)
    for token in body.tokens:
        if not 0 <= token < llama.n_vocab():
            raise RequestError(f"tokens: {token} is none of this model's 0 to {llama.n_vocab() - 1}", param="tokens")
    return {"text": llama.detokenize(body.tokens).decode("utf-8", "replace")}


ENDPOINTS: dict[Callable[..., Any], Callable[..., Any]] = {
    library.create_completion: complete,
    library.create_embedding: embed,
    library.detokenize: detokenize,
}
