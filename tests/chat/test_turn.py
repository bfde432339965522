"""One turn: what is asked of the model, and how it ends."""

from __future__ import annotations

import threading

import pytest

from chatbot.core import turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import Changed, Delta, Done, Event, Message, Notice, Queued, Reading, Status, Thought
from chatbot.core.llm import ModelClient, Piece
from chatbot.core.model import ModelInfo
from chatbot.core.options import ChatOptions
from chatbot.core.turn import Turn
from chatbot.errors import ModelAway, ModelBusy, ModelGone, ModelLoading, NoChatTemplate
from chatbot.settings import ChatSettings
from tests.fakes import FakeModel, FakeServer, Finish, Gate, Reason, Refuse, Usage, queue_position

HELLO = Turn([Message("user", "hello")])


def run(model: turn.Model, settings: ChatSettings | None = None, turns: list[Message] | None = None) -> list[Event]:
    return ask(Turn(turns) if turns else HELLO, model, settings)


def ask(asked: Turn, model: turn.Model, settings: ChatSettings | None = None) -> list[Event]:
    return list(turn.run(asked, model, settings or ChatSettings(), Cancel()))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def thoughts_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Thought))


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


def test_what_was_held_back_for_half_a_tag_is_not_lost_when_the_answer_breaks_off() -> None:
    events = run(FakeModel(["<th", ModelGone("went away")]))
    assert text_of(events) == "<th"
    assert done(events).status is Status.ERROR


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
    events = turn.run(HELLO, FakeModel(infos=[ModelLoading("x")]), ChatSettings(), cancel)
    assert next(events) == Changed(Status.WAITING)
    threading.Timer(0.05, cancel.set).start()
    assert done(list(events)).status is Status.STOPPED


def test_stop_keeps_what_had_come() -> None:
    cancel = Cancel()
    seen: list[Event] = []
    for event in turn.run(HELLO, FakeModel(["a", "b", "c"]), ChatSettings(), cancel):
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


def test_a_chats_own_options_come_before_the_settings() -> None:
    model = FakeModel()
    chosen = ChatOptions(model="second", system_prompt="Be kind.", temperature=0, max_tokens=9, top_k=5)
    ask(Turn(HELLO.messages, chosen), model, ChatSettings(temperature=1, top_k=7, top_p=0.5))
    asked = model.asked[0]
    assert asked.messages == (Message("system", "Be kind."), Message("user", "hello"))
    assert (asked.model, asked.temperature, asked.max_tokens) == ("second", 0, 9)
    assert asked.extra == {"top_k": 5, "top_p": 0.5}


def test_an_empty_system_prompt_of_a_chat_sends_none() -> None:
    model = FakeModel()
    ask(Turn(HELLO.messages, ChatOptions(system_prompt="")), model)
    assert model.asked[0].messages == (Message("user", "hello"),)


def test_reasoning_is_told_apart_from_the_answer_and_begins_the_stream() -> None:
    model = FakeModel([Piece(thought="Let me "), Piece(thought="see."), "Four"])
    events = run(model)
    assert events[:-1] == [
        *[Changed(Status.READING), Changed(Status.STREAMING)],
        *[Thought("Let me "), Thought("see."), Delta("Four")],
    ]
    assert (end := done(events).timings) and end.n_pieces == 3 and end.first_s is not None


def test_thoughts_that_a_server_leaves_in_the_text_are_taken_out_of_it() -> None:
    events = run(FakeModel(["<th", "ink>Let me", " see.</think>", "\n\nFour"]))
    assert (thoughts_of(events), text_of(events)) == ("Let me see.", "Four")


def test_thoughts_of_earlier_answers_are_not_sent_back() -> None:
    model = FakeModel()
    old = Message("assistant", "<think>secret</think>Four")
    run(model, turns=[Message("user", "2 + 2?"), old, Message("user", "sure?")])
    assert [m.content for m in model.asked[0].messages][1:] == ["2 + 2?", "Four", "sure?"]


def test_an_answer_goes_on_where_it_ended() -> None:
    model = FakeModel([" time."])
    events = ask(Turn([Message("user", "tell")], continues="Once upon a"), model)
    assert model.asked[0].messages[1:] == (Message("user", "tell"), Message("assistant", "Once upon a"))
    assert (model.asked[0].continues, text_of(events)) == (False, " time.")


def test_what_an_answer_goes_on_with_is_never_taken_for_thoughts() -> None:
    events = ask(Turn([Message("user", "tags?")], continues="They are "), FakeModel(["<think>", " and </think>"]))
    assert (thoughts_of(events), text_of(events)) == ("", "<think> and </think>")


def test_a_base_model_goes_on_with_its_own_text() -> None:
    model = FakeModel(["time"], infos=[BASE])
    ask(Turn([Message("user", "Once")], continues=" upon a "), model)
    assert model.asked[0].messages == (Message("user", "Once"), Message("assistant", " upon a "))
    assert model.asked[0].continues


def test_notes_stand_behind_the_system_prompt_in_place_of_what_they_were_made_of() -> None:
    said = [Message("user", "one"), Message("assistant", "two"), Message("user", "three")]
    model = FakeModel()
    ask(Turn(said, notes="Ann likes tea.", n_folded=2), model, ChatSettings(system_prompt="Be kind."))
    head, *rest = model.asked[0].messages
    assert head.role == "system" and head.content.startswith("Be kind.\n\n") and head.content.endswith("Ann likes tea.")
    assert rest == [said[2]]


