"""What the terminal writes of the library, and what it takes an address for: without a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chatbot.core.events import Looked
from chatbot.errors import BadRequest
from chatbot.terminal.footnotes import UNCONFIRMED, UNNAMED, notes, step_text
from chatbot.terminal.shelf_lines import progress_text
from chatbot.terminal.source_kinds import guessed, named
from rag.ingest import Progress


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("https://example.org/tea", "page"),
        ("https://example.org/sitemap.xml", "sitemap"),
        ("https://example.org/paddock.git", "git"),
        ("https://github.com/ggml-org/llama.cpp", "git"),
        ("https://github.com/ggml-org/llama.cpp/wiki", "page"),
        ("git@example.org:paddock.git", "git"),
    ],
)
def test_an_address_tells_what_it_is(name: str, kind: str) -> None:
    assert guessed(name) == kind


def test_a_path_tells_what_it_is_and_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "repository")], check=True)
    assert guessed(str(tmp_path / "repository")) == "git" and guessed(str(tmp_path)) == "folder"
    assert guessed("https://example.org/tea", is_bounded=True) == "crawl"
    assert named(str(tmp_path / "repository"), "folder", {}).kind == "folder"
    with pytest.raises(BadRequest):
        named(str(tmp_path / "nowhere"), None, {})


def test_progress_says_what_is_left_before_what_a_narrow_terminal_cuts() -> None:
    told = progress_text(Progress(3, 1200, 45, 200.0, "file:///home/ada/recipes/soft%20eggs.md"))
    assert told == "3 of 1,200 documents · 3 min left · 45 passages · soft eggs.md"
    assert progress_text(Progress(1, None, 1, None, "")) == "1 document · 1 passage"


def test_footnotes_say_what_is_doubted_also_where_no_tick_can_be_written() -> None:
    source = {"n": 2, "title": "Eggs", "headings": ["Boiling"], "page": 3, "uri": "file:///a%20b/eggs.pdf", "link": ""}
    other = {**source, "n": 1, "page": None, "link": "https://example.org/eggs"}
    library = {
        "steps": [{}],
        "sources": [source, other],
        "marks": [{"n": 2, "confirmed": True}, {"n": 1, "confirmed": True}, {"n": 1, "confirmed": False}],
    }
    told = [note.text for note in notes(library, is_unicode=False)]
    assert told == [
        "[2] ok Eggs > Boiling, page 3",
        "    /a b/eggs.pdf",
        "[1] ? Eggs > Boiling",
        "    https://example.org/eggs",
        UNCONFIRMED,
    ]
    assert [note.text for note in notes({"steps": [{}], "sources": [], "marks": []})] == [UNNAMED]
    assert notes({"steps": [{}], "sources": [source], "marks": []}) == [], "a stopped answer"
    assert notes({"refused": True, "sources": []}) == []
    assert step_text(Looked("why?", 0), {"depth": "quick", "shelves": ["a", "b"]}) == "looked in a, b · nothing found"
    assert step_text(Looked("why?", 2, "", False), {}) == "why? · 2 passages, not enough to answer"
