"""The samplers of one request, in C: a chain, and a grammar beside it that is asked about the chosen token.

Nothing here may let llama.cpp throw: an exception out of C++ ends the process. So a grammar accepts only tokens
that it has just been seen to allow, and one that waits for a trigger is only made when the trigger has come.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from llmserver.engine.llama.vocab import Vocab
from llmserver.engine.request import Request
from llmserver.engine.sampling import BAN, Chain, chain
from llmserver.errors import RequestError
from llmserver.text import limits
from llmserver.text.grammar import Grammar

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
_MIROSTAT_M = 100  # tokens that mirostat 1 estimates with, as in its paper
_TRIGGER_WINDOW = 4096  # characters of an answer in which a trigger is looked for


class Sampler:
    """Chooses a request's tokens. Made in any thread, then used by the engine's alone."""

    def __init__(self, vocab: Any, table: Vocab, request: Request) -> None:
        self._vocab, self._table = vocab, table
        recipe = chain(request.sampling, table.eog, table.size)
        self._chain = _build(recipe, vocab, table)
        self._n_floor = request.sampling.min_tokens if recipe.floor else 0
        self._n_taken = 0
        self._grammar: Any = None
        self._wait: _Trigger | None = None
        try:
            self._prepare_grammar(request.sampling.grammar)
        except RequestError:
            self.free()
            raise
        if recipe.needs_prompt:
            for token in request.tokens[-recipe.needs_prompt :]:
                llama_cpp.llama_sampler_accept(self._chain, token)

    @property
    def is_constrained(self) -> bool:
        """Whether a grammar has a say now, or may get one."""
        return self._grammar is not None or self._wait is not None

    def _prepare_grammar(self, grammar: Grammar | None) -> None:
        if grammar is None:
            return
        made = make_grammar(self._vocab, grammar)
        if grammar.lazy:
            llama_cpp.llama_sampler_free(made)
            self._wait = _Trigger(grammar)
        else:
            self._grammar = made

    def sample(self, ctx: Any, row: int) -> int | None:
        """The next token by the logits of a row of the batch; None when the grammar allows none."""
        if self._grammar is None:
            token = int(llama_cpp.llama_sampler_sample(self._chain, ctx, row))
        else:
            chosen = self._constrained(ctx, row)
            if chosen is None:
                return None
            token = chosen
        self._n_taken += 1
        if self._n_floor and self._n_taken == self._n_floor:
            self._lift_floor()
        if self._wait is not None:
            self._look_for_trigger(token)
        return token

    def _lift_floor(self) -> None:
        """Enough tokens: the end is allowed from now on. The ban is the chain's first sampler."""
        llama_cpp.llama_sampler_free(llama_cpp.llama_sampler_chain_remove(self._chain, 0))
        self._n_floor = 0

    def _constrained(self, ctx: Any, row: int) -> int | None:
        """Choose freely, and only if the grammar refuses that, among what it allows."""
        logits = llama_cpp.llama_get_logits_ith(ctx, row)
        token = _choose(self._chain, _candidates(logits, self._table.size))
        if token is None or not self._allows(token):
            allowed = _candidates(logits, self._table.size)
            _apply(self._grammar, allowed)
            allowed = np.ascontiguousarray(allowed[allowed["logit"] > BAN])
            token = _choose(self._chain, allowed) if len(allowed) else None
        if token is None:
            return None
        llama_cpp.llama_sampler_accept(self._chain, token)
        if token not in self._table.eog:
            llama_cpp.llama_sampler_accept(self._grammar, token)
        return token

    def _allows(self, token: int) -> bool:
        one = np.zeros(1, _CANDIDATE)
        one["id"] = token
        _apply(self._grammar, one)
        return bool(one["logit"][0] > BAN)

    def _look_for_trigger(self, token: int) -> None:
        """When the trigger is there, the grammar gets the tokens since and goes on from them."""
        wait = self._wait
        assert wait is not None  # noqa: S101 - the caller looked
        since = wait.feed(token, self._table.pieces[token])
        if since is None:
            return
        self._wait = None
        if not since:
            return  # it began in the middle of a token: the parser has to cope alone
        self._grammar = make_grammar(self._vocab, wait.grammar)
        for earlier in since:
            if not self._allows(earlier):  # the answer has left the grammar already
                llama_cpp.llama_sampler_free(self._grammar)
                self._grammar = None
                return
            llama_cpp.llama_sampler_accept(self._grammar, earlier)

    def free(self) -> None:
        """Give the samplers back; harmless twice."""
        for sampler in (self._chain, self._grammar):
            if sampler:
                llama_cpp.llama_sampler_free(sampler)
        self._chain = self._grammar = None


