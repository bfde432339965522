"""What a search gets of each kind of file: text whose parts speak for themselves, or one line that says why not."""

# ruff: noqa: RUF001 - texts in other scripts
from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rag.chunk import chunk
from rag.errors import DocumentRefused
from rag.extract import read, searchable
from rag.sources.folder import Folder
from tests.chat import samples


def refused(name: str, data: bytes) -> str:
    with pytest.raises(DocumentRefused) as caught:
        read(name, data)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_each_row_of_a_table_says_what_its_values_are() -> None:
    made = read("staff.csv", "name,age,town\nZoë,31,Bern\n\nBo,,Köln\n".encode())
    assert made.kind == "table"
    assert made.text == "2 rows. Columns: name, age, town.\n\nname: Zoë; age: 31; town: Bern\n\nname: Bo; town: Köln"


@pytest.mark.parametrize(
    ("data", "row"),
    [
        ("name;price\nA, b;1,50\nC;2,50\n", "name: A, b; price: 1,50"),
        ("name\tprice\nA\t1\nC\t2\n", "name: A; price: 1"),
        ("name|price\nA|1\nC|2\n", "name: A; price: 1"),
        ('"the ""name""",text\nA,"two\nlines"\n', 'the "name": A; text: two lines'),
        ("1,2\n3,4\n", "column 1: 1; column 2: 2"),
        ("day,day\na,b\nc,d\n", "column 1: day; column 2: day"),
        ("Prices of May,\nname,price\nA,1\nB,2\n", "name: A; price: 1"),
        (",name\n1,A\n2,B\n", "column 1: 1; name: A"),
        ("a,b\n1,2,3\n4,5\n", "a: 1; b: 2; column 3: 3"),
        ("# id,name\n1,A\n", "id: 1; name: A"),
        ("just one column\nvalue\n", "just one column: value"),
    ],
)
def test_tables_are_read_whatever_separates_and_names_their_columns(data: str, row: str) -> None:
    assert row in read("a.csv", data.encode()).text.split("\n\n")


def test_a_long_table_is_cut_into_parts_that_a_search_names() -> None:
    rows = "\n".join(f"name {number},{number}" for number in range(1, 121))
    text = read("a.csv", f"name,count\n{rows}\n".encode()).text
    parts = chunk(text, "a.csv")
    assert "## Rows 1 to 50\n\nname: name 1; count: 1\n\n" in text
    assert text.endswith("name: name 120; count: 120")
    assert {each.headings for each in parts[1:]} == {("Rows 1 to 50",), ("Rows 51 to 100",), ("Rows 101 to 120",)}
    # A row is in one piece: a passage never begins with a value without its name.
    assert all(text[each.start :].startswith(("## Rows", "name: ", "120 rows")) for each in parts)


def test_json_says_the_name_before_each_value() -> None:
    value = {
        "title": "Stock",
        "count": 3,
        "exact": True,
        "none": None,
        "owner": {"name": "Zoë", "phone": {"home": "1"}},
        "items": [{"sku": f"A{n}", "price": 1.5, "tags": ["x", "y"]} for n in range(60)],
        "note": "A long text.\n# not a heading\n" + "words " * 80,
    }
    made = read("a.json", json.dumps(value, ensure_ascii=False).encode())
    assert made.kind == "json"
    assert made.text.startswith("title: Stock\ncount: 3\nexact: true\nowner: name: Zoë; phone.home: 1\n\n# items\n\n")
    assert "# items\n\n## Items 1 to 50\n\nsku: A0; price: 1.5; tags: x, y\n\nsku: A1;" in made.text
    assert "# note\n\nA long text.\n\\# not a heading\nwords" in made.text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('{"a": 1}\n{"a": 2.50}\n', "a: 1\n\na: 2.50"),
        ('["x", "y", null]', "- x\n- y"),
        ('{"n": 12345678901234567890123, "f": 1e5}', "n: 12345678901234567890123\nf: 1e5"),
        ('{"a": {"b": 1}}', "a: b: 1"),
        ('{"cut": [1, 2', '{"cut": [1, 2'),
        ("// a comment\n{}", "// a comment\n{}"),
        ("[" * 5_000, "[" * 5_000),
        ("{}", "{}"),
        ("7", "7"),
    ],
    ids=["lines", "list", "numbers", "nested", "damaged", "comments", "deep", "empty", "scalar"],
)
def test_json_of_any_shape_gives_its_text(data: str, text: str) -> None:
    assert read("a.jsonl", data.encode()).text == text


