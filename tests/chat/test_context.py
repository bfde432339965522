"""Which messages the model gets."""

from __future__ import annotations

import pytest

from chatbot.core.context import Limits, as_text, fit, show
from chatbot.core.events import Message
from chatbot.core.model import ModelInfo
from chatbot.core.options import ChatOptions
from chatbot.core.tokens import TokenCounts, estimate
from chatbot.core.turn import Turn
from chatbot.errors import ContextFull, ModelAway
from chatbot.settings import ChatSettings
from tests.fakes import FakeModel


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
    fitted = fit("be kind", turns, Limits(4096, 1024), never)
    assert fitted.messages == (Message("system", "be kind"), *turns)
    assert (fitted.n_left_out, fitted.max_tokens) == (0, 1024)


def test_without_a_system_prompt_none_is_sent() -> None:
    assert fit("", conversation(1), Limits(4096, 10), never).messages[0].role == "user"


def test_a_server_that_does_not_say_its_context_gets_everything() -> None:
    turns = conversation(9000, 9000, 9000)
    assert len(fit("", turns, Limits(None, 1024), never).messages) == 3


def test_the_oldest_turns_are_left_out_first_and_their_number_is_told() -> None:
    turns = conversation(300, 300, 300, 300, 50)
    fitted = fit("s", turns, Limits(800, 100), count)
    assert fitted.messages[0] == Message("system", "s")
    assert fitted.messages[1:] == tuple(turns[2:])
    assert fitted.n_left_out == 2


def test_an_answer_is_never_kept_without_its_question() -> None:
    turns = conversation(300, 300, 50)
    fitted = fit("", turns, Limits(600, 100), count)
    assert [m.role for m in fitted.messages] == ["user"]
    assert fitted.n_left_out == 2


def test_a_message_that_nearly_fills_the_model_leaves_a_shorter_answer() -> None:
    fitted = fit("", conversation(800), Limits(1000, 900), count)
    assert 64 <= fitted.max_tokens <= 200


def test_a_message_that_cannot_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextFull, match=r"2,000 tokens.*room for 926.*1000"):
        fit("", conversation(2000), Limits(1000, 100), count)


def test_the_estimate_is_rather_too_high_than_too_low_for_plain_text_and_chinese() -> None:
    assert estimate("The quick brown fox jumps over the lazy dog. " * 10) >= 110
    assert estimate("你好世界" * 10) >= 40


def test_a_piece_of_a_text_is_kept_without_the_one_before_it() -> None:
    turns = conversation(300, 300, 50)
    fitted = fit("", turns, Limits(600, 100), count, is_text=True)
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


def test_a_very_long_answer_does_not_push_the_conversation_out() -> None:
    fitted = fit("", conversation(100, 100, 50), Limits(600, 100_000), count)
    assert (len(fitted.messages), fitted.n_left_out) == (3, 0)
    assert fitted.max_tokens == 600 - 250 - 3 * 10


def test_the_rule_all_leaves_nothing_out_and_refuses_with_both_numbers_when_it_is_too_much() -> None:
    turns = conversation(300, 300, 50)
    fitted = fit("", turns, Limits(800, 500, "all"), count)
    assert (len(fitted.messages), fitted.max_tokens) == (3, 800 - 650 - 3 * 10)
    with pytest.raises(ContextFull, match=r"680 tokens.*room for 636.*rule fold.*700"):
        fit("", turns, Limits(700, 500, "all"), count)
    with pytest.raises(ContextFull, match="680 tokens"):  # what may be cut is one message
        fit("", turns, Limits(700, 500, "all", can_cut=True), count)


def test_a_longest_answer_among_the_further_fields_is_counted_with_and_sent_once() -> None:
    options = ChatOptions.from_wire({"max_tokens": 50, "extra": {"max_completion_tokens": 70, "logprobs": True}})
    assert options.request_fields(reasons=False) == {"logprobs": True}
    shown = show(Turn(conversation(3), options), FakeModel(infos=[ModelInfo("m", 1000)]), ChatSettings())
    assert shown["n_max_answer"] == 70
    odd = ChatOptions.from_wire({"max_tokens": 50, "extra": {"max_tokens": "many"}})
    assert (odd.longest(0), odd.request_fields(reasons=False)) == (50, {"max_tokens": "many"})  # the server's to refuse


