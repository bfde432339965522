"""The library on the page where something is missing: embeddings, a sound index, chats, the server itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chatbot.core.library import open_library
from chatbot.core.store import OWNER
from chatbot.settings import WebSettings
from tests.chat.browser import Browser
from tests.chat.test_library_web import add_folder, ended, shelf_of, written
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import chatbot, running, until


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return written(tmp_path / "docs")


def test_without_embeddings_words_find_and_the_vectors_come_later(tmp_path: Path, docs: Path) -> None:
    with FakeServer() as model, running(chatbot(model.url, tmp_path / "data")) as web:
        model.models = [{"id": "fake-model", "object": "model", "meta": {"kind": "chat"}}]
        page = Browser(web.url)
        until(lambda: "makes embeddings" in page.call("library")["embedding"]["notice"], "what to do")
        shelf = shelf_of(page, "words")
        assert ended(page, add_folder(page, shelf, docs))["state"] == "ok"
        found = page.call("find", {"text": "How long do eggs boil?", "shelf_ids": [shelf]})["passages"]
        assert (found[0]["title"], found[0]["cosine"]) == ("Eggs", None)
        model.embeds = True

        def has_vectors() -> bool:
            told = page.call("library")["embedding"]
            return bool(told["is_there"] and told["n_done"] == told["n_all"] > 0)

        until(has_vectors, "the vectors")
        found = page.call("find", {"text": "How long do eggs boil?", "shelf_ids": [shelf]})["passages"]
        assert found[0]["cosine"] > 0
        page.client.disconnect()


def test_a_library_that_is_damaged_keeps_nobody_from_chatting(tmp_path: Path) -> None:
    (tmp_path / "library.db").write_bytes(b"no database at all, but as long as the head of one. " * 100)
    with FakeServer(["Hello.", Finish()]) as model, running(chatbot(model.url, tmp_path)) as web:
        page = Browser(web.url)
        told = page.call("library")["error"]
        assert told["code"] == "library_broken" and "library.db" in told["message"]
        sent = page.call("send", {"text": "Hello?"})
        assert page.end_of(sent["answer"]["id"])["status"] == "done"
        assert page.call("admin")["storage"]["library_bytes"] > 0
        asked = page.call("send", {"text": "Is it there?", "options": {"library": "attic"}})
        assert page.end_of(asked["answer"]["id"])["error"]["message"] == told["message"]
        page.client.disconnect()
        assert web.terminate() == 0


def test_what_was_kept_of_files_whose_chats_are_gone_is_forgotten(tmp_path: Path) -> None:
    with FakeServer() as model:
        model.embeds = True
        settings = WebSettings(data_dir=str(tmp_path), url=model.url)
        door = open_library(settings, settings.database())
        shelf = door.open().index.hidden_shelf(OWNER)
        door.open().add_text(OWNER, shelf.id, "chat:no-such-file", "long.txt", "Words that nobody has.", "text")
        with running(chatbot(model.url, tmp_path)):
            until(lambda: door.open().text_bytes(OWNER) == 0, "the end of a text that no chat has")
        door.close()


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_run_that_the_end_of_the_server_cuts_off_goes_on_at_the_next_start(
    tmp_path: Path, docs: Path, how: str
) -> None:
    for n in range(40):
        (docs / f"{n}.md").write_text(f"# Note {n}\n\n" + "It says something about notes of the barn. " * 40)
    with FakeServer() as model:
        model.embeds, model.embed_gate = True, Gate()
        with running(chatbot(model.url, tmp_path / "data")) as web:
            page = Browser(web.url)
            shelf = shelf_of(page, "notes")
            source = add_folder(page, shelf, docs)
            model.embed_gate.wait_until_reached()
            if how == "kill":
                web.kill()
            else:
                web.terminate()
            with suppress(Exception):
                page.client.disconnect()
        gate, model.embed_gate = model.embed_gate, None
        gate.open()
        with running(chatbot(model.url, tmp_path / "data")) as web:
            page = Browser(web.url)

            def state() -> dict[str, Any]:
                (told,) = page.call("library")["shelves"][0]["sources"]
                return dict(told)

            until(lambda: state()["state"] == "ok", "the end of the run")
            assert (state()["id"], state()["n_documents"], state()["n_failures"]) == (source, 42, 1)
            uris = [each["uri"] for each in page.call("shelf", {"shelf_id": shelf})["documents"]]
            assert len(uris) == len(set(uris)) == 42
            page.client.disconnect()
