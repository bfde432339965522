"""Chats with sources in files: Markdown shows them under the answer, both forms bring them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.library.returned import relinked
from chatbot.core.transfer import clean, markdown, own
from chatbot.core.transfer.values import ImportedChat
from tests.chat.grounded import EGGS, Stage, says
from tests.fakes import FakeServer


@pytest.fixture
def stage(tmp_path: Path, fake_server: FakeServer) -> Iterator[Stage]:
    made = Stage(tmp_path, fake_server)
    made.shelf("cooking", eggs=EGGS)
    made.server.scripts = [says("Boil eggs for nine minutes [1]. They dance in nine hats [1].")]
    yield made
    made.close()


def test_markdown_shows_the_sources_under_the_answer_and_gives_them_back(stage: Stage) -> None:
    answer = stage.ask("How long do I boil eggs?", library="cooking")
    branch = stage.store.messages(answer.chat_id)
    text = markdown.write(stage.store.chat(answer.chat_id), branch, {}, {})
    assert "Sources:\n\n- \\[1\\] Boiling: file:eggs.md (not confirmed)\n" in text
    read = markdown.read(text).messages[-1]
    assert read.content == answer.content
    kept = answer.meta["library"]
    assert read.meta["library"] == {**kept, "sources": [{**each, "document_id": 0} for each in kept["sources"]]}


def test_json_gives_the_sources_back(stage: Stage) -> None:
    answer = stage.ask("How long do I boil eggs?", library="cooking", depth="quick")
    chat, tree = stage.store.chat(answer.chat_id), stage.store.tree(answer.chat_id)
    text = own.write(chat, tree, {}, stage.store.options(chat.id))
    read = own.read(json.loads(text))
    assert read.messages[-1].meta["library"]["marks"] == answer.meta["library"]["marks"]
    assert read.messages[-1].meta["library"]["sources"][0]["text"] == answer.meta["library"]["sources"][0]["text"]
    assert read.options == {"library": "cooking", "depth": "quick"}


def test_imported_sources_lead_to_the_same_passages_where_the_library_has_them(stage: Stage, tmp_path: Path) -> None:
    answer = stage.ask("How long do I boil eggs?", library="cooking")
    text = own.write(stage.store.chat(answer.chat_id), stage.store.tree(answer.chat_id), {}, {})
    kept = answer.meta["library"]["sources"]

    def brought_back(owner_id: str = "owner") -> list[int]:
        [chat] = relinked([own.read(json.loads(text))], stage.door, owner_id)
        assert isinstance(chat, ImportedChat)
        return [each["document_id"] for each in chat.messages[-1].meta["library"]["sources"]]

    assert brought_back() == [each["document_id"] for each in kept] != [0]
    assert brought_back("eve") == [0]
    [shelf] = stage.door.open().index.shelves("owner")
    stage.door.open().add_file("owner", shelf.id, "eggs.md", b"# Boiling\n\nNobody boils eggs any more.\n")
    assert brought_back() == [0]


def test_what_a_stranger_wrote_as_grounds_is_made_harmless() -> None:
    found = {
        "shelves": ["a\0b", 7, {}],
        "files": [["x"], "manual.md"],
        "depth": "deep",
        "refused": "yes",
        "best_score": float("nan"),
        "steps": ["x", {"question": "q", "n_passages": -1, "answer": 3, "is_answered": "no"}],
        "sources": [None, {"n": 1, "link": "javascript:alert(1)", "document_id": 5, "headings": [1, "h"], "page": "x"}],
        "marks": [{"n": "1", "confirmed": 1, "quote": ["x"]}],
        "more": "x",
    }
    told = clean.meta({"library": found, "files": {"whole": "x", "parts": ["manual.md", 3], "more": 1}})
    kept, files = told["library"], told["files"]
    assert (kept["files"], files) == (["", "manual.md"], {"whole": [], "parts": ["manual.md", ""]})
    assert set(kept) == {
        *("shelves", "files", "depth", "refused", "whole", "best_score", "steps", "sources", "marks", "n_dropped"),
    }
    assert (kept["depth"], kept["refused"], kept["best_score"]) == ("quick", False, None)
    [source] = kept["sources"]
    assert (source["link"], source["document_id"], source["page"], source["n"]) == ("", 0, None, 1)
    assert kept["steps"] == [{"question": "q", "n_passages": 0, "answer": "", "is_answered": None}]
    assert kept["marks"] == [{"n": 0, "confirmed": False, "quote": ""}]
