"""Pictures on their way: known by their bytes, kept as they are, sent whole to a model that sees and to no other."""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from chatbot.core import context, fold, pictures, sources, turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import Done, Image, Message, Notice, Status
from chatbot.core.files import check_room, extract, message_of
from chatbot.core.model import ModelInfo, meta_of, read_info
from chatbot.core.store import Store, StoredFile
from chatbot.core.turn import Turn
from chatbot.core.wire import message_wire
from chatbot.errors import ContextFull, FileRefused
from chatbot.settings import ChatSettings
from rag.extract.limits import Unreadable
from tests.chat import samples
from tests.chat.browser import Browser
from tests.chat.test_uploads import OURS, upload
from tests.fakes import WAIT_S, FakeModel, FakeServer, Finish, Refuse
from tests.processes import Process, chatbot, running

PNG = samples.png()
WEBP = b"RIFF\x24\0\0\0WEBP"
SEES = ModelInfo("eyes", 4096, capabilities=("chat", "vision"))
BLIND = ModelInfo("words", 4096, capabilities=("chat",))
SETTINGS = ChatSettings(system_prompt="", max_tokens=100)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (samples.png(640, 480), ("image/png", 640, 480)),
        (samples.jpeg_header(4032, 3024), ("image/jpeg", 4032, 3024)),
        (samples.jpeg_header(30, 20, samples.turned(6), marker=0xC2), ("image/jpeg", 30, 20)),
        (samples.jpeg_header(30, 20, b"\xff\xc4\0\x04ab\xff\xff\xd0"), ("image/jpeg", 30, 20)),
        (b"GIF89a" + b"\x40\x01\xf0\0" + bytes(9), ("image/gif", 320, 240)),
        (WEBP + b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\x01\xf0\0", ("image/webp", 320, 240)),
        (WEBP + b"VP8L\0\0\0\0\x2f\x3f\xc1\x3b\0" + bytes(9), ("image/webp", 320, 240)),
        (WEBP + b"VP8X\0\0\0\0\0\0\0\0\x3f\x01\0\xef\0\0", ("image/webp", 320, 240)),
    ],
)
def test_kind_and_size_are_told_by_the_bytes_whatever_the_name_says(data: bytes, found: tuple[str, int, int]) -> None:
    seen = pictures.look(data)
    assert (seen.media_type, seen.width, seen.height) == found
    read = extract("letter.txt", data)
    assert (read.kind, read.media_type, read.data, read.text) == ("image", found[0], data, "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (samples.png()[:20], "size cannot be read"),
        (b"\xff\xd8\xff\xe0\xff\xff" + bytes(50), "size cannot be read"),
        (WEBP + b"VP8?" + bytes(20), "size cannot be read"),
        (samples.jpeg_header(20, 0), "size cannot be read"),
        (samples.jpeg_header(8000, 5001), "8,000 by 5,001 pixels, and 40 megapixels are the most"),
        (b"\0\0\0\x18ftypheic" + bytes(30), "save it as PNG or JPEG"),
        (b"II*\0" + bytes(30), "save it as PNG or JPEG"),
    ],
)
def test_picture_that_cannot_be_taken_is_refused_in_words(data: bytes, said: str) -> None:
    with pytest.raises(FileRefused, match=said) as caught:
        extract("a.png", data)
    assert caught.value.message.startswith("the file a.png is a picture")


def test_every_beginning_of_a_picture_is_refused_or_read_and_none_breaks_the_reader() -> None:
    whole = (samples.jpeg_header(30, 20, samples.turned(6)), WEBP + b"VP8X" + bytes(14), b"GIF89a" + bytes(9), PNG)
    for data in whole:
        for end in range(len(data)):
            try:
                assert pictures.look(data[:end]).width > 0
            except Unreadable as why:
                assert "picture" in why.reason


