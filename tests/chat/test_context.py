"""Which messages the model gets."""

from __future__ import annotations

import pytest

from chatbot.core.context import as_text, estimate, fit
from chatbot.core.events import Message
from chatbot.errors import ContextFull


def words(n: int) -> str:
    return " ".join(["word"] * n)


def count(text: str) -> int:
    return len(text.split())


def conversation(*sizes: int) -> list[Message]:
    return [Message("user" if i % 2 == 0 else "assistant", words(n)) for i, n in enumerate(sizes)]


def never(text: str) -> int:
    raise AssertionError("counting costs a request and was not needed")


def test_a_short_conversation_goes_out_whole_and_is_never_counted() -> None:
    turns = conversation(3, 3, 3)
    fitted = fit("be kind", turns, 4096, 1024, never)
    assert fitted.messages == (Message("system", "be kind"), *turns)
    assert (fitted.n_left_out, fitted.max_tokens) == (0, 1024)


def test_without_a_system_prompt_none_is_sent() -> None:
    assert fit("", conversation(1), 4096, 10, never).messages[0].role == "user"


def test_a_server_that_does_not_say_its_context_gets_everything() -> None:
    turns = conversation(9000, 9000, 9000)
    assert len(fit("", turns, None, 1024, never).messages) == 3


def test_the_oldest_turns_are_left_out_first_and_their_number_is_told() -> None:
    turns = conversation(300, 300, 300, 300, 50)
    fitted = fit("s", turns, 800, 100, count)
    assert fitted.messages[0] == Message("system", "s")
    assert fitted.messages[1:] == tuple(turns[2:])
    assert fitted.n_left_out == 2


def test_an_answer_is_never_kept_without_its_question() -> None:
    turns = conversation(300, 300, 50)
    fitted = fit("", turns, 600, 100, count)
    assert [m.role for m in fitted.messages] == ["user"]
    assert fitted.n_left_out == 2


def test_a_message_that_nearly_fills_the_model_leaves_a_shorter_answer() -> None:
    fitted = fit("", conversation(800), 1000, 900, count)
    assert 64 <= fitted.max_tokens <= 200


def test_a_message_that_cannot_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextFull, match=r"2,000 tokens.*room for 926.*1000"):
        fit("", conversation(2000), 1000, 100, count)


def test_the_estimate_is_rather_too_high_than_too_low_for_plain_text_and_chinese() -> None:
    assert estimate("The quick brown fox jumps over the lazy dog. " * 10) >= 110
    assert estimate("你好世界" * 10) >= 40


def test_a_piece_of_a_text_is_kept_without_the_one_before_it() -> None:
    turns = conversation(300, 300, 50)
    fitted = fit("", turns, 600, 100, count, is_text=True)
    assert fitted.messages == tuple(turns[1:])
    assert fitted.n_left_out == 1


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["Once upon", " a time"], "Once upon a time"),
        (["Once upon", " a time.", "The end"], "Once upon a time.\nThe end"),
        (["Once upon", " a time", " there was"], "Once upon a time there was"),
        (["Once upon", " a time\n\n", "Then"], "Once upon a time\n\nThen"),
        (["2 + 2 =", "4", "\n3 + 3 =", "6"], "2 + 2 =4\n3 + 3 =6"),
    ],
)
def test_the_text_to_continue_is_what_was_said_in_order_without_roles(pieces: list[str], text: str) -> None:
    turns = [Message("user" if i % 2 == 0 else "assistant", piece) for i, piece in enumerate(pieces)]
    assert as_text(turns) == text
    assert all(text.startswith(as_text(turns[:n])) for n in range(len(turns)))


def test_beginnings_that_were_never_continued_stand_on_lines_of_their_own() -> None:
    assert as_text([Message("user", "One"), Message("user", "Two")]) == "One\nTwo"