@pytest.mark.parametrize("rule", ["window", "all"])
def test_other_rules_send_the_messages_and_not_their_notes(rule: str) -> None:
    said = [Message("user", "one"), Message("assistant", "two"), Message("user", "three")]
    model = FakeModel()
    ask(Turn(said, ChatOptions(context_rule=rule), notes="Ann likes tea.", n_folded=2), model)
    assert list(model.asked[0].messages[1:]) == said
    assert "Ann" not in model.asked[0].messages[0].content


def test_a_window_holds_the_last_turns_before_the_question() -> None:
    said = [Message("user" if i % 2 == 0 else "assistant", str(i)) for i in range(9)]
    model = FakeModel()
    run(model, ChatSettings(context_rule="window", keep_turns=2), said)
    assert list(model.asked[0].messages[1:]) == said[4:]


def test_a_long_message_is_cut_where_the_setting_says_so_and_that_is_told() -> None:
    model = FakeModel(infos=[ModelInfo("small", 512)])
    text = f"first {'word ' * 5000}last"
    events = run(model, ChatSettings(long_message="cut", max_tokens=100), [Message("user", text)])
    sent = model.asked[0].messages[-1].content
    assert sent.startswith("first") and sent.endswith("last") and "characters are left out here" in sent
    assert len(sent.split()) < 512
    assert any("in the middle of your message were not sent" in e.text for e in events if isinstance(e, Notice))


def client(server: FakeServer) -> ModelClient:
    return ModelClient(server.url, "", 10)


def test_a_busy_server_is_asked_again_after_the_time_it_names(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_LOADING_POLL_S", 0.01)
    busy = [[Refuse(429, "queue_full", "busy", 0)], [Refuse(503, "stopping", "leaving", 0)]]
    fake_server.scripts = [*busy, [queue_position(2), "Hi", Finish()]]
    events = run(client(fake_server), turns=[Message("user", "hello")])
    assert [e.status for e in events if isinstance(e, Changed)] == [
        *[Status.READING, Status.WAITING, Status.WAITING, Status.READING, Status.STREAMING]
    ]
    assert (text_of(events), done(events).status) == ("Hi", Status.DONE)
    first, second, third = fake_server.requests
    assert first == second == third


def test_a_server_that_is_busy_for_longer_than_a_message_may_wait_is_an_error_at_once(fake_server: FakeServer) -> None:
    fake_server.scripts = [[Refuse(429, "queue_full", "busy; try again in 12 seconds", 12)]]
    end = done(run(client(fake_server), ChatSettings(loading_timeout_s=10)))
    assert end.error and (end.error["code"], end.error["message"]) == ("model_busy", "busy; try again in 12 seconds")
    assert len(fake_server.requests) == 1


def test_stop_ends_the_wait_for_a_busy_server(fake_server: FakeServer) -> None:
    fake_server.scripts = [[Refuse(503, "queue_timeout", "busy", 60)]]
    cancel, seen = Cancel(), list[Event]()
    for event in turn.run(HELLO, client(fake_server), ChatSettings(), cancel):
        seen.append(event)
        if event == Changed(Status.WAITING):
            cancel.set()
    assert done(seen).status is Status.STOPPED
    assert len(fake_server.requests) == 1


def test_after_the_first_piece_nothing_is_asked_again(fake_server: FakeServer) -> None:
    fake_server.scripts = [[Reason("hm"), Refuse(503, "queue_full", "busy", 0)]]
    end = done(run(client(fake_server)))
    assert end.error and end.error["code"] == "model_busy"
    assert len(fake_server.requests) == 1


def test_a_refusal_in_the_middle_of_an_answer_is_its_end_whatever_time_it_names() -> None:
    class Response:
        status_code, headers = 429, {"retry-after": "0"}

    class Cause(Exception):
        response = Response()

    busy = ModelBusy("busy")
    busy.__cause__ = Cause()
    model = FakeModel(["Half", busy])
    end = done(run(model))
    assert end.error == busy.wire()
    assert len(model.asked) == 1


def test_a_turn_counts_only_the_messages_that_are_new(fake_server: FakeServer) -> None:
    fake_server.n_ctx, model = 400, client(fake_server)
    settings = ChatSettings(max_tokens=100)
    said = [Message("user" if i % 2 == 0 else "assistant", f"{i} {'word ' * 20}") for i in range(7)]
    run(model, settings, said[:5])
    n_before = len(fake_server.counted)
    run(model, settings, said)
    assert n_before == 6, "five messages and the system prompt"
    assert [body["input"] for body in fake_server.counted[n_before:]] == [said[6].content, said[5].content]


def test_what_the_servers_cache_saved_is_told(fake_server: FakeServer) -> None:
    fake_server.scripts = [["Hi", Finish(), Usage(40, 2, cached=30)], ["Hi", Finish(), Usage(40, 2)]]
    told = {"prompt_tokens": 40, "completion_tokens": 2}
    assert done(run(client(fake_server))).usage == {**told, "cached_tokens": 30}
    assert done(run(client(fake_server))).usage == told


def test_a_thought_reaches_the_person_before_the_answer_begins(fake_server: FakeServer) -> None:
    gate = Gate()
    fake_server.scripts = [[Reason("hm"), gate, Reason(" yes", "reasoning"), "Four", Finish()]]
    events = turn.run(HELLO, client(fake_server), ChatSettings(), Cancel())
    seen = [next(events) for _ in range(3)]
    assert seen[-1] == Thought("hm")
    gate.open()
    rest = list(events)
    assert (thoughts_of(rest), text_of(rest)) == (" yes", "Four")
