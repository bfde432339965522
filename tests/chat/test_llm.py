"""The model client against a server that does everything wrong on purpose."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from chatbot.core.answers import retry_after_s
from chatbot.core.cancel import Cancel
from chatbot.core.events import Message, Progress, Queued, Reading
from chatbot.core.llm import Ask, ModelClient, Piece
from chatbot.core.model import About
from chatbot.errors import ContextFull, ModelAway, ModelBusy, ModelError, ModelGone, ModelLoading, NoChatTemplate
from tests.fakes import (
    WAIT_S,
    Cut,
    Extra,
    FakeServer,
    Finish,
    Gate,
    Reason,
    Refuse,
    Usage,
    prompt_progress,
    queue_position,
)
from tests.processes import free_port

ASK = Ask([Message("user", "hello")], "fake-model", 0.5, 100)
TEXT = [Message("user", "Once"), Message("assistant", " upon"), Message("user", "a")]
CONTINUE = replace(ASK, messages=TEXT, continues=True)


def client(server: FakeServer, timeout_s: float = 10) -> ModelClient:
    return ModelClient(server.url, "sk-secret", timeout_s)


def test_pieces_come_one_by_one_with_the_reason_of_the_end(fake_server: FakeServer) -> None:
    fake_server.scripts = [["He", "llo 你好 👋", Finish("length")]]
    pieces = list(client(fake_server).stream(ASK, Cancel()))
    assert pieces == [Piece("He"), Piece("llo 你好 👋"), Piece("", "length")]


def test_the_request_carries_messages_sampling_and_length(fake_server: FakeServer) -> None:
    list(client(fake_server).stream(ASK, Cancel()))
    sent = fake_server.requests[0]
    assert sent["messages"] == [{"role": "user", "content": "hello"}]
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["stream"]) == ("fake-model", 0.5, 100, True)


def test_a_piece_arrives_before_the_next_one_is_made(fake_server: FakeServer) -> None:
    gate = Gate()
    fake_server.scripts = [["first", gate, "second", Finish()]]
    pieces = client(fake_server).stream(ASK, Cancel())
    assert next(pieces).text == "first"
    gate.open()
    assert [piece.text for piece in pieces] == ["second", ""]


def test_the_queue_and_the_reading_are_told_to_a_client_that_asks_for_them(fake_server: FakeServer) -> None:
    fake_server.scripts = [[queue_position(2), prompt_progress(640, 1200, cache=256), "Hi", Finish()]]
    pieces = list(client(fake_server).stream(ASK, Cancel()))
    assert pieces == [Piece(progress=Queued(2)), Piece(progress=Reading(53)), Piece("Hi"), Piece("", "stop")]
    assert fake_server.preferences == ["return-progress"]


@pytest.mark.parametrize(
    ("total", "processed", "percent"), [(1, 0, 0), (1, 1, 100), (300, 299, 99), (10**30, 10**29, 10)]
)
def test_percent_is_whole_and_100_only_at_the_end(
    fake_server: FakeServer, total: int, processed: int, percent: int
) -> None:
    assert progress_in(fake_server, {"prompt_progress": {"total": total, "processed": processed}}) == Reading(percent)


@pytest.mark.parametrize("position", [0, -1, 10**30, 1.5, True, "2", None, [2], {"n": 2}])
def test_a_place_in_the_queue_that_makes_no_sense_is_ignored(fake_server: FakeServer, position: object) -> None:
    assert progress_in(fake_server, {"queue_position": position}) is None


@pytest.mark.parametrize(
    "read",
    [
        None,
        43,
        "43 %",
        [640, 1200],
        {},
        {"total": 1200},
        {"processed": 640},
        {"total": 0, "processed": 0},
        {"total": 1200, "processed": -1},
        {"total": 1200, "processed": 1201},
        {"total": -1200, "processed": -1300},
        {"total": "1200", "processed": "640"},
        {"total": 1200.0, "processed": 640.0},
        {"total": True, "processed": True},
        {"total": [1200], "processed": None},
    ],
)
def test_a_reading_that_makes_no_sense_is_ignored(fake_server: FakeServer, read: object) -> None:
    assert progress_in(fake_server, {"prompt_progress": read}) is None
    assert progress_in(fake_server, {"prompt_progress": read, "queue_position": 3}) == Queued(3)


def progress_in(server: FakeServer, fields: dict[str, Any]) -> Progress | None:
    """What the client makes of a chunk with these fields; the answer around it always arrives."""
    server.scripts = [[Extra(fields), "Hi", Finish()]]
    told, text, end = client(server).stream(ASK, Cancel())
    assert (text, end) == (Piece("Hi"), Piece("", "stop"))
    assert (told.text, told.finish_reason, told.usage) == ("", None, None)
    return told.progress


def test_nobody_at_the_address_is_said_with_the_command_that_helps() -> None:
    with pytest.raises(ModelAway, match=r"nobody answers at .*setup\.sh"):
        list(ModelClient(f"http://127.0.0.1:{free_port()}/v1", "", 5).stream(ASK, Cancel()))


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refuse(400, "context_length_exceeded", "9,120 tokens, holds 8,192"), ContextFull),
        (Refuse(503, "model_loading", "loading"), ModelLoading),
        (Refuse(400, "no_chat_template", "this model has no chat template"), NoChatTemplate),
        (Refuse(429, "queue_full", "busy with 8 others; try again in 12 seconds", 12), ModelBusy),
        (Refuse(503, "queue_timeout", "waited 60 seconds in vain; try again in 5 seconds", 5), ModelBusy),
        (Refuse(503, "stopping", "the server is about to leave", 1), ModelError),
        (Refuse(429, "insufficient_quota", "no money left"), ModelError),
        (Refuse(500, "internal_error", "it broke"), ModelError),
        (Refuse(401, "invalid_api_key", "a key is needed"), ModelError),
    ],
)
def test_the_servers_own_sentence_reaches_the_person(
    fake_server: FakeServer, refusal: Refuse, kind: type[ModelError]
) -> None:
    fake_server.scripts = [[refusal]]
    with pytest.raises(ModelError) as caught:
        list(client(fake_server).stream(ASK, Cancel()))
    assert type(caught.value) is kind
    assert caught.value.message == refusal.message
    assert len(fake_server.requests) == 1, "a refused request is not sent again"


def test_a_wait_in_the_queue_that_ends_with_an_error_is_told_as_one_that_never_began(fake_server: FakeServer) -> None:
    fake_server.scripts = [[queue_position(1), Refuse(503, "queue_timeout", "waited 60 seconds in vain")]]
    with pytest.raises(ModelBusy, match="waited 60 seconds in vain"):
        list(client(fake_server).stream(ASK, Cancel()))


def test_a_server_that_dies_in_mid_answer_is_told_apart_from_one_that_is_away(fake_server: FakeServer) -> None:
    fake_server.scripts = [["some", Cut()]]
    got: list[str] = []
    with pytest.raises(ModelGone):
        for piece in client(fake_server).stream(ASK, Cancel()):
            got.append(piece.text)
    assert got == ["some"]


def test_a_stream_that_ends_without_a_reason_is_not_taken_for_finished(fake_server: FakeServer) -> None:
    fake_server.scripts = [["some"]]
    with pytest.raises(ModelGone, match="before it was finished"):
        list(client(fake_server).stream(ASK, Cancel()))


@pytest.mark.parametrize("pieces_before", [0, 2])
def test_stop_closes_the_connection_within_200_ms_also_while_the_prompt_is_read(
    fake_server: FakeServer, pieces_before: int
) -> None:
    gate, cancel = Gate(), Cancel()
    fake_server.scripts = [[*["x"] * pieces_before, gate, "never", Finish()]]
    got: list[Piece] = []
    arrived = threading.Semaphore(0)

    def read() -> None:
        for piece in client(fake_server).stream(ASK, cancel):
            got.append(piece)
            arrived.release()

    reader = threading.Thread(target=read)
    reader.start()
    gate.wait_until_reached()
    for _ in range(pieces_before):
        assert arrived.acquire(timeout=WAIT_S)
    began = time.monotonic()
    cancel.set()
    assert fake_server.client_left.wait(WAIT_S)
    reader.join(WAIT_S)
    assert time.monotonic() - began < 0.2
    assert len(got) == pieces_before


def test_stop_before_the_request_asks_nothing_for_long(fake_server: FakeServer) -> None:
    gate, cancel = Gate(), Cancel()
    cancel.set()
    fake_server.scripts = [[gate, Finish()]]
    assert list(client(fake_server).stream(ASK, cancel)) == []
    gate.open()


def test_silence_has_an_end(fake_server: FakeServer) -> None:
    gate = Gate()
    fake_server.scripts = [["some", gate, Finish()]]
    with pytest.raises(ModelError):
        list(client(fake_server, timeout_s=0.2).stream(ASK, Cancel()))
    gate.open()


def test_health_tells_ready_loading_and_away(fake_server: FakeServer) -> None:
    model = client(fake_server)
    health = model.health()
    assert health.state == "ready" and health.model and health.model.name == "fake-model"
    fake_server.state = "loading"
    assert model.health().state == "loading"
    with pytest.raises(ModelLoading):
        model.info()
    fake_server.stop()
    assert model.health().state == "away"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ({"code": "model_loading"}, "loading"),
        ({"code": 503, "type": "unavailable_error"}, "loading"),
        ({"code": "model_failed"}, "away"),
        ({"code": "stopping"}, "away"),
        ({"code": "queue_full"}, "ready"),
        ("no object", "loading"),
    ],
)
def test_not_every_503_is_a_model_that_loads(fake_server: FakeServer, error: object, state: str) -> None:
    fake_server.state, fake_server.health_error = "busy", error
    assert client(fake_server).health().state == state


def test_info_names_the_first_model_and_its_context(fake_server: FakeServer) -> None:
    fake_server.n_ctx = 2048
    info = client(fake_server).info()
    assert (info.name, info.n_ctx) == ("fake-model", 2048)


def test_tokens_are_counted_by_the_server(fake_server: FakeServer) -> None:
    assert client(fake_server).count_tokens("one two three") == 3
    assert ModelClient(f"http://127.0.0.1:{free_port()}/v1", "", 1).count_tokens("one two three") == 5


def test_each_text_is_counted_once_a_model_and_by_that_models_tokenizer(fake_server: FakeServer) -> None:
    model = client(fake_server)
    assert [model.count_tokens(text) for text in ("a b", "a b", "c")] == [2, 2, 1]
    assert [model.count_tokens("a b", "other") for _ in range(2)] == [2, 2]
    assert fake_server.counted == [{"input": "a b"}, {"input": "c"}, {"input": "a b", "model": "other"}]
    assert not model.estimates


def test_a_server_without_a_tokenizer_is_asked_again_and_the_number_is_an_estimate(fake_server: FakeServer) -> None:
    fake_server.counts_tokens = False
    model = client(fake_server)
    assert (model.count_tokens("one two three"), model.estimates) == (5, True)
    fake_server.counts_tokens = True
    assert (model.count_tokens("one two three"), model.estimates) == (3, False)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_comes_beside_the_text(fake_server: FakeServer, field: str) -> None:
    fake_server.scripts = [[Reason("Let me ", field), Reason("see", field), "Four", Finish()]]
    pieces = list(client(fake_server).stream(ASK, Cancel()))
    assert pieces == [Piece(thought="Let me "), Piece(thought="see"), Piece("Four"), Piece("", "stop")]


def test_what_was_in_the_servers_cache_is_part_of_the_usage(fake_server: FakeServer) -> None:
    fake_server.scripts = [["Hi", Finish(), Usage(9, 1, cached=0)], ["Hi", Finish(), Usage(9, 1)]]
    for told in ({"cached_tokens": 0}, {}):
        *_, last = client(fake_server).stream(ASK, Cancel())
        assert last.usage == {"prompt_tokens": 9, "completion_tokens": 1, **told}


@pytest.mark.parametrize(
    ("status", "told", "least", "most"),
    [
        (429, 12, 12, 12),
        (503, "0", 0, 0),
        (429, None, None, None),
        (500, 12, None, None),
        (429, "soon", None, None),
        (503, "Fri, 01 Jan 2100 00:00:00 GMT", 1e8, 1e10),
        (503, "Fri, 01 Jan 1999 00:00:00 GMT", 0, 0),
    ],
)
def test_the_time_that_a_busy_server_names_is_known(
    fake_server: FakeServer, status: int, told: int | str | None, least: float | None, most: float | None
) -> None:
    fake_server.scripts = [[Refuse(status, "queue_full", "busy", told)]]
    with pytest.raises(ModelError) as caught:
        list(client(fake_server).stream(ASK, Cancel()))
    found = retry_after_s(caught.value)
    if least is None or most is None:
        assert found is None
    else:
        assert found is not None and least <= found <= most


def test_all_models_are_listed_with_their_state(fake_server: FakeServer) -> None:
    told = {"n_ctx": 512, "capabilities": ["chat", "reasoning"]}
    fake_server.models = [
        {"id": "a", "meta": {"state": "ok", **told}},
        {"id": "b", "meta": {"state": "unloaded"}},
        {"id": "c"},
    ]
    a, b, c = client(fake_server).models()
    assert (a.name, a.n_ctx, a.state, a.capabilities) == ("a", 512, "ok", ("chat", "reasoning"))
    assert [(each.name, each.state, each.n_ctx) for each in (b, c)] == [("b", "unloaded", None), ("c", "ok", None)]
    fake_server.stop()
    with pytest.raises(ModelAway):
        client(fake_server).models()


def test_a_text_is_continued_over_the_completions_route(fake_server: FakeServer) -> None:
    fake_server.capabilities = ["completion"]
    fake_server.scripts = [[queue_position(2), prompt_progress(640, 1200), " ti", "me 👋", Finish("length")]]
    pieces = list(client(fake_server).stream(CONTINUE, Cancel()))
    told = [Piece(progress=Queued(2)), Piece(progress=Reading(53))]
    assert pieces == [*told, Piece(" ti"), Piece("me 👋"), Piece("", "length")]
    sent = fake_server.requests[0]
    assert fake_server.paths == ["/v1/completions"]
    assert sent["prompt"] == "Once upon\na"
    assert "messages" not in sent
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["stream"]) == ("fake-model", 0.5, 100, True)
    assert sent["stream_options"] == {"include_usage": True}


def test_a_continuation_that_breaks_off_or_is_refused_is_told_as_an_answer_is(fake_server: FakeServer) -> None:
    fake_server.scripts = [["some", Cut()], ["some"], ["some", Refuse(500, "internal_error", "it broke")]]
    for kind in (ModelGone, ModelGone, ModelError):
        with pytest.raises(kind):
            list(client(fake_server).stream(CONTINUE, Cancel()))


def test_stop_closes_the_connection_of_a_continuation(fake_server: FakeServer) -> None:
    gate, cancel = Gate(), Cancel()
    fake_server.scripts = [["x", gate, "never", Finish()]]
    pieces = client(fake_server).stream(CONTINUE, cancel)
    assert next(pieces).text == "x"
    threading.Timer(0.05, cancel.set).start()
    assert list(pieces) == []
    assert fake_server.client_left.wait(WAIT_S)


def test_info_and_health_tell_a_base_model_from_one_that_chats(fake_server: FakeServer) -> None:
    model = client(fake_server)
    for capabilities, is_base in ((None, False), (["chat", "completion"], False), (["completion"], True)):
        fake_server.capabilities = capabilities
        health = model.health()
        assert health.model and health.model.is_base is model.info().is_base is is_base


def test_a_wanted_model_that_is_not_listed_is_known_by_name_alone(fake_server: FakeServer) -> None:
    info = client(fake_server).info("another")
    assert (info.name, info.n_ctx) == ("another", None)
    assert client(fake_server).info("fake-model").n_ctx == 4096


def test_about_tells_what_the_plan_says_and_shows_the_key(fake_server: FakeServer) -> None:
    fake_server.capabilities = ["chat", "completion", "tools"]
    fake_server.plan = {"models": [{"name": "fake-model", "summary": "It runs.", "file_bytes": 98_362_432}]}
    about = client(fake_server).about()
    assert about == About("fake-model", "It runs.", "It can chat and call tools.", "Its file takes 98 MB.")
    assert fake_server.plan_keys == ["Bearer sk-secret"]


def test_about_a_server_without_a_plan_or_with_a_slow_one_tells_the_rest(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = About("fake-model", "A conversation may be 4,096 tokens long.")
    assert client(fake_server).about() == known
    monkeypatch.setattr("chatbot.core.llm._QUICK_TIMEOUT_S", 0.2)
    fake_server.plan, fake_server.plan_gate = {"models": []}, Gate()
    assert client(fake_server).about() == known
    assert fake_server.client_left.wait(WAIT_S)
    with pytest.raises(ModelAway):
        ModelClient(f"http://127.0.0.1:{free_port()}/v1", "", 5).about()