def test_drawing_in_svg_is_read_as_the_text_it_is() -> None:
    read = extract("plan.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    assert (read.kind, read.data) == ("code", None)
    assert read.text.startswith("<svg")


@pytest.mark.parametrize(("width", "height", "n"), [(8, 6, 85), (300, 250, 100), (1536, 1024, 1600)])
def test_picture_costs_by_its_size_within_bounds(width: int, height: int, n: int) -> None:
    assert pictures.n_tokens(samples.png(width, height)) == n


def test_model_gets_the_text_and_the_bytes_as_parts_and_a_plain_message_as_text() -> None:
    sent = message_wire(Message("user", "what is it?", (Image("image/png", PNG), Image("image/gif", b"GIF"))))
    texts, first, second = sent["content"]
    assert texts == {"type": "text", "text": "what is it?"}
    assert first == {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
    }
    assert second["image_url"]["url"] == "data:image/gif;base64,R0lG"
    assert message_wire(Message("user", "", (Image("image/png", PNG),)))["content"] == [first]
    assert message_wire(Message("user", "hello")) == {"role": "user", "content": "hello"}


def file(name: str, text: str = "", data: bytes | None = None) -> StoredFile:
    kind, media_type = ("text", "") if data is None else ("image", "image/png")
    return StoredFile("1", None, None, name, kind, text, "", len(text), 0.0, media_type, data)


def test_text_file_beside_a_picture_stands_fenced_in_the_message_and_the_picture_does_not() -> None:
    made = message_of("user", "compare", [file("a.txt", "inside"), file("b.png", data=PNG)])
    assert "File a.txt:\n```\ninside\n```" in made.content
    assert "b.png" not in made.content
    assert made.images == (Image("image/png", PNG, "b.png"),)
    assert message_of("user", "", [file("b.png", data=PNG)]).content == ""


def asked(text: str = "what is it?") -> Message:
    return Message("user", text, (Image("image/png", PNG, "heron.png"),))


def play(messages: list[Message], model: FakeModel) -> list[Any]:
    return list(turn.run(Turn(messages), model, SETTINGS, Cancel()))


@pytest.mark.parametrize("info", [SEES, ModelInfo("who knows", 4096)])
def test_model_that_sees_or_does_not_say_gets_the_picture(info: ModelInfo) -> None:
    model = FakeModel(infos=[info])
    events = play([asked()], model)
    assert events[-1].status is Status.DONE
    assert model.asked[0].messages == (asked(),)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([SEES], "the model words cannot see pictures: choose eyes, or send the message without them"),
        ([], "no other one of its server is known to"),
    ],
)
def test_model_that_cannot_see_is_not_asked_and_the_person_learns_what_to_do(
    others: list[ModelInfo], said: str
) -> None:
    class Server(FakeModel):
        def models(self) -> list[ModelInfo]:
            return [BLIND, *others]

    model = Server(infos=[BLIND])
    done = play([asked()], model)[-1]
    assert isinstance(done, Done) and done.error
    assert (done.status, done.error["code"]) == (Status.ERROR, "cannot_see")
    assert said in done.error["message"]
    assert model.asked == []


def test_older_pictures_become_words_for_a_model_that_cannot_see_and_the_person_is_told() -> None:
    model = FakeModel(infos=[BLIND])
    events = play([asked(), Message("assistant", "a heron"), Message("user", "and now?")], model)
    assert model.asked[0].messages[0] == Message("user", "what is it?\n\n[picture heron.png]")
    assert Notice("The model words cannot see pictures: 1 of earlier messages was not sent.") in events
    assert events[-1].status is Status.DONE


def test_pictures_count_in_what_fits_and_in_the_drawer_where_they_are_an_estimate() -> None:
    large = Message("user", "what?", (Image("image/png", samples.png(1536, 1024), "large.png"),))
    with pytest.raises(ContextFull, match="1,601 tokens"):
        context.fit("", [large], context.Limits(1000, 100), lambda text: len(text.split()))
    shown = context.show(Turn([asked()]), FakeModel(infos=[SEES]), SETTINGS)
    assert [(part["kind"], part["label"], part["n_tokens"]) for part in shown["parts"]] == [
        ("message", "You", 13),
        ("picture", "heron.png", 85),
    ]
    assert shown["parts"][1]["is_estimate"] and shown["is_estimate"]
    assert shown["n_used"] == 98
    assert "8 by 6 pixels" in shown["parts"][1]["text"]


