"""Every sampling value that a request may carry changes what the real model says, as its name promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_cpp import Llama

from llmserver.engine.request import PromptLogprobs, Sampling
from llmserver.text.grammar import Grammar
from tests.server.real_engine import GREEDY, TOPICS, Engine, chat, story

pytestmark = pytest.mark.model

PROMPT = story(TOPICS[0])
SHORT = chat("Answer with one word: is the sky blue?")
LOOP = chat("Say the word dog again and again.") + "dog dog dog dog dog dog dog dog"
N = 8
NOISE = 0.05  # nat
RANDOM = Sampling(temperature=1.2, top_k=0, top_p=1.0, min_p=0.0)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(n_ctx=1024)
    for prompt in (PROMPT, LOOP, SHORT):  # every test finds them read, so that rounding is the same for all
        made.answer(prompt, 1)
    yield made
    made.backend.free()


@pytest.fixture(scope="module")
def greedy(engine: Engine) -> str:
    return engine.answer(PROMPT, N)


def test_the_same_seed_gives_the_same_text_and_another_one_another(engine: Engine) -> None:
    texts = [engine.answer(PROMPT, N, sampling=replace(RANDOM, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert len({engine.answer(PROMPT, N, sampling=RANDOM) for _ in range(3)}) > 1, "no seed is not random"


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.5, top_k=1, seed=3),
        Sampling(temperature=1e-6, seed=3),
        Sampling(temperature=1.5, top_p=1e-9, seed=3),
        Sampling(temperature=1.5, min_p=1.0, seed=3),
    ],
)
def test_what_leaves_one_token_to_choose_from_is_greedy(engine: Engine, greedy: str, sampling: Sampling) -> None:
    assert engine.answer(PROMPT, N, sampling=sampling) == greedy


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.3},
        {"top_k": 3},
        {"top_p": 0.3},
        {"min_p": 0.5},
        {"typical_p": 0.2},
        {"mirostat_mode": 1, "mirostat_tau": 1.0},
        {"mirostat_mode": 2, "mirostat_tau": 1.0},
    ],
)
def test_each_value_changes_the_text_of_a_seed(engine: Engine, change: dict[str, float]) -> None:
    free = replace(RANDOM, temperature=1.5, seed=11)
    number = engine.ask(PROMPT, N, sampling=replace(free, **change))  # type: ignore[arg-type]
    engine.run()
    assert engine.tokens(number)
    assert engine.text(number) != engine.answer(PROMPT, N, sampling=free)


@pytest.mark.parametrize("change", [{"repeat_penalty": 3.0}, {"presence_penalty": 50.0}, {"frequency_penalty": 2.0}])
def test_penalties_look_at_prompt_and_answer_and_end_a_repetition(engine: Engine, change: dict[str, float]) -> None:
    said = engine.answer(LOOP, N)
    assert said.count("dog") > 3
    penalised = engine.answer(LOOP, N, sampling=replace(GREEDY, **change))  # type: ignore[arg-type]
    assert penalised.count("dog") < said.count("dog")
    blind = replace(GREEDY, **(change | {"repeat_last_n": 0}))  # type: ignore[arg-type]
    assert engine.answer(LOOP, N, sampling=blind) == said


def test_min_tokens_delays_the_end_and_ignore_eos_forbids_it(engine: Engine) -> None:
    short = engine.ask(SHORT, 60)
    engine.run()
    assert engine.end(short).reason == "stop"
    n = engine.usage(short).completion_tokens
    assert n < 40
    later = engine.ask(SHORT, 60, sampling=replace(GREEDY, min_tokens=n + 3))
    never = engine.ask(SHORT, 60, sampling=replace(GREEDY, ignore_eos=True))
    engine.run()
    assert n + 3 <= engine.usage(later).completion_tokens
    assert engine.tokens(later)[:n] == engine.tokens(short)
    assert (engine.end(never).reason, engine.usage(never).completion_tokens) == ("length", 60)
    assert not engine.info.eog.intersection(engine.tokens(never))


def test_logit_bias_bans_and_forces(engine: Engine, greedy: str) -> None:
    first = engine.tokens_of(greedy)[0]
    banned = engine.ask(PROMPT, N, sampling=replace(GREEDY, logit_bias={first: -100.0}))
    forced_token = engine.tokens_of("xyz")[0]
    forced = engine.ask(PROMPT, 3, sampling=Sampling(temperature=1.0, seed=1, logit_bias={forced_token: 100.0}))
    engine.run()
    assert first not in engine.tokens(banned)
    assert engine.tokens(forced) == [forced_token] * 3


def test_log_probabilities_are_the_log_softmax_of_the_models_logits(exact_model: Path) -> None:
    engine = Engine(exact_model, n_ctx=256)
    prompt = engine.tokens_of(PROMPT)
    number = engine.ask(prompt, 6, n_logprobs=5, prompt_logprobs=True, sampling=Sampling(temperature=2.0, seed=5))
    engine.run()
    text = [*prompt, *engine.tokens(number)]
    want = log_softmax(exact_model, text)
    for i, told in enumerate(engine.logprobs(number), len(prompt) - 1):
        assert told.token == text[i + 1]
        assert told.value == pytest.approx(want[i, told.token], abs=NOISE)
        assert list(told.top) == sorted(told.top, key=lambda pair: -pair[1])
        assert [value for _, value in told.top] == pytest.approx(np.sort(want[i])[::-1][:5], abs=NOISE)
    of_prompt = [event for event in engine.events[number] if isinstance(event, PromptLogprobs)]
    values = {event.first + i: told for event in of_prompt for i, told in enumerate(event.values)}
    assert sorted(values) == list(range(1, len(prompt)))
    assert [told.token for _, told in sorted(values.items())] == list(prompt[1:])
    for i, told in values.items():
        assert told.value == pytest.approx(want[i - 1, prompt[i]], abs=NOISE)


def log_softmax(model: Path, tokens: list[int]) -> np.ndarray[Any, Any]:
    """Log probabilities of what follows each token, shape (n_tokens, n_vocab), by the library's own class."""
    llama = Llama(str(model), n_ctx=256, n_threads=2, logits_all=True, verbose=False)
    llama.eval(tokens)
    logits = llama.scores[: len(tokens)].astype(np.float64)
    llama.close()
    logits -= logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def test_text_of_characters_split_over_tokens_is_whole(engine: Engine) -> None:
    for text in ("🦙 und 👨‍👩‍👧‍👦", "世界、こんにちは 한국어", "e\u0301 n\u0303 ก็ नमस्ते"):
        number = engine.ask("Say it: ", 60, sampling=replace(GREEDY, grammar=Grammar(f'root ::= "{text}"')))
        engine.run()
        tokens = engine.tokens(number)
        assert engine.text(number) == text == engine.words.detokenize(tokens, special=False).decode()
        pieces = [engine.words.pieces[token] for token in tokens]
        assert any(piece.decode("utf-8", "ignore").encode() != piece for piece in pieces), "no character was split"


def test_answer_that_ends_within_a_character_shows_one_replacement_at_its_end_only(engine: Engine) -> None:
    sampling = replace(GREEDY, grammar=Grammar('root ::= "🦙🦙🦙"'))
    whole = engine.ask("Say it: ", 60, sampling=sampling)
    engine.run()
    n = len(engine.tokens(whole))
    cut = engine.ask("Say it: ", n - 1, sampling=sampling)
    engine.run()
    assert engine.text(whole) == "🦙🦙🦙"
    assert engine.text(cut) == "🦙🦙\ufffd"
    assert engine.end(cut).reason == "length"
