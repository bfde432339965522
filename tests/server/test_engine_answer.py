"""One answer from its first token to its end: what the client reads, why it ended, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llmserver.engine.answer import Answer, check_fits
from llmserver.engine.fake import fake_traits
from llmserver.engine.plan import Sample
from llmserver.engine.request import Event, Finished, Logprob, Reading, Request, Sampling, Token
from llmserver.errors import ContextExceeded

PIECES = [b"</s>", b"Hel", b"lo", b" wor", b"ld", b"\xf0\x9f", b"\xa6\x99", b"<tool>"]
EOS, HEL, LO, WOR, LD, HALF_A_LLAMA, OTHER_HALF, SPECIAL = range(8)
TRAITS = replace(fake_traits(n_cells=32, pieces=PIECES), hidden=frozenset({SPECIAL}))


def begun(prompt: Sequence[int] = (1, 2, 3), *, cached: int = 0, **fields: Any) -> Answer:
    """An answer whose prompt is read."""
    answer = Answer(1, Request(tuple(prompt), **fields), TRAITS, 10.0)
    answer.admit(0, cached, 12.0)
    answer.done = answer.n_prompt
    return answer


def feed(answer: Answer, *tokens: int) -> list[Event]:
    """Everything the client gets for these tokens, until the answer has ended."""
    events: list[Event] = []
    for i, token in enumerate(tokens):
        events += answer.take(Sample(token, Logprob(token, -1.0)), 13.0 + i)
        if isinstance(events[-1], Finished):
            break
    return events


def text_of(events: Sequence[Event]) -> str:
    """The text that a client puts together."""
    return "".join(event.text for event in events if isinstance(event, (Token, Finished)))


def end_of(events: Sequence[Event]) -> Finished:
    """The only end there is, as the last event."""
    ends = [event for event in events if isinstance(event, Finished)]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    return ends[0]


def test_the_end_token_ends_the_answer_and_is_not_part_of_it() -> None:
    events = feed(begun(), HEL, LO, EOS)
    assert [event.token for event in events if isinstance(event, Token)] == [HEL, LO]
    assert text_of(events) == "Hello"
    assert (end_of(events).reason, end_of(events).usage.completion_tokens) == ("stop", 2)


def test_the_end_token_is_an_ordinary_one_when_it_is_to_be_ignored() -> None:
    events = feed(begun(sampling=Sampling(ignore_eos=True), max_tokens=2), EOS, HEL)
    assert text_of(events) == "</s>Hel"
    assert end_of(events).reason == "length"


def test_max_tokens_ends_the_answer_with_the_token_that_reaches_it() -> None:
    events = feed(begun(max_tokens=2), HEL, LO, WOR)
    assert text_of(events) == "Hello"
    assert (end_of(events).reason, end_of(events).usage.completion_tokens) == ("length", 2)


def test_without_max_tokens_the_answer_ends_where_the_context_does() -> None:
    events = feed(begun([1] * 30), HEL, LO, WOR)
    assert text_of(events) == "Hello"
    assert end_of(events).reason == "length"


def test_max_tokens_beyond_the_context_are_cut_to_it() -> None:
    answer = begun([1] * 30, max_tokens=1000)
    assert answer.most == 32
    assert end_of(feed(answer, HEL, LO, WOR)).usage.completion_tokens == 2


def test_an_answer_of_no_tokens_ends_when_the_prompt_is_read() -> None:
    answer = begun(max_tokens=0)
    assert answer.most == answer.n_prompt
    end = answer.end_without_token(14.0)
    assert (end.reason, end.text, end.usage.completion_tokens, end.usage.prompt_ms) == ("length", "", 0, 2000.0)


def test_a_stop_string_split_over_tokens_ends_the_answer_before_it() -> None:
    events = feed(begun(stop=("lo wo",)), HEL, LO, WOR, LD)
    assert text_of(events) == "Hel"
    end = end_of(events)
    assert (end.reason, end.stopped, end.usage.completion_tokens) == ("stop", "lo wo", 3)


def test_what_only_might_have_become_a_stop_string_comes_with_the_end() -> None:
    events = feed(begun(stop=("lo!",), max_tokens=2), HEL, LO)
    assert [event.text for event in events if isinstance(event, Token)] == ["He", "l"]
    assert (end_of(events).text, end_of(events).stopped, end_of(events).reason) == ("lo", None, "length")


def test_a_stop_string_completed_by_the_last_token_is_the_reason() -> None:
    assert end_of(feed(begun(stop=("lo",), max_tokens=2), HEL, LO)).reason == "stop"


def test_a_character_split_over_tokens_comes_whole_with_its_last_byte() -> None:
    events = feed(begun(), HALF_A_LLAMA, OTHER_HALF, EOS)
    assert [event.text for event in events if isinstance(event, Token)] == ["", "\U0001f999"]


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    assert end_of(feed(begun(max_tokens=1), HALF_A_LLAMA)).text == "\ufffd"


def test_a_hidden_token_counts_and_has_no_text() -> None:
    events = feed(begun(max_tokens=2), SPECIAL, HEL)
    assert text_of(events) == "Hel"
    assert end_of(events).usage.completion_tokens == 2


def test_a_hidden_token_that_the_request_wants_appears() -> None:
    assert text_of(feed(begun(max_tokens=2, preserved=frozenset({SPECIAL})), SPECIAL, HEL)) == "<tool>Hel"


def test_log_probabilities_travel_with_their_tokens() -> None:
    events = feed(begun(max_tokens=1), HEL)
    assert events[0] == Token(HEL, "Hel", Logprob(HEL, -1.0))


def test_times_are_those_of_the_queue_the_prompt_and_the_answer() -> None:
    usage = end_of(feed(begun(cached=2), HEL, LO, EOS)).usage
    assert (usage.prompt_tokens, usage.cached_tokens) == (3, 2)
    assert (usage.queue_ms, usage.prompt_ms, usage.predicted_ms) == (2000.0, 1000.0, 2000.0)


def test_an_answer_that_lost_its_place_keeps_its_text_and_its_first_times() -> None:
    answer = begun(cached=2, max_tokens=3)
    before = feed(answer, HEL)
    answer.lose_place()
    assert (answer.seq, answer.done, answer.pending, answer.is_decoding) == (None, 0, 4, False)
    answer.admit(1, 3, 20.0)
    assert (answer.done, answer.pending) == (3, 1)
    events = [*before, *feed(answer, LO, WOR)]
    assert text_of(events) == "Hello wor"
    usage = end_of(events).usage
    assert (usage.cached_tokens, usage.queue_ms, usage.completion_tokens) == (2, 2000.0, 3)


def test_reading_counts_from_what_was_cached_to_the_whole_prompt() -> None:
    answer = begun([1] * 10, cached=4)
    answer.done = 7
    assert answer.reading(12.5) == Reading(total=10, cached=4, done=7, time_ms=500.0)


def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers_and_what_would_do() -> None:
    check_fits(31, 32)
    with pytest.raises(ContextExceeded, match=r"32 tokens, this model holds 32 .* --n_ctx 2048"):
        check_fits(32, 32)