def test_half_an_answer_is_sent_with_its_question() -> None:
    turns = conversation(300, 300, 50, 40)
    assert fit("", turns, Limits(400, 100), count).messages == tuple(turns[2:])
    with pytest.raises(ContextFull, match="290 tokens"):
        fit("", conversation(250, 40), Limits(300, 100), count)


def test_a_message_is_cut_in_its_middle_until_it_fits() -> None:
    text = f"begin {words(3000)} end"
    fitted = fit("", [Message("user", text)], Limits(500, 100, can_cut=True), count)
    sent = fitted.messages[0].content
    assert sent.startswith("begin ") and sent.endswith(" end")
    assert 250 < count(sent) <= 500 - 64 - 10
    assert fitted.n_cut == len(text) - len(sent)
    assert "in the middle of your message" in fitted.notices(500)[0]


def test_what_is_already_counted_is_not_counted_again() -> None:
    asked: list[tuple[str, str]] = []

    def tell(text: str, model: str) -> int | None:
        asked.append((text, model))
        return None if text == "away" else 7

    counts = TokenCounts()
    assert [counts.of("a", "m", tell), counts.of("a", "m", tell), counts.of("a", "other", tell)] == [7, 7, 7]
    assert asked == [("a", "m"), ("a", "other")]
    assert [counts.of("away", "m", tell), counts.estimates, counts.of("away", "m", tell)] == [2, True, 2]
    assert len(asked) == 4, "an estimate is no count"


def test_a_person_sees_what_the_model_gets_part_by_part() -> None:
    said = [*conversation(4, 4), Message("user", "read this\n\nfile text here")]
    turn = Turn(said, ChatOptions(system_prompt="be kind"), "Ann likes tea", n_folded=2)
    shown = show(
        turn, FakeModel(infos=[ModelInfo("m", 1000)]), ChatSettings(max_tokens=100), [("a.txt", "file text here")]
    )
    assert [(part["kind"], part["label"], part["text"], part["n_tokens"]) for part in shown["parts"]] == [
        ("system", "System prompt", "be kind", 12),
        ("notes", "Notes", "Ann likes tea", 13),
        ("message", "You", "read this\n\n[a.txt]", 12),
        ("file", "a.txt", "file text here", 3),
    ]
    rest = {name: value for name, value in shown.items() if name != "parts"}
    assert rest == {
        **{"n_ctx": 1000, "n_used": 40, "n_max_answer": 100, "refusal": "", "is_estimate": False},
        **{"n_left_out": 0, "n_windowed": 0, "n_folded": 2, "notes": "Ann likes tea"},
    }


def test_a_conversation_that_is_too_long_and_a_server_that_is_away_can_be_looked_at_too() -> None:
    shown = show(Turn(conversation(2000)), FakeModel(infos=[ModelInfo("m", 100)]), ChatSettings())
    assert (shown["n_max_answer"], shown["n_used"] > 2000) == (0, True)
    assert "this message has 2,000 tokens and the model has room for 11" in shown["refusal"]
    model = FakeModel(infos=[ModelAway("nobody")])
    shown = show(Turn(conversation(3)), model, ChatSettings())
    assert (shown["n_ctx"], shown["is_estimate"], model.counted) == (None, True, [])
    assert show(Turn([]), FakeModel(), ChatSettings(system_prompt=""))["parts"] == []


def test_a_window_shows_how_many_messages_are_left_out() -> None:
    shown = show(
        Turn(conversation(1, 1, 1, 1, 1, 1, 1)), FakeModel(), ChatSettings(context_rule="window", keep_turns=1)
    )
    assert (shown["n_windowed"], shown["n_left_out"]) == (4, 0)
    assert [part["label"] for part in shown["parts"]] == ["System prompt", "You", "Answer", "You"]
    answered = Turn(conversation(1, 1, 1, 1, 1, 1, 1, 1))  # the next question makes a turn of the last one
    shown = show(answered, FakeModel(), ChatSettings(context_rule="window", keep_turns=1))
    assert (shown["n_windowed"], [part["label"] for part in shown["parts"]]) == (6, ["System prompt", "You", "Answer"])
    shown = show(answered, FakeModel(), ChatSettings(context_rule="window", keep_turns=0))
    assert (shown["n_windowed"], [part["label"] for part in shown["parts"]]) == (8, ["System prompt"])