class _Trigger:
    """Looks for the point in an answer where a lazy grammar begins."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self._patterns = [re.compile(pattern.encode(), re.DOTALL) for pattern in grammar.triggers]
        self._text, self._ends, self._tokens = b"", [0], list[int]()

    def feed(self, token: int, piece: bytes) -> list[int] | None:
        """Take a token; the tokens from the grammar's beginning on once it began, an empty list if none fits."""
        self._text += piece
        self._tokens.append(token)
        self._ends.append(len(self._text))
        for pattern in self._patterns:
            found = pattern.search(self._text)
            if found:
                begin = found.start(1) if pattern.groups else found.start()
                return self._tokens[self._ends.index(begin) :] if begin in self._ends else []
        if len(self._text) > _TRIGGER_WINDOW:
            half = len(self._tokens) // 2
            cut = self._ends[half]
            self._text, self._tokens = self._text[cut:], self._tokens[half:]
            self._ends = [end - cut for end in self._ends[half:]]
        return None


def make_grammar(vocab: Any, grammar: Grammar) -> Any:
    """The sampler of a grammar. Raises RequestError when llama.cpp cannot read it."""
    limits.check(grammar.text)
    made = None
    if "\0" not in grammar.text:
        made = llama_cpp.llama_sampler_init_grammar(vocab, grammar.text.encode(), grammar.root.encode())
    if not made:
        raise RequestError(f"grammar: not a GBNF grammar with a rule named {grammar.root}", param="grammar")
    return made


def _build(recipe: Chain, vocab: Any, table: Vocab) -> Any:
    params = llama_cpp.llama_sampler_chain_default_params()
    params.no_perf = True
    made = llama_cpp.llama_sampler_chain_init(params)
    if recipe.floor:
        llama_cpp.llama_sampler_chain_add(made, _bias([(token, BAN) for token in recipe.floor], table.size))
    if recipe.bias:
        llama_cpp.llama_sampler_chain_add(made, _bias(recipe.bias, table.size))
    for step in recipe.steps:
        args = (table.size, *step.args, _MIROSTAT_M) if step.name == "mirostat" else step.args
        llama_cpp.llama_sampler_chain_add(made, getattr(llama_cpp, f"llama_sampler_init_{step.name}")(*args))
    return made


def _bias(pairs: Sequence[tuple[int, float]], n_vocab: int) -> Any:
    values = (llama_cpp.llama_logit_bias * len(pairs))()
    for slot, (token, value) in zip(values, pairs, strict=True):
        slot.token, slot.bias = token, value
    return llama_cpp.llama_sampler_init_logit_bias(n_vocab, len(pairs), values)


def _candidates(logits: Any, n_vocab: int) -> np.ndarray[Any, Any]:
    out = np.zeros(n_vocab, _CANDIDATE)
    out["id"] = np.arange(n_vocab, dtype=np.int32)
    out["logit"] = np.ctypeslib.as_array(logits, (n_vocab,))
    return out


def _array(candidates: np.ndarray[Any, Any]) -> Any:
    data = candidates.ctypes.data_as(llama_cpp.llama_token_data_p)
    return llama_cpp.llama_token_data_array(data, len(candidates), -1, False)


def _apply(sampler: Any, candidates: np.ndarray[Any, Any]) -> None:
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(_array(candidates)))


def _choose(sampler: Any, candidates: np.ndarray[Any, Any]) -> int | None:
    """What the chain picks; None when everything is ruled out."""
    array = _array(candidates)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    if array.selected < 0:
        return None
    picked = array.data[array.selected]
    return int(picked.id) if picked.logit > BAN else None
