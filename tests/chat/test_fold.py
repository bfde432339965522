"""Long conversations: what is folded into notes, when, and what it saves."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core import fold, turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import Delta, Done, Message, Notice, Status
from chatbot.core.llm import Ask, Piece
from chatbot.core.model import ModelInfo
from chatbot.core.store import Store
from chatbot.core.store_rows import Notes
from chatbot.errors import ChatError, ModelBusy
from chatbot.settings import ChatSettings
from tests.fakes import FakeModel

SETTINGS = ChatSettings(max_tokens=100, system_prompt="Be kind.")


def n_common(words: list[str], others: list[str]) -> int:
    """How long the two lists are the same."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(words, others, strict=False)))


class Reader(FakeModel):
    """Answers with so many words, writes notes when asked to, and counts the words of a prompt that it has not read."""

    def __init__(self, n_ctx: int, n_words: int = 30) -> None:
        super().__init__(infos=[ModelInfo("reader", n_ctx)])
        self._answer, self._numbers = "word " * n_words, itertools.count(1)
        self._read: list[list[str]] = []
        self.notes: list[str | ChatError] = []
        self.n_new = 0

    def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
        self.asked.append(ask)
        is_fold = ask.messages[-1].content.startswith("Summarize")
        answer = f"answer {next(self._numbers)} {self._answer}"
        if is_fold:
            said = self.notes.pop(0) if self.notes else f"notes {next(self._numbers)}"
            if isinstance(said, ChatError):
                raise said
            answer = said
        words = " ".join(f"<{m.role}> {m.content}" for m in ask.messages).split()
        self.n_new += len(words) - max((n_common(words, old) for old in self._read), default=0)
        self._read.append([*words, "<assistant>", *answer.split()])
        yield Piece(answer, "stop")

    @property
    def folds(self) -> list[Ask]:
        return [ask for ask in self.asked if ask.messages[-1].content.startswith("Summarize")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "chat.db")
    yield store
    store.close()


def say(store: Store, model: turn.Model, text: str, chat_id: str | None, settings: ChatSettings = SETTINGS) -> str:
    """One turn and what happens behind it, as the chat does it; the chat's id."""
    user, answer = store.add_turn(chat_id, text, None)
    asked = fold.turn_of(store, user.chat_id, store.branch(user.id))
    events = list(turn.run(asked, model, settings, Cancel()))
    assert isinstance(events[-1], Done) and events[-1].error is None, events[-1]
    notices = [event.text for event in events if isinstance(event, Notice)]
    said = "".join(event.text for event in events if isinstance(event, Delta))
    store.save(answer.id, said, Status.DONE, {"notices": notices})
    fold.after(store, model, settings, user.chat_id)
    return user.chat_id


def talk(store: Store, model: Reader, n_turns: int, settings: ChatSettings = SETTINGS) -> str:
    chat_id = None
    for i in range(n_turns):
        chat_id = say(store, model, f"question {i} {'word ' * 30}", chat_id, settings)
    assert chat_id
    return chat_id


def test_a_short_conversation_is_left_alone_and_not_even_counted(store: Store) -> None:
    model = Reader(10_000)
    chat_id = talk(store, model, 4)
    assert (store.notes(chat_id), model.folds, model.counted) == ((), [], [])


def test_above_three_quarters_the_oldest_turns_become_notes_until_40_percent_are_left(store: Store) -> None:
    model = Reader(2000)
    chat_id = talk(store, model, 17)
    assert model.folds == []
    say(store, model, f"question {'word ' * 30}", chat_id)
    notes = store.notes(chat_id)[-1]
    assert len(model.folds) == 1
    messages = store.messages(chat_id)
    assert notes.n_folded == 24 and messages[notes.n_folded - 1].id == notes.through
    assert messages[notes.n_folded].role == "user"
    left = sum(len(m.content.split()) + 10 for m in messages[notes.n_folded :])
    assert left + fold.NOTES_TOKENS <= 800 < left + fold.NOTES_TOKENS + 2 * 42
    say(store, model, "and now?", chat_id)
    sent = model.asked[-1].messages
    assert sent[0].content == f"Be kind.\n\nNotes of what was said before:\n{notes.text}"
    assert [m.content for m in sent[1:]] == [m.content for m in store.messages(chat_id)[notes.n_folded : -1]]
    assert all(not m.meta["notices"] for m in store.messages(chat_id) if m.role == "assistant")


def test_the_last_turns_are_never_folded_however_long_they_are(store: Store) -> None:
    model = Reader(1000, n_words=150)
    chat_id = talk(store, model, 3)
    assert store.notes(chat_id) == ()
    say(store, model, f"question {'word ' * 150}", chat_id)
    notes = store.notes(chat_id)[-1]
    assert notes.n_folded == 2


