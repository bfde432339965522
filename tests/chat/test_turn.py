"""One turn: what is asked of the model, and how it ends."""

from __future__ import annotations

import threading

from chatbot.core import turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import Changed, Delta, Done, Event, Message, Notice, Queued, Reading, Status
from chatbot.core.llm import Piece
from chatbot.core.model import ModelInfo
from chatbot.errors import ModelAway, ModelGone, ModelLoading, NoChatTemplate
from chatbot.settings import ChatSettings
from tests.fakes import FakeModel


def run(model: FakeModel, settings: ChatSettings | None = None, turns: list[Message] | None = None) -> list[Event]:
    asked = turns or [Message("user", "hello")]
    return list(turn.run(asked, model, settings or ChatSettings(), Cancel()))


def done(events: list[Event]) -> Done:
    assert [type(event) for event in events].count(Done) == 1
    assert isinstance(events[-1], Done)
    return events[-1]


def test_an_answer_goes_from_reading_to_streaming_to_done() -> None:
    events = run(FakeModel(["Hello", " there"]))
    assert events[:4] == [Changed(Status.READING), Changed(Status.STREAMING), Delta("Hello"), Delta(" there")]
    end = done(events)
    assert (end.status, end.finish_reason) == (Status.DONE, "stop")
    assert end.usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert end.timings and end.timings.n_pieces == 2 and end.timings.first_s is not None


def test_progress_is_told_once_a_change_and_only_before_the_first_word() -> None:
    told = [Queued(2), Queued(2), Queued(1), Reading(0), Reading(0), Reading(50)]
    model = FakeModel([*[Piece(progress=each) for each in told], "Hello", Piece(progress=Reading(100)), " there"])
    events = run(model)
    assert events[:-1] == [
        Changed(Status.READING),
        *[Queued(2), Queued(1), Reading(0), Reading(50)],
        Changed(Status.STREAMING),
        *[Delta("Hello"), Delta(" there")],
    ]
    assert (end := done(events).timings) and end.n_pieces == 2


def test_every_setting_a_person_can_move_changes_the_request() -> None:
    model = FakeModel()
    run(model, ChatSettings(system_prompt="Be brief.", temperature=0.1, max_tokens=77, model="other"))
    asked = model.asked[0]
    assert asked.messages == (Message("system", "Be brief."), Message("user", "hello"))
    assert (asked.temperature, asked.max_tokens, asked.model) == (0.1, 77, "other")


def test_the_servers_first_model_is_asked_unless_one_is_named() -> None:
    model = FakeModel(infos=[ModelInfo("llama", 4096)])
    run(model)
    assert model.asked[0].model == "llama"


def test_a_server_that_is_away_ends_the_turn_with_an_error_and_no_exception() -> None:
    end = done(run(FakeModel(infos=[ModelAway("nobody answers")])))
    assert end.status is Status.ERROR
    assert end.error == {"message": "nobody answers", "type": "model_error", "code": "model_away"}


def test_an_answer_that_breaks_off_keeps_its_text() -> None:
    events = run(FakeModel(["Half", ModelGone("went away")]))
    assert Delta("Half") in events
    assert done(events).error == ModelGone("went away").wire()


def test_a_loading_model_is_waited_for_and_then_asked() -> None:
    model = FakeModel(infos=[ModelLoading("loading"), ModelLoading("loading"), ModelInfo("late", 4096)])
    events = run(model)
    assert events[:2] == [Changed(Status.WAITING), Changed(Status.WAITING)]
    assert done(events).status is Status.DONE


def test_waiting_for_a_model_has_an_end() -> None:
    end = done(run(FakeModel(infos=[ModelLoading("loading")]), ChatSettings(loading_timeout_s=0)))
    assert end.error and end.error["code"] == "model_loading"


def test_stop_ends_the_wait_for_a_model_at_once() -> None:
    cancel = Cancel()
    events = turn.run([Message("user", "x")], FakeModel(infos=[ModelLoading("x")]), ChatSettings(), cancel)
    assert next(events) == Changed(Status.WAITING)
    threading.Timer(0.05, cancel.set).start()
    assert done(list(events)).status is Status.STOPPED


def test_stop_keeps_what_had_come() -> None:
    cancel = Cancel()
    seen: list[Event] = []
    for event in turn.run([Message("user", "x")], FakeModel(["a", "b", "c"]), ChatSettings(), cancel):
        seen.append(event)
        if event == Delta("a"):
            cancel.set()
    assert Delta("a") in seen and Delta("c") not in seen
    assert done(seen).status is Status.STOPPED


def test_turns_that_do_not_fit_are_left_out_and_told() -> None:
    old = [Message("user", "word " * 500), Message("assistant", "word " * 500)]
    model = FakeModel(infos=[ModelInfo("small", 512)])
    events = run(model, ChatSettings(max_tokens=100), [*old, Message("user", "now")])
    assert Notice("The oldest 2 messages were not sent: the model holds 512 tokens.") in events
    assert [m.content for m in model.asked[0].messages][1:] == ["now"]


def test_a_message_too_long_for_the_model_is_refused_before_it_is_sent() -> None:
    model = FakeModel(infos=[ModelInfo("small", 512)])
    end = done(run(model, turns=[Message("user", "word " * 5000)]))
    assert end.error and end.error["code"] == "context_full"
    assert model.asked == []


BASE = ModelInfo("base", 4096, capabilities=("completion",), is_base=True)


def test_a_base_model_gets_the_text_alone_and_no_system_prompt() -> None:
    model = FakeModel([" upon", " a time"], infos=[BASE], knows_no_chat=True)
    events = run(model, ChatSettings(temperature=0.1, max_tokens=77), [Message("user", "Once")])
    assert [event.text for event in events if isinstance(event, Delta)] == [" upon", " a time"]
    assert not any(isinstance(event, Notice) for event in events)
    assert done(events).status is Status.DONE
    asked = model.asked[0]
    assert (asked.messages, asked.continues) == ((Message("user", "Once"),), True)
    assert (asked.temperature, asked.max_tokens, asked.model) == (0.1, 77, "base")


def test_a_model_that_turns_out_to_be_a_base_model_continues_the_text_and_that_is_told() -> None:
    model = FakeModel([" upon"], infos=[ModelInfo("late")], knows_no_chat=True)
    events = run(model)
    assert Notice("late is a base model: it continues your text instead of answering.") in events
    assert Delta(" upon") in events and done(events).status is Status.DONE
    assert [asked.continues for asked in model.asked] == [False, True]


def test_a_base_model_that_refuses_to_continue_ends_the_turn_with_its_words() -> None:
    model = FakeModel([NoChatTemplate("no template")], infos=[BASE])
    assert done(run(model)).error == NoChatTemplate("no template").wire()
    assert len(model.asked) == 1


def test_a_text_too_long_for_a_base_model_loses_its_oldest_pieces() -> None:
    old = [Message("user", "word " * 500), Message("assistant", "word " * 200)]
    model = FakeModel(infos=[ModelInfo("base", 512, is_base=True)])
    events = run(model, ChatSettings(max_tokens=100), [*old, Message("user", "now")])
    assert Notice("The oldest 1 messages were not sent: the model holds 512 tokens.") in events
    assert [m.role for m in model.asked[0].messages] == ["assistant", "user"]


def test_the_model_that_is_asked_for_is_the_one_that_is_looked_at() -> None:
    looked: list[str] = []

    class Several(FakeModel):
        def info(self, wanted: str = "") -> ModelInfo:
            looked.append(wanted)
            return super().info(wanted)

    run(Several(), ChatSettings(model="second"))
    assert looked == ["second"]
