"""What llama.cpp or one request may do to the engine: each request ends once, others never notice, the loop lives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from llmserver.engine.llama.chain import Sampler
from llmserver.engine.llama.load import load_chat
from llmserver.engine.plan import Limits
from llmserver.engine.request import Event, Failed, Finished, Request, Sampling, Token
from llmserver.engine.service import Service, Stream
from llmserver.errors import ContextExceeded, EngineFailed, RequestError
from llmserver.settings import ModelOptions
from llmserver.text.grammar import Grammar
from tests.processes import MODEL
from tests.server.real_engine import GREEDY, TOPICS, Engine, story

pytestmark = pytest.mark.model

NO_TOKEN = 10**6
N = 6


@pytest.fixture(scope="module")
def loaded(exact_model: Path) -> Iterator[Engine]:
    engine = Engine(exact_model, n_ctx=512, n_batch=128)
    yield engine
    engine.backend.free()


@pytest.fixture
def engine(loaded: Engine) -> Engine:
    loaded.reset()
    return loaded


@pytest.fixture(scope="module")
def unharmed(loaded: Engine) -> list[str]:
    """How three stories begin."""
    loaded.reset()
    return [loaded.answer(story(topic), N)[:10] for topic in TOPICS[:3]]


class Decode:
    """llama_decode with a script: codes for the calls to come, or for those only that hold more than one sequence.

    A code of 2 comes after the computation, as when somebody aborts it.
    """

    def __init__(self) -> None:
        self.codes: list[int | None] = []
        self.shared_codes: list[int] = []
        self._real: Callable[..., int] = llama_cpp.llama_decode

    def __call__(self, ctx: Any, batch: Any) -> int:
        is_shared = len({batch.seq_id[i][0] for i in range(batch.n_tokens)}) > 1
        codes: list[Any] = self.shared_codes if is_shared and self.shared_codes else self.codes
        code = codes.pop(0) if codes else None
        if code is None:
            return self._real(ctx, batch)
        if code > 1:
            assert self._real(ctx, batch) == 0
        return code


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch) -> Decode:
    made = Decode()
    monkeypatch.setattr(llama_cpp, "llama_decode", made)
    return made


def test_token_that_does_not_exist_fails_its_request_alone(engine: Engine) -> None:
    good = [engine.ask(story(topic), N) for topic in TOPICS[:2]]
    bad = engine.ask((*engine.tokens_of(story(TOPICS[2])), NO_TOKEN, 5), N)
    engine.run()
    assert isinstance(engine.error(bad), EngineFailed)
    assert [len(engine.tokens(number)) for number in good] == [N, N]
    engine.check_cells()
    assert len(engine.tokens_of(engine.answer(story(TOPICS[2]), N))) == N


@pytest.mark.parametrize("code", [-1, -3, 2])
def test_batch_that_is_refused_once_costs_nobody_an_answer(
    engine: Engine, decode: Decode, unharmed: list[str], code: int
) -> None:
    numbers = [engine.ask(story(topic), N) for topic in TOPICS[:3]]
    decode.shared_codes = [code, code]
    engine.run()
    assert not decode.shared_codes
    assert [engine.text(number)[:10] for number in numbers] == unharmed
    assert all(engine.usage(number).completion_tokens == N for number in numbers)
    engine.check_cells()


@pytest.mark.parametrize("code", [-1, -3, 2])
def test_request_that_is_refused_alone_too_is_told_so_and_the_next_one_works(
    engine: Engine, decode: Decode, code: int
) -> None:
    number = engine.ask(story(TOPICS[0]), N)
    decode.codes = [None, code]
    engine.run()
    assert str(code) in engine.error(number).message
    assert isinstance(engine.error(number), EngineFailed)
    engine.check_cells()
    assert engine.answer(story(TOPICS[0]), N)


def test_cache_that_says_it_is_full_costs_nobody_an_answer(engine: Engine, decode: Decode) -> None:
    engine.answer(story(TOPICS[3]), 2)  # an idle sequence to give up
    numbers = [engine.ask(story(topic), N) for topic in TOPICS[:3]]
    decode.codes = [1, 1, 1, None, 1]
    engine.run()
    assert [engine.usage(number).completion_tokens for number in numbers] == [N] * 3
    engine.check_cells()


def test_cache_that_never_has_room_fails_the_request_with_the_reason(engine: Engine, decode: Decode) -> None:
    number = engine.ask(story(TOPICS[0]), N)
    decode.codes = [1] * 100
    engine.run()
    assert isinstance(engine.error(number), ContextExceeded)
    decode.codes = []
    assert engine.answer(story(TOPICS[0]), N)


def test_sampler_that_raises_fails_its_request_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sampler.sample
    numbers = [engine.ask(story(topic), N) for topic in TOPICS[:3]]
    victim, _ = engine.backend._samplers[numbers[1]]

    def sample(self: Sampler, ctx: Any, row: int) -> int | None:
        if self is victim:
            raise ValueError("a broken sampler")
        return real(self, ctx, row)

    monkeypatch.setattr(Sampler, "sample", sample)
    engine.run()
    assert isinstance(engine.error(numbers[1]), EngineFailed)
    assert [len(engine.tokens(numbers[i])) for i in (0, 2)] == [N, N]
    engine.check_cells()


def test_grammar_that_cannot_be_read_is_refused_before_anything_is_computed(engine: Engine) -> None:
    for text in ("nonsense ::", 'x ::= "no root"', 'root ::= root "for ever"', 'root ::= "\0"'):
        with pytest.raises(RequestError, match="grammar"):
            engine.ask("a", sampling=Sampling(grammar=Grammar(text)))
    assert not engine.backend._samplers


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_grammar_that_leads_nowhere_ends_the_answer(engine: Engine, temperature: float) -> None:
    grammar = Grammar('root ::= "a" [^\\x00-\\U0010FFFF]')
    number = engine.ask(story(TOPICS[0]), N, sampling=Sampling(temperature=temperature, grammar=grammar))
    engine.run()
    assert engine.text(number) == "a"
    assert engine.end(number).reason == "stop"


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(seed=1), Sampling(mirostat_mode=2), Sampling(top_k=0, min_p=0)])
def test_bias_against_every_token_ends_nothing_but_the_answer(engine: Engine, sampling: Sampling) -> None:
    everything = dict.fromkeys(range(engine.info.n_vocab), float("-inf"))
    number = engine.ask(story(TOPICS[0]), 4, sampling=replace(sampling, logit_bias=everything))
    other = engine.ask(story(TOPICS[1]), 4)
    engine.run()
    assert engine.is_over(number)
    assert len(engine.tokens(other)) == 4
    assert engine.answer(story(TOPICS[0]), 2)


def test_bias_against_all_that_the_grammar_allows_ends_the_answer(engine: Engine) -> None:
    (yes,) = engine.tokens_of("yes")
    beginnings = dict.fromkeys({yes, *(engine.tokens_of(part)[0] for part in ("y", "ye"))}, -100.0)
    sampling = Sampling(temperature=0, grammar=Grammar('root ::= "yes"'), logit_bias=beginnings)
    number = engine.ask("Well,", 4, sampling=sampling)
    engine.run()
    assert engine.text(number) == ""


# With the thread and the event loop


async def _read(stream: Stream) -> list[Event]:
    return [event async for batch in stream for event in batch]


def test_service_answers_everybody_once_when_batches_fail_and_stops_with_an_error_for_the_rest(
    decode: Decode,
) -> None:
    options = ModelOptions(model=str(MODEL), model_alias="m", n_ctx=1024)

    async def scenario() -> None:
        service = Service(*load_chat(options), Limits())
        tokens = tuple(service.tokenize(story(TOPICS[0]), bos=False, special=True))
        decode.shared_codes = [-1, -3]
        good = [service.submit(Request((*tokens, i), N, GREEDY)) for i in range(3)]
        bad = service.submit(Request((*tokens, NO_TOKEN), N, GREEDY))
        answers = await asyncio.gather(*map(_read, (*good, bad)))
        ends = [[type(event) for event in events if isinstance(event, Finished | Failed)] for events in answers]
        assert ends == [[Finished]] * 3 + [[Failed]]
        assert service.n_open == 0
        assert service.backend.used_cells() == service.stats().cells_used

        endless = service.submit(Request(tokens, None, Sampling(temperature=0, ignore_eos=True)))
        first = await endless.__anext__()
        while not any(isinstance(event, Token) for event in first):
            first = await endless.__anext__()
        assert await asyncio.to_thread(service.stop)
        rest = await _read(endless)
        assert isinstance(rest[-1], Failed)
        assert json.loads(json.dumps(rest[-1].error.envelope()))["error"]["code"] == "stopping"

    asyncio.run(scenario())
