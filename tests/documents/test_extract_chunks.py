"""What is read of any file can be cut into chunks, and the chunks joined are all of it."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rag.chunk import chunk
from rag.extract import read
from rag.extract.marked import marked
from rag.extract.page import readable
from rag.extract.tables import json_text, table
from tests.chat import samples

TAGS = ("p", "h1", "h2", "div", "ul", "li", "table", "tr", "td", "th", "pre", "code", "a", "b", "dl", "dt", "dd", "br")
PIECES = some.one_of(
    some.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]),
    some.sampled_from(
        ['<a href="#x">¶</a>', "<!-- x -->", "<td rowspan=3>", "<nav>", "</nav>", "<![CDATA[", "]]>", "&#8212;"]
    ),
    some.text("word #`|*\n\t<&;é¶", max_size=12),
)
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def joined(text: str) -> str:
    return "".join(text[each.start : each.end] for each in chunk(text, "Title"))


@given(some.lists(PIECES, max_size=60))
@settings(deadline=None)
def test_any_page_is_read_and_its_chunks_joined_are_its_text(pieces: list[str]) -> None:
    text = readable("".join(pieces), "https://site.test/", is_plain=True).markdown
    assert joined(text) == text
    assert "\n\n\n" not in text or "```" in text


@given(VALUES)
@settings(deadline=None)
def test_any_json_is_read_with_all_of_its_values(value: object) -> None:
    text = json_text(json.dumps(value), "json").text
    assert not text.strip() or joined(text) == text


CELLS = some.text('ab1 #",\n\u00e9', max_size=8)


@given(some.lists(some.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=8))
@settings(deadline=None)
def test_any_table_keeps_every_value_of_its_rows(rows: list[list[str]]) -> None:
    made = io.StringIO()
    csv.writer(made).writerows([["first", "second"], ["x", "y"], *rows])
    text = table(made.getvalue()).text
    for cell in (cell for row in rows for cell in row):
        assert " ".join(cell.split()) in text


@given(some.sampled_from(["a.md", "a.rst", "a.txt", "a.adoc"]), some.text("ab#=-~ \n\t`", max_size=200))
@settings(deadline=None)
def test_any_plain_text_keeps_its_lines_where_they_are(name: str, text: str) -> None:
    made = marked(name, text, "markdown" if name == "a.md" else "text").text
    assert made.count("\n") == text.count("\n")
    for before, after in zip(text.split("\n"), made.split("\n"), strict=True):
        assert "".join(before.split()).strip("#=-~`") in after.replace(" ", "").replace("\t", "") or not after


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pdf", samples.pdf(*("Words of a page. " * 40 for _ in range(5)))),
        (
            "a.docx",
            samples.docx("".join(samples.paragraph(f"Word {n}", "Heading1" if n % 9 == 0 else "") for n in range(99))),
        ),
        ("a.csv", b"name,count\n" + b"A thing,1\n" * 200),
        ("a.json", json.dumps([{"id": n, "deep": {"x": "words " * n}} for n in range(60)]).encode()),
        ("a.html", b"<h1>A</h1>" + b"<p>Words in a page. </p><pre>code\n\n\nmore</pre>" * 60),
        ("a.py", b"def f():\n    return 1\n\n\n" * 200),
    ],
)
def test_the_chunks_of_each_kind_joined_are_its_text(name: str, data: bytes) -> None:
    text = read(name, data).text
    assert joined(text) == text
    assert len(chunk(text)) > 1