def test_the_question_for_notes_is_all_that_is_new_to_the_model(store: Store) -> None:
    model = Reader(1000)
    chat_id = talk(store, model, 8)
    say(store, model, f"question {'word ' * 30}", chat_id)
    asked, before = model.folds[0], model.asked[-2]
    assert asked.messages[:-1] == before.messages[: len(asked.messages) - 1]
    assert (asked.max_tokens, asked.temperature) == (fold.NOTES_TOKENS, 0)


def test_notes_of_notes_hold_the_older_ones_and_grow_over_the_conversation(store: Store) -> None:
    model = Reader(1000)
    chat_id = talk(store, model, 24)
    assert len(model.folds) > 2
    first, second = model.folds[:2]
    assert "Notes of what was said before" not in first.messages[0].content
    assert "Notes of what was said before:\nnotes" in second.messages[0].content
    notes = store.notes(chat_id)[-1]
    assert notes.n_folded > 30
    assert len(store.messages(chat_id)) == 48, "the turns themselves stay"


def test_folding_reads_far_less_again_than_a_window(tmp_path: Path) -> None:
    n_new = {}
    for rule in ("fold", "window"):
        store, model = Store(tmp_path / f"{rule}.db"), Reader(1400)
        talk(store, model, 24, ChatSettings(max_tokens=100, context_rule=rule, system_prompt="Be kind."))
        n_new[rule] = model.n_new
        store.close()
    assert n_new["fold"] < n_new["window"] / 2, n_new


@pytest.mark.parametrize("rule", ["window", "all"])
def test_other_rules_make_no_notes(store: Store, rule: str) -> None:
    model = Reader(1000)
    chat_id = talk(store, model, 10, ChatSettings(max_tokens=100, context_rule=rule))
    assert (store.notes(chat_id), model.folds) == ((), [])


