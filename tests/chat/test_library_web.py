"""The library over real sockets: shelves, runs that go on in the background, searches, answers that say where from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat.browser import Browser
from tests.chat.grounded import held
from tests.chat.readers import put_on_shelf
from tests.chat.residents import ask
from tests.fakes import FakeServer, Finish, Gate, Refuse
from tests.processes import Process, chatbot, running, until

EGGS = "# Eggs\n\n## Boiling\n\nEggs boil for seven minutes in salted water.\n\n## Frying\n\nFry them in butter.\n"
HAY = "Ponies eat hay twice a day, and need water all the time."


@pytest.fixture(scope="module")
def embedder() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.embeds = True
        yield server


@pytest.fixture(scope="module")
def web(embedder: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(chatbot(embedder.url, tmp_path_factory.mktemp("chat"), "--max_file_mb", "1")) as process:
        yield process


@pytest.fixture
def model(embedder: FakeServer) -> FakeServer:
    """The model server, without what earlier tests left."""
    embedder.scripts = [["something", Finish()]]
    embedder.by_words.clear()
    embedder.requests.clear()
    embedder.embedded.clear()
    embedder.embed_gate = embedder.embed_refusal = None
    return embedder


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return written(tmp_path / "docs")


def written(folder: Path) -> Path:
    """A folder of three files, one of which cannot be read."""
    folder.mkdir()
    (folder / "eggs.md").write_text(EGGS)
    (folder / "hay.txt").write_text(HAY)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    return folder


def shelf_of(page: Browser, name: str, **more: Any) -> int:
    made = page.call("shelf_add", {"name": name, **more})
    assert made["ok"], made
    return int(made["shelf"]["id"])


def add_folder(page: Browser, shelf_id: int, folder: Path, **options: Any) -> int:
    added = page.call(
        "source_add", {"shelf_id": shelf_id, "kind": "folder", "address": str(folder), "options": options}
    )
    assert added["ok"], added
    return int(added["source"]["id"])


def runs_of(page: Browser, source_id: int) -> list[dict[str, Any]]:
    return [body["source"] for name, body in page.heard if name == "library_run" and body["source"]["id"] == source_id]


def ended(page: Browser, source_id: int, n_ends: int = 1) -> dict[str, Any]:
    """The source at the end of its run, or of its second one."""
    ends = ("ok", "failed", "stopped")

    def found() -> list[dict[str, Any]]:
        return [each for each in runs_of(page, source_id) if each["state"] in ends]

    page.until(lambda: len(found()) >= n_ends)
    return found()[n_ends - 1]


def filled(page: Browser, shelf_name: str, folder: Path) -> int:
    """A shelf with the documents of a folder; its id."""
    shelf = shelf_of(page, shelf_name)
    ended(page, add_folder(page, shelf, folder))
    return shelf


def test_a_folder_on_a_shelf_is_read_with_progress_and_what_cannot_be_read_is_told(
    page: Browser, model: FakeServer, docs: Path
) -> None:
    shelf = shelf_of(page, "kitchen")
    source = add_folder(page, shelf, docs, only=["*.md", "*.txt", "*.pdf"])
    last = ended(page, source)
    assert (last["state"], last["n_documents"], last["n_failures"], last["progress"]) == ("ok", 2, 1, None)
    assert runs_of(page, source)[0]["state"] == "running"
    (failure,) = page.call("source_failures", {"source_id": source})["failures"]
    assert failure["uri"].endswith("broken.pdf") and failure["reason"]
    (told,) = [each for each in page.call("library")["shelves"] if each["id"] == shelf]
    assert (told["n_documents"], told["is_own"], told["sources"][0]["options"]["only"][0]) == (2, True, "*.md")
    listed = page.call("shelf", {"shelf_id": shelf})
    assert [each["title"] for each in listed["documents"]] == ["Eggs", "hay.txt"]
    assert (listed["n_documents"], listed["more"]) == (2, False)
    assert [each["title"] for each in page.call("shelf", {"shelf_id": shelf, "text": "hay"})["documents"]] == [
        "hay.txt"
    ]
    assert len(model.embedded) >= 2


def test_a_search_tells_scores_and_each_passage_opens_where_it_stands(
    page: Browser, model: FakeServer, docs: Path
) -> None:
    shelf = filled(page, "searched", docs)
    found = page.call("find", {"text": "How long do eggs boil?", "shelf_ids": [shelf]})
    best = found["passages"][0]
    assert (best["title"], best["shelf"], best["n"], best["is_enough"]) == ("Eggs", "searched", 1, True)
    assert best["score"] >= found["min_score"] and best["cosine"] > 0
    at = {"document_id": best["document_id"], "start": best["start"], "end": best["end"]}
    opened = page.call("document", at)
    assert opened["text"][best["start"] - opened["from"] : best["end"] - opened["from"]] == best["text"]
    assert "seven minutes" in best["text"] and opened["document"]["shelf_id"] == shelf
    nothing = page.call("find", {"text": "violin concerto", "shelf_ids": [shelf]})
    assert not any(each["is_enough"] for each in nothing["passages"])


def test_a_long_document_comes_in_parts(page: Browser, web: Process, model: FakeServer) -> None:
    shelf = shelf_of(page, "long")
    text = "\n".join(f"line {n:05}{'' if n % 8 else chr(10)}" for n in range(20_000))
    put = put_on_shelf(web, "", "long.txt", shelf, text).body
    first = page.call("document", {"document_id": put["document_id"]})
    assert (first["from"], first["text"], first["document"]["n_chars"]) == (0, text[:60_000], len(text))
    middle = page.call("document", {"document_id": put["document_id"], "start": 110_000, "end": 110_010})
    assert middle["text"].startswith("line ") and text[110_000:110_010] in middle["text"]
    assert text[middle["from"] :].startswith(middle["text"]) and len(middle["text"]) == 60_000
    rest = page.call("document", {"document_id": put["document_id"], "start": middle["from"] + 60_000})
    assert rest["text"] == text[middle["from"] + 60_000 :][:60_000]


def test_an_answer_rests_on_passages_and_one_that_is_not_there_is_refused(
    page: Browser, model: FakeServer, docs: Path
) -> None:
    filled(page, "asked", docs)
    model.scripts = [["Seven minutes", " in salted water [1].", Finish()]]
    sent = page.call("send", {"text": "How long do eggs boil?", "options": {"library": "asked"}})
    page.end_of(sent["answer"]["id"])
    answer = page.call("open", {"chat_id": sent["chat"]["id"]})["messages"][-1]
    grounds = answer["meta"]["library"]
    assert (grounds["shelves"], grounds["refused"], [each["title"] for each in grounds["sources"]]) == (
        ["asked"],
        False,
        ["Eggs"],
    )
    assert held(grounds["marks"]) == [(1, True)]
    assert grounds["marks"][0]["quote"] in " ".join(grounds["sources"][0]["text"].split())
    told = [each for each in page.events_of(sent["answer"]["id"]) if each["type"] == "grounds"]
    assert told[-1]["library"] == grounds
    assert "seven minutes" in json.dumps(model.requests[-1]["messages"])
    n_asked = len(model.requests)
    refused = page.call("send", {"text": "Who wrote the violin concerto?", "chat_id": sent["chat"]["id"]})
    page.end_of(refused["answer"]["id"])
    answer = page.call("open", {"chat_id": sent["chat"]["id"]})["messages"][-1]
    assert (answer["status"], answer["meta"]["library"]["refused"]) == ("done", True)
    assert len(model.requests) == n_asked  # no model is asked
    exported = ask(f"{page.client.connection_url}/export/{sent['chat']['id']}.json").body
    assert grounds in [message["meta"].get("library") for message in exported["messages"]]


def test_a_run_is_stopped_and_goes_on_when_it_is_asked_for_again(page: Browser, model: FakeServer, docs: Path) -> None:
    model.embed_gate = gate = Gate()
    shelf = shelf_of(page, "stopped")
    source = add_folder(page, shelf, docs)
    gate.wait_until_reached()
    assert page.call("source_stop", {"source_id": source})["stopped"] is True
    model.embed_gate = None
    gate.open()
    assert ended(page, source)["state"] in {"stopped", "ok"}
    page.call("source_refresh", {"source_id": source})
    assert ended(page, source, 2)["n_documents"] == 2
    assert page.call("source_stop", {"source_id": source})["stopped"] is False


def test_a_shelf_that_is_deleted_while_it_is_read_comes_back_and_is_read_on(
    page: Browser, model: FakeServer, docs: Path
) -> None:
    model.embed_gate = gate = Gate()
    shelf = shelf_of(page, "deleted")
    source = add_folder(page, shelf, docs)
    gate.wait_until_reached()
    assert page.call("shelf_delete", {"shelf_id": shelf})["ok"]
    model.embed_gate = None
    gate.open()

    def can_be_read_again() -> bool:
        told = page.call("shelf_restore", {"shelf_id": shelf})["shelf"]
        return bool(told["sources"][0]["state"] != "running")

    until(can_be_read_again, "the end of the run")
    page.call("source_refresh", {"source_id": source})

    def whole() -> list[Any]:
        return [each for each in runs_of(page, source) if each["state"] == "ok"]

    until(whole, "the whole run")  # whether the end of the first one was told here is left open: the shelf was gone
    assert whole()[0]["n_documents"] == 2


def test_a_source_that_is_being_read_can_be_removed(page: Browser, model: FakeServer, docs: Path) -> None:
    model.embed_gate = gate = Gate()
    shelf = shelf_of(page, "removed")
    source = add_folder(page, shelf, docs)
    gate.wait_until_reached()
    gate.open()
    assert page.call("source_remove", {"source_id": source})["ok"]
    model.embed_gate = None
    assert page.call("shelf", {"shelf_id": shelf})["documents"] == []
    assert page.call("source_refresh", {"source_id": source})["error"]["code"] == "unknown_shelf"


def test_a_file_dropped_on_a_shelf_is_found_and_its_deletion_undone(
    page: Browser, web: Process, model: FakeServer
) -> None:
    shelf = shelf_of(page, "dropped")
    put = put_on_shelf(web, "", "barn.md", shelf, "# Barn\n\nThe barn is red.")
    assert (put.status, put.body["name"], put.body["n_chars"]) == (200, "barn.md", 24)
    again = put_on_shelf(web, "", "barn.md", shelf, "# Barn\n\nThe barn is green.")
    assert again.body["document_id"] == put.body["document_id"]
    wanted = {"text": "What colour is the barn?", "shelf_ids": [shelf]}
    assert "green" in page.call("find", wanted)["passages"][0]["text"]
    assert page.call("document_delete", {"document_ids": [put.body["document_id"]]}) == {"ok": True, "n": 1}
    assert page.call("find", wanted)["passages"] == []
    assert page.call("document_restore", {"document_ids": [put.body["document_id"]]})["ok"]
    assert "green" in page.call("find", wanted)["passages"][0]["text"]


@pytest.mark.parametrize(
    ("name", "data", "status", "code", "said"),
    [
        ("a.txt", "x" * 1_000_001, 413, "file_too_large", "1 MB are the most"),
        ("a.txt", "", 415, "document_refused", "empty"),
        ("a.pdf", "%PDF-1.7 no", 415, "document_refused", ""),
    ],
)
def test_a_file_that_a_shelf_cannot_take_is_refused_in_a_sentence(
    page: Browser, web: Process, model: FakeServer, name: str, data: str, status: int, code: str, said: str
) -> None:
    shelf = next((s["id"] for s in page.call("library")["shelves"] if s["name"] == "refused"), 0)
    refused = put_on_shelf(web, "", name, shelf or shelf_of(page, "refused"), data)
    assert (refused.status, refused.body["error"]["code"]) == (status, code)
    assert said in refused.body["error"]["message"]


def test_another_page_cannot_put_files_on_a_shelf(page: Browser, web: Process, model: FakeServer) -> None:
    shelf = shelf_of(page, "guarded")
    address, kind = f"{web.url}/library/{shelf}/files", "multipart/form-data; boundary=xx"
    assert ask(address, b"--xx--\r\n", Content_Type=kind, X_Paddock="0").status == 403
    assert ask(address, b"--xx--\r\n", Content_Type=kind, Origin="http://evil.test").status == 403


def test_half_a_character_is_no_failure(page: Browser, model: FakeServer) -> None:
    shelf = shelf_of(page, "half \ud83e")
    assert page.call("find", {"text": "llama \ud83e", "shelf_ids": [shelf]})["ok"]


def test_a_shelf_is_renamed_deleted_and_brought_back(page: Browser, model: FakeServer) -> None:
    shelf = shelf_of(page, "old name")
    assert page.call("shelf_add", {"name": "Old Name"})["error"]["code"] == "library_error"
    assert page.call("shelf_change", {"shelf_id": shelf, "name": "new name"})["shelf"]["name"] == "new name"
    assert page.call("shelf_delete", {"shelf_id": shelf})["ok"]
    assert shelf not in [each["id"] for each in page.call("library")["shelves"]]
    assert page.call("find", {"text": "x", "shelf_ids": [shelf]})["error"]["code"] == "unknown_shelf"
    assert page.call("shelf_restore", {"shelf_id": shelf})["shelf"]["name"] == "new name"
    assert shelf in [each["id"] for each in page.call("library")["shelves"]]


def test_names_that_may_stand_behind_a_hash_are_told(page: Browser, model: FakeServer, docs: Path) -> None:
    filled(page, "eggheads", docs)
    names = page.call("mentions", {"text": "egg"})["names"]
    assert {"name": "eggheads", "kind": "shelf", "shelf": "eggheads"} in names
    assert {"name": "Eggs", "kind": "document", "shelf": "eggheads"} in names
    assert len(page.call("mentions", {"text": ""})["names"]) <= 12


@pytest.mark.parametrize("typed", ["the big", "The big  barn", "big barn of", "wood"])
def test_title_with_quotes_is_found_while_it_is_typed_without_them(page: Browser, web: Process, typed: str) -> None:
    title = 'The "big" barn of "wood"'
    if title not in str(page.call("mentions", {"text": "barn"})):
        assert put_on_shelf(web, "", "barn.md", shelf_of(page, "barns"), f"# {title}\n\nOf slate.\n").status == 200
    assert title in [each["name"] for each in page.call("mentions", {"text": typed})["names"]]


@pytest.mark.parametrize("path", ["/library", "/library/1", "/library/document/1?at=3-9"])
def test_the_librarys_pages_are_the_chats_shell(web: Process, path: str) -> None:
    shown = ask(web.url + path, Accept="text/html")
    assert (shown.status, shown.text) == (200, ask(f"{web.url}/", Accept="text/html").text)


@pytest.mark.parametrize(
    ("event", "body", "said"),
    [
        ("shelf", {"shelf_id": "1"}, "shelf_id must be a whole number"),
        ("shelf_add", {"name": " "}, "a shelf's name has 1 to"),
        ("find", {"text": " ", "shelf_ids": []}, "write what is looked for"),
        ("source_refresh", {"source_id": True}, "source_id must be"),
        ("document_delete", {"document_ids": 1}, "document_ids must be a list"),
        ("document", {"document_id": 2**60}, "document_id must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(page: Browser, event: str, body: dict[str, Any], said: str) -> None:
    assert said in page.call(event, body)["error"]["message"]


def test_a_source_that_cannot_be_read_says_why_and_others_go_on(page: Browser, model: FakeServer, docs: Path) -> None:
    shelf = shelf_of(page, "mixed")
    wrong = page.call("source_add", {"shelf_id": shelf, "kind": "folder", "address": "/not/there", "options": {}})
    assert "/not/there" in wrong["error"]["message"]
    page_source = {"shelf_id": shelf, "kind": "page", "address": "http://127.0.0.1:9/", "options": {}}
    away = page.call("source_add", page_source)["source"]["id"]
    here = add_folder(page, shelf, docs)
    assert ended(page, here)["state"] == "ok"
    failed = ended(page, away)
    assert failed["problem"] or failed["n_failures"]


def test_a_watched_folder_is_read_again_when_a_file_comes(page: Browser, model: FakeServer, docs: Path) -> None:
    shelf = shelf_of(page, "watched")
    source = add_folder(page, shelf, docs, watch=True)
    assert ended(page, source)["n_documents"] == 2
    (docs / "new.md").write_text("# Saddles\n\nA saddle is oiled in May.")
    assert ended(page, source, 2)["n_documents"] == 3


def test_a_search_without_the_embedding_server_finds_by_words_and_says_so(
    page: Browser, model: FakeServer, docs: Path
) -> None:
    shelf = shelf_of(page, "alone")
    ended(page, add_folder(page, shelf, docs))
    asked = {"text": "How long do eggs boil?", "shelf_ids": [shelf]}
    assert page.call("find", asked)["notice"] == ""
    model.embed_refusal = Refuse(500, "broken")
    told = page.call("find", asked)
    assert told["passages"][0]["title"] == "Eggs" and told["passages"][0]["is_enough"]
    assert told["notice"].startswith("This was found by words alone, not by what they mean: ")