def test_a_notebook_is_its_cells_and_what_they_printed() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Study\n", "Why it is."]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [{"text": ["1\n"]}, {"data": {"text/plain": ["<Figure>"], "image/png": "iVBORw0KGgo" * 99}}],
        },
        {"cell_type": "code", "source": "", "outputs": []},
    ]
    made = read("a.ipynb", json.dumps({"cells": cells, "metadata": {}}).encode())
    assert (made.kind, made.title) == ("markdown", "Study")
    assert made.text == "# Study\nWhy it is.\n\n```python\nprint(1)\n```\n\n```\n1\n```\n\n```\n<Figure>\n```"


@pytest.mark.parametrize(
    ("name", "data", "text", "title"),
    [
        ("a.md", "Top\n===\n\nwords\n\nPart\n---\nmore", "# Top\n\n\nwords\n\n## Part\n\nmore", "Top"),
        ("a.md", "---\ntitle: 'Own'\n---\n# Head\n", "---\ntitle: 'Own'\n---\n# Head", "Own"),
        ("a.md", "```\nnot\n===\n```\n# Yes `x`", "```\nnot\n===\n```\n# Yes `x`", "Yes x"),
        ("a.md", "a | b\n--- | ---\n1 | 2", "a | b\n--- | ---\n1 | 2", ""),
        ("a.md", "- item\n---\nwords", "- item\n---\nwords", ""),
        (
            "a.rst",
            "=====\n Top\n=====\n\nPart\n----\n\nx\n\nNext\n----\n",
            "\n# Top\n\n\n## Part\n\n\nx\n\n## Next\n",
            "Top",
        ),
        ("README", "Name\n====\n\nwords", "# Name\n\n\nwords", "Name"),
        ("a.adoc", "= Top\n\n== Part\n\nx == y", "# Top\n\n## Part\n\nx == y", "Top"),
        ("a.txt", "one\n\n---\n\ntwo", "one\n\n---\n\ntwo", ""),
        ("a.py", "# comment\n=====\nx = 1\n", "# comment\n=====\nx = 1", ""),
    ],
)
def test_headings_of_plain_texts_are_found_and_their_lines_keep_their_numbers(
    name: str, data: str, text: str, title: str
) -> None:
    made = read(name, data.encode())
    assert (made.text.rstrip("\n"), made.title) == (text.rstrip("\n"), title)
    assert [line.strip("# ") for line in made.text.splitlines() if "Part" in line] == (
        ["Part"] if "Part" in data else []
    )
    assert abs(made.text.count("\n") - data.rstrip("\n").count("\n")) <= 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(
            (name, "code")
            for name in ("a.py", "b.RS", "c.f90", "d.tsx", "Makefile", "Dockerfile", "x.graphql", "y.sol")
        ),
        ("run", "code"),
        ("notes.txt", "text"),
        ("LICENSE", "text"),
        ("a.mdx", "markdown"),
    ],
)
def test_code_of_any_language_is_known(name: str, kind: str) -> None:
    data = b"#!/bin/sh\necho\n" if name == "run" else b"\n\nfirst words on line three\n"
    made = read(name, data)
    assert made.kind == kind
    assert made.text == data.decode().rstrip("\n")  # empty lines before it count as lines


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.txt", b"", "is empty"),
        ("a.csv", b"\n \n", "is empty"),
        ("a.png", samples.png(), "is a picture, and only text is kept"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + b"x" * 99, "is a picture, and only text is kept"),
        ("a.tar.gz", gzip.compress(b"x"), "is an archive: unpack it"),
        ("a.zip", samples.archive({"a.txt": "b"}), "is an archive: unpack it"),
        ("a.xlsx", samples.archive({"xl/workbook.xml": ""}), "save the sheet that you mean as CSV"),
        ("a.bin", bytes(range(256)) * 9, "is no text: PDF, DOCX, web pages, tables as CSV, JSON and files of text"),
        ("a.txt", b"abc\0def\0" * 50, "is no text: PDF, DOCX, web pages, tables as CSV, JSON and files of text"),
        ("a.pdf", samples.locked_pdf("secret"), "is encrypted: save a copy without a password"),
        ("a.pdf", b"%PDF-1.7\nnothing", "is a damaged PDF"),
        ("a.docx", samples.docx("x")[:100], "is a damaged DOCX"),
        ("a.pdf", samples.pdf("", ""), "its pages are pictures: run a text recognition"),
        (
            "a.html",
            b"<div id=app></div><script>x()</script>",
            "has no text that can be read without running its scripts",
        ),
        ("a.docx", samples.docx(" " * 60_000_000), "unpacks to more than 50 MB"),
        ("a.txt", b"x" * 4_000_001, "holds 4,000,001 characters, and 4,000,000 are the most: split it"),
        ("a.txt", b"x" * 16_000_001, "holds more than 4,000,000 characters"),
        (
            "a.csv",
            b"name " * 50 + b",b\n" + b"1,2\n" * 20_000,
            "holds more than 4,000,000 characters with its names: split it",
        ),
        ("a.txt", b"x" * 100_000_001, "has 100.0 MB, and 100 MB are the most: split it"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_be_taken_is_said_in_one_line(name: str, data: bytes, said: str) -> None:
    assert said in refused(name, data)


def test_a_file_of_500_megabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(500_000_000)
    (item,) = Folder(tmp_path, read).items()
    with pytest.raises(DocumentRefused, match=r"has 500.0 MB, and 100 MB are the most: split it"):
        item.read()


def test_what_is_read_is_decided_by_the_bytes_and_by_what_the_server_said() -> None:
    assert read("a.txt", samples.pdf("Words")).kind == "pdf"
    assert read("page", b"<p>Zo\xeb</p>", content_type="text/html; charset=latin-1").text == "Zoë"
    assert read("x", b"a,b\n1,2", content_type="text/csv").text.endswith("a: 1; b: 2")
    assert read("a.html", b"<p>as it is</p>", content_type="text/plain").text == "<p>as it is</p>"


@pytest.mark.parametrize(
    ("said", "encoding"),
    [
        ("Во дворе стояла телега с дровами, и старый конь дремал под навесом.", "cp1251"),
        ("Во дворе стояла телега с дровами, и старый конь дремал под навесом.", "koi8-r"),
        ("Во дворе стояла телега с дровами, и старый конь дремал под навесом.", "cp866"),
        ("Το άλογο στεκόταν στην αυλή και έβρεχε όλη μέρα.", "cp1253"),
        ("馬は庭に立っていた。古い納屋の屋根は雨で濡れていた。", "shift-jis"),
        ("马站在院子里，旧谷仓的屋顶被雨淋湿了。", "gb18030"),
        ("말은 마당에 서 있었고 낡은 헛간 지붕은 비에 젖었다.", "euc-kr"),
        ("Überm Gehöft läuft die Stute, Käse für Göttingen.", "cp1252"),
        ("Un café près de la forêt, où l'été s'achève déjà.", "latin-1"),
        ("The mare stands in the yard.", "utf-16-le"),
    ],
)
def test_old_encodings_are_read_though_nobody_names_them(said: str, encoding: str) -> None:
    assert read("a.txt", said.encode(encoding) * 3).text.startswith(said)


def test_a_table_that_was_kept_as_it_is_can_still_be_made_searchable() -> None:
    assert searchable("a,b\n1,2", "table").endswith("a: 1; b: 2")
    assert searchable('{"a": 1}', "json") == "a: 1"
    assert searchable("a,b\n1,2", "text") == "a,b\n1,2"