def test_when_notes_cannot_be_made_the_oldest_messages_are_left_out_and_told(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    model = Reader(1000)
    model.notes = [ModelBusy("too busy"), "  ", "<think>what now</think>", *[ModelBusy("too busy")] * 5]
    with caplog.at_level(logging.WARNING, "chatbot"):
        chat_id = talk(store, model, 14)
    assert store.notes(chat_id) == ()
    assert "no notes were made of a long conversation: too busy" in caplog.text
    assert "the model wrote nothing" in caplog.text
    told = store.messages(chat_id)[-1].meta["notices"]
    assert len(told) == 1 and "were not sent: the model holds 1,000 tokens" in told[0]


def test_notes_that_end_in_the_middle_lose_their_half_line(store: Store) -> None:
    class Long(Reader):
        def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
            for piece in super().stream(ask, cancel):
                yield Piece(piece.text, "length")

    model = Long(1000)
    model.notes = ["Ann likes tea.\nBob li"]
    chat_id = talk(store, model, 10)
    notes = store.notes(chat_id)[-1]
    assert notes.text == "Ann likes tea."


def test_lines_that_a_model_repeats_are_kept_once(store: Store) -> None:
    model = Reader(1000)
    model.notes = ["- Ann likes tea.\n\n- Bob too.\n- Ann likes tea.\n- Ann likes tea."]
    notes = store.notes(talk(store, model, 9))[-1]
    assert notes.text == "- Ann likes tea.\n- Bob too."


def test_notes_that_a_person_wrote_meanwhile_stay(store: Store) -> None:
    own = Notes("my own", "x", 2)

    class Slow(Reader):
        def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
            if ask.messages[-1].content.startswith("Summarize"):
                store.set_notes(chat_id, [own], was=store.notes(chat_id))
            yield from super().stream(ask, cancel)

    chat_id = talk(store, Reader(10_000), 10)
    assert fold.after(store, Slow(1000), SETTINGS, chat_id) is None
    assert store.notes(chat_id) == (own,)


def test_notes_are_marked_when_an_answer_that_they_are_of_is_edited_and_so_are_those_made_of_them(store: Store) -> None:
    model = Reader(1000)
    chat_id = talk(store, model, 10)
    (notes,) = store.notes(chat_id)
    shown = store.messages(chat_id)
    folded, whole = shown[1], shown[-1]
    store.edit_answer(whole.id, "I have changed my mind")
    store.edit_answer(folded.id, folded.content)
    assert store.notes(chat_id) == (notes,)
    store.edit_answer(folded.id, "I had changed my mind")
    store.edit_answer(folded.id, "I had changed it once more")
    assert [each.outdated for each in store.notes(chat_id)] == [(folded.id,)]
    for i in range(8):
        say(store, model, f"question {i} {'word ' * 30}", chat_id)
    kept, shown = store.notes(chat_id), store.messages(chat_id)
    assert len(kept) == 2 and fold.outdated(shown, kept) == (folded.id,), "the new ones hold what the old ones say"
    own = fold.changed(shown, kept, "what a person knows")
    assert own and fold.outdated(shown, own) == ()


def test_no_notes_are_kept_of_an_answer_that_was_edited_while_they_were_made(store: Store) -> None:
    class Slow(Reader):
        def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
            if ask.messages[-1].content.startswith("Summarize"):
                store.edit_answer(store.messages(chat_id)[1].id, "I have changed my mind")
            yield from super().stream(ask, cancel)

    chat_id = talk(store, Reader(10_000), 10)
    assert fold.after(store, Slow(1000), SETTINGS, chat_id) is None
    assert store.notes(chat_id) == ()
    assert fold.after(store, Reader(1000), SETTINGS, chat_id) is not None


def test_a_message_that_was_refused_as_too_long_pushes_nothing_out(store: Store) -> None:
    model = Reader(500)
    chat_id = say(store, model, "my name is Zed", None)
    question, refused = store.add_turn(chat_id, "word " * 600, None)
    asked = fold.turn_of(store, chat_id, store.branch(question.id))
    done = list(turn.run(asked, model, SETTINGS, Cancel()))[-1]
    assert isinstance(done, Done) and done.error is not None and done.error["code"] == "context_full"
    store.save(refused.id, "", Status.ERROR, {"error": done.error})
    say(store, model, "what is my name?", chat_id)
    assert [m.content for m in model.asked[-1].messages if m.role == "user"] == ["my name is Zed", "what is my name?"]
    assert model.folds == [] and store.messages(chat_id)[-1].meta["notices"] == []
    assert fold.turn_of(store, chat_id, store.branch(question.id)).messages[-1].content == question.content  # again


def test_notes_say_through_which_shown_message_they_go(store: Store) -> None:
    model = Reader(2000)
    chat_id = talk(store, model, 3)
    _, refused = store.add_turn(chat_id, "word " * 3000, None)
    store.save(refused.id, "", Status.ERROR, {"error": {"code": "context_full", "message": "too long"}})
    for i in range(15):
        say(store, model, f"question {i} {'word ' * 30}", chat_id)
    notes = store.notes(chat_id)[-1]
    assert store.messages(chat_id)[notes.n_folded - 1].id == notes.through
    say(store, model, "and now?", chat_id)
    sent = model.asked[-1].messages[1:]
    assert [m.content for m in sent] == [m.content for m in store.messages(chat_id)[notes.n_folded : -1]]


def test_a_branch_without_the_folded_messages_has_no_notes(store: Store) -> None:
    chat_id = talk(store, Reader(10_000), 2)
    first, second, third, _ = branch = store.messages(chat_id)
    notes = Notes("Ann likes tea.", second.id, 2)
    assert fold.standing(branch, [notes]) == ("Ann likes tea.", 2)
    assert fold.standing([first, third], [notes]) == ("", 0)
    assert fold.standing(branch, []) == ("", 0)
    store.set_notes(chat_id, [notes], was=())
    asked = fold.turn_of(store, chat_id, store.branch(third.id))
    assert (asked.notes, asked.n_folded, len(asked.messages)) == ("Ann likes tea.", 2, 3)


def test_each_branch_keeps_its_notes_and_those_that_reach_furthest_hold(store: Store) -> None:
    model = Reader(1000)
    chat_id = talk(store, model, 9)
    first = store.messages(chat_id)
    (made,) = store.notes(chat_id)
    own = fold.changed(first, [made], "Ann is allergic to nuts.")
    assert own
    store.set_notes(chat_id, own, was=store.notes(chat_id))
    _, answer = store.add_turn(chat_id, "another beginning", None, parent=None)
    store.save(answer.id, "yes", Status.DONE, {})
    for _ in range(9):
        say(store, model, f"question {'word ' * 30}", chat_id)
    assert len(store.notes(chat_id)) == 2
    told, n_folded = fold.standing(first, store.notes(chat_id))
    assert (told, n_folded) == ("Ann is allergic to nuts.", made.n_folded)
    second = store.messages(chat_id)
    assert fold.standing(second, store.notes(chat_id))[0] == store.notes(chat_id)[-1].text
    kept = store.notes(chat_id)
    store.set_notes(chat_id, fold.changed(second, kept, None) or (), was=kept)
    assert (fold.standing(second, store.notes(chat_id)), store.notes(chat_id)) == (("", 0), own)
    assert fold.changed(second, store.notes(chat_id), "of nothing") is None


def test_a_base_model_has_no_notes(store: Store) -> None:
    chat_id = talk(store, Reader(10_000), 10)
    model = Reader(1000)
    model.infos = [ModelInfo("base", 1000, is_base=True)]
    assert fold.after(store, model, SETTINGS, chat_id) is None
    assert model.asked == []


def test_the_files_of_a_message_go_out_with_it(store: Store) -> None:
    file = store.add_file(None, "a.txt", "text", "Ann likes tea.", "")
    user, _ = store.add_turn(None, "What does Ann like?", None, files=[file.id])
    asked = fold.turn_of(store, user.chat_id, [user])
    assert "Ann likes tea." in asked.messages[0].content and asked.messages[0].content.endswith("What does Ann like?")
    assert asked.messages[0].role == "user" and isinstance(asked.messages[0], Message)