def test_room_for_a_picture_is_counted_beside_the_other_files() -> None:
    model = FakeModel(infos=[ModelInfo("m", 1000)])
    assert check_room("", model, data=PNG).n_tokens == 85
    with pytest.raises(ContextFull, match="takes about 85 tokens and 66 are free beside the other files"):
        check_room("", model, n_others=770, data=PNG)


def test_folded_turns_lose_their_pictures_and_keep_their_names(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db")
    model = FakeModel(pieces=["- a heron was seen"], infos=[ModelInfo("eyes", 900, capabilities=("chat", "vision"))])
    chat_id = None
    for number in range(6):
        kept = store.add_file(chat_id, f"p{number}.png", "image", "", media_type="image/png", data=PNG)
        user, answer = store.add_turn(chat_id, "word " * 60, None, files=[kept.id])
        chat_id = user.chat_id
        store.save(answer.id, "answer " * 20, Status.DONE, {})
    assert chat_id
    notes = fold.after(store, model, ChatSettings(system_prompt="", max_tokens=100), chat_id)
    assert notes and notes.n_folded
    source = model.asked[-1].messages
    assert not any(message.images for message in source)
    assert "[picture p0.png]" in source[0].content
    left = context.parts_of(fold.turn_of(store, chat_id, store.messages(chat_id)))[1]
    assert [image.name for message in left for image in message.images]
    store.close()


def test_picture_without_words_is_a_message_and_names_its_chat(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db")
    kept = store.add_file(None, "heron.png", "image", "", media_type="image/png", data=PNG)
    user, _ = store.add_turn(None, "", None, files=[kept.id])
    assert store.chat(user.chat_id).title == "heron.png"
    made = fold.turn_of(store, user.chat_id, [user])
    assert [each.images[0].data for each in made.messages] == [PNG]
    assert store.files_of([user.id], with_text=False)[user.id][0].data is None
    store.close()


@pytest.mark.parametrize(
    ("entry", "answer", "can_see"),
    [
        ({"id": "m", "meta": {"capabilities": ["chat", "vision"], "n_ctx": 4096}}, {}, True),
        ({"id": "m", "meta": {"capabilities": ["chat"]}}, {}, False),
        ({"id": "m", "architecture": {"input_modalities": ["text", "image"]}}, {}, True),
        ({"id": "m", "architecture": {"input_modalities": ["text"]}}, {}, False),
        ({"id": "m", "meta": {"n_ctx_train": 1}}, {"models": [{"model": "m", "capabilities": ["completion"]}]}, False),
        ({"id": "m"}, {"models": [{"model": "m", "capabilities": ["completion", "multimodal"]}]}, True),
        ({"id": "m"}, {"models": [{"model": "other", "capabilities": ["completion"]}, 1]}, True),
        ({"id": "m", "meta": 1, "architecture": []}, [], True),
    ],
)
def test_what_servers_say_of_a_models_eyes_is_understood(entry: dict[str, Any], answer: object, can_see: bool) -> None:
    info = read_info("m", meta_of(entry, answer))
    assert info.can_see is can_see
    assert not info.is_base


# --- over the real web server


@pytest.fixture(scope="module")
def model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.capabilities = ["chat", "vision"]
        yield server


@pytest.fixture(scope="module")
def web(model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(chatbot(model.url, tmp_path_factory.mktemp("chat"), "--max_file_mb", "1")) as process:
        yield process


@pytest.fixture
def page(web: Process, model: FakeServer) -> Iterator[Browser]:
    model.requests.clear()
    model.capabilities, model.models = ["chat", "vision"], None
    model.scripts = [["a heron", Finish()]]
    browser = Browser(web.url)
    yield browser
    browser.client.disconnect()


def add(web: Process, data: bytes = PNG, name: str = "heron.png", **fields: str) -> dict[str, Any]:
    status, said = upload(web, name, data, OURS, **fields)
    assert status == 200, said
    return dict(said["file"])


def fetch(web: Process, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=WAIT_S)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def send(page: Browser, *files: str, text: str = "", **more: Any) -> dict[str, Any]:
    return page.call("send", {"text": text, "chat_id": None, "files": list(files), **more})


def test_picture_alone_is_sent_and_the_model_gets_the_bytes_of_the_file(
    web: Process, model: FakeServer, page: Browser
) -> None:
    kept = add(web)
    assert (kept["kind"], kept["n_chars"], kept["n_tokens"]) == ("image", 0, 85)
    sent = send(page, kept["id"])
    assert sent["ok"], sent
    assert page.end_of(sent["answer"]["id"])["status"] == "done"
    [part] = model.requests[-1]["messages"][-1]["content"]
    kind, _, data = part["image_url"]["url"].partition(";base64,")
    assert (kind, base64.b64decode(data)) == ("data:image/png", PNG)

    again = send(page, kept["id"], text="look again", chat_id=sent["chat"]["id"], parent=None)  # edit and send again
    assert page.end_of(again["answer"]["id"])["status"] == "done"
    words, picture = model.requests[-1]["messages"][-1]["content"]
    assert (words["text"], picture) == ("look again", part)


def test_message_with_neither_words_nor_files_is_refused(page: Browser) -> None:
    assert send(page, text=" ")["error"]["code"] == "bad_request"


def test_picture_is_served_as_what_it_is_to_its_own_page_and_read_by_the_browser_alone(web: Process) -> None:
    kept = add(web, name='he"ron\u00e9.png')
    status, headers, body = fetch(web, f"/files/{kept['id']}")
    assert (status, headers["content-type"], body) == (200, "image/png", PNG)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("inline; filename*=UTF-8''")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "private, no-cache"
    assert fetch(web, f"/files/{kept['id']}", **{"If-None-Match": headers["etag"]})[0] == 304


def test_what_is_no_picture_is_not_served(web: Process) -> None:
    kept = add(web, b"<script>alert(1)</script>", "page.txt")
    assert fetch(web, f"/files/{kept['id']}", Accept="application/json")[0] == 404
    assert fetch(web, f"/files/{'0' * 16}", Accept="application/json")[0] == 404


def test_model_that_cannot_see_is_refused_before_the_message_is_kept(
    web: Process, model: FakeServer, page: Browser
) -> None:
    model.models = [
        {"id": "words", "meta": {"capabilities": ["chat"]}},
        {"id": "eyes", "meta": {"capabilities": ["chat", "vision"]}},
    ]
    kept, n_before = add(web), len(page.call("chats")["chats"])
    refused = send(page, kept["id"], text="what is it?")
    assert refused["error"]["code"] == "cannot_see"
    assert "choose eyes" in refused["error"]["message"]
    assert (len(page.call("chats")["chats"]), model.requests) == (n_before, [])
    sent = send(page, kept["id"], text="what is it?", options={"model": "eyes"})  # the file is still there
    assert page.end_of(sent["answer"]["id"])["status"] == "done"
    assert model.requests[-1]["model"] == "eyes"


def test_refusal_of_the_server_itself_is_said_and_kept_with_the_answer(
    web: Process, model: FakeServer, page: Browser
) -> None:
    model.scripts = [[Refuse(500, "server_error", "image input is not supported - hint: provide the mmproj")]]
    sent = send(page, add(web)["id"])
    done = page.end_of(sent["answer"]["id"])
    assert done["status"] == "error"
    assert "image input is not supported" in done["error"]["message"]


def test_files_beside_it_count_against_the_room_for_the_next_one(web: Process) -> None:
    first = add(web, b"word " * 2_500, "first.txt")
    status, said = upload(web, "second.txt", b"word " * 500, OURS, files=first["id"])
    assert (status, said["file"]["n_tokens"], said["file"]["is_whole"]) == (200, 500, False)
    assert add(web, b"word " * 500, "second.txt")["is_whole"]


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(PNG)))
        self.end_headers()
        self.wfile.write(PNG)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_address_of_a_picture_brings_the_picture() -> None:
    site = HTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    address = f"http://127.0.0.1:{site.server_address[1]}/lake/heron.png?size=large"
    try:
        found = sources.run("url", address, ChatSettings(allowed_fetch_hosts="127.0.0.1"))
    finally:
        site.shutdown()
        site.server_close()
    assert (found.name, found.kind, found.data, found.source) == ("heron.png", "image", PNG, address)
    assert found.say == "heron.png: a picture from 127.0.0.1"
