"""A shelf follows its source: what is new comes, what changed is made anew, what is gone goes, what fails is told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from rag import probe
from rag.chunk import Limits
from rag.documents import Document
from rag.embed import Vector
from rag.errors import DocumentRefused, LibraryBroken, RagError
from rag.extract import read
from rag.ingest import Failure, Ingest, Progress
from rag.shelves import Shelves
from rag.sources.folder import Folder
from rag.tokens import estimate
from tests.documents.shelf import WordEmbedder, full_disk, library
from tests.fakes import WAIT_S


@dataclass
class Note:
    """A document of a source that lies in memory."""

    uri: str
    text: str
    error: RagError | None = None
    n_read: int = 0
    stamp: str = ""

    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def read(self) -> Document:
        self.n_read += 1
        if self.error:
            raise self.error
        return Document(self.uri, self.uri, self.text, "text", self.sha256())


class Hanging(WordEmbedder):
    """A server that says nothing until its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked_at = threading.Event(), threading.Event()

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.asked_at.set()
        assert self.gate.wait(WAIT_S)
        return super().embed(texts)


class Narrow(Hanging):
    """A server that refuses long texts at once, and says nothing of short ones until its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.max_tokens = 40

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        if any(text == probe.TEXT or estimate(text) > self.max_tokens for text in texts):
            return WordEmbedder.embed(self, texts)
        return super().embed(texts)


def notes(n: int, n_sentences: int = 3) -> list[Note]:
    return [Note(f"{i}.txt", f"Note number {i}. " + f"The llama {i} eats grass. " * n_sentences) for i in range(n)]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Shelves]:
    made = library(tmp_path)
    made.add_shelf("owner", "farm")
    with made.writing() as db:
        db.execute("INSERT INTO sources (id, shelf_id, kind, address, options) VALUES (7, 1, 'memory', 'x', '{}')")
    yield made
    made.close()


def test_all_documents_come_with_their_vectors(index: Shelves, embedder: WordEmbedder) -> None:
    told: list[Progress] = []
    report = Ingest(index, embedder).take(1, notes(200), n_all=200, tell=told.append)
    assert (report.n_new, report.n_changed, report.n_same, report.failures) == (200, 0, 0, [])
    assert report.is_whole
    assert index.n_vectors("words") == (report.n_chunks,) * 2 == (200, 200)
    assert [each.n_done for each in told] == list(range(1, 201))
    assert told[-1].left_s == 0
    assert told[9].left_s is not None


def test_a_refresh_costs_only_what_changed(index: Shelves, embedder: WordEmbedder) -> None:
    items = notes(20)
    ingest = Ingest(index, embedder)
    ingest.take(1, items, source_id=7)
    embedder.asked.clear()
    items[3] = Note("3.txt", items[3].text + "\n\n# New\n\nThe gate is open. " * 3)
    again = ingest.take(1, items, source_id=7)
    assert (again.n_new, again.n_changed, again.n_same) == (0, 1, 19)
    assert [item.n_read for item in items if item.uri != "3.txt"] == [1] * 19
    assert embedder.asked
    assert all("3.txt" in text for text in embedder.asked)


def test_parts_that_did_not_change_are_not_embedded_again(index: Shelves, embedder: WordEmbedder) -> None:
    section = "The llama eats grass in the paddock and sleeps in the barn. " * 3
    item = Note("a.md", "".join(f"## Part {n}\n\n{section}\n\n" for n in range(10)))
    ingest = Ingest(index, embedder)
    n_chunks = ingest.take(1, [item]).n_chunks
    item.text = item.text.replace("## Part 4\n\nThe llama", "## Part 4\n\nThe horse")
    report = ingest.take(1, [item])
    assert report.n_embedded == 1 < n_chunks
    assert index.n_vectors("words") == (n_chunks, n_chunks)


def test_a_document_under_a_new_name_keeps_its_vectors(index: Shelves, embedder: WordEmbedder, tmp_path: Path) -> None:
    old, new = tmp_path / "old.md", tmp_path / "deep" / "new.md"
    old.write_text("".join(f"# Part {n}\n\n" + "The llama eats grass in the paddock. " * 9 + "\n\n" for n in range(9)))
    ingest = Ingest(index, embedder)
    ingest.take(1, Folder(tmp_path, read, ["*.md"]).items(), source_id=7)
    new.parent.mkdir()
    old.rename(new)
    embedder.asked.clear()
    report = ingest.take(1, Folder(tmp_path, read, ["*.md"]).items(), source_id=7)
    assert (report.n_new, report.n_removed, report.n_embedded, embedder.asked) == (1, 1, 0, [])
    assert index.n_vectors("words") == (report.n_chunks,) * 2


def test_what_the_source_no_longer_has_is_forgotten(index: Shelves, embedder: WordEmbedder) -> None:
    ingest = Ingest(index, embedder)
    items = notes(5)
    ingest.take(1, items, source_id=7)
    ingest.take(1, [Note("other.txt", "Of no source.")])
    assert ingest.take(1, items[:3], source_id=7).n_removed == 2
    assert [each.uri for each in index.documents(1)] == ["0.txt", "1.txt", "2.txt", "other.txt"]


def test_a_document_that_fails_is_told_and_keeps_its_old_text(index: Shelves, embedder: WordEmbedder) -> None:
    items = notes(3)
    ingest = Ingest(index, embedder)
    ingest.take(1, items, source_id=7)
    items[1].text, items[1].error = "changed", DocumentRefused("is encrypted: save a copy without a password")
    report = ingest.take(1, [*items, Note("empty.txt", " \n")], source_id=7)
    assert report.failures == [
        Failure("1.txt", "is encrypted: save a copy without a password; the text that was read before is kept"),
        Failure("empty.txt", "has no text"),
    ]
    assert (report.n_same, report.n_removed) == (2, 0)
    assert index.document(2)[1].text == "Note number 1. " + "The llama 1 eats grass. " * 3


def test_without_an_embedder_documents_come_and_their_vectors_follow(index: Shelves, embedder: WordEmbedder) -> None:
    embedder.is_away = True
    ingest = Ingest(index, embedder)
    report = ingest.take(1, notes(30))
    assert (report.n_new, report.without_vectors) == (30, "nobody answers")
    assert index.n_vectors("words") == (0, 30)
    embedder.is_away = False
    assert ingest.fill() == 30
    assert index.n_vectors("words") == (30, 30)
    assert ingest.fill() == 0


def test_a_new_model_takes_over_when_all_its_vectors_are_there(index: Shelves, embedder: WordEmbedder) -> None:
    Ingest(index, embedder).take(1, notes(40))
    newer = Ingest(index, WordEmbedder("newer"))
    stop = threading.Event()
    newer.fill(tell=lambda _, __: stop.set(), is_cancelled=stop.is_set)
    assert index.models() == ["words", "newer"]
    assert 0 < index.n_vectors("newer")[0] < 40
    newer.fill()
    assert index.models() == ["newer"]


def test_a_text_that_the_model_cannot_read_at_once_is_cut_smaller(index: Shelves) -> None:
    embedder = WordEmbedder(max_tokens=60)
    items = [Note("long.txt", "The llama eats grass. " * 200), Note("short.txt", "The gate.")]
    report = Ingest(index, embedder, Limits(max_tokens=200)).take(1, items)
    assert (report.n_new, report.without_vectors) == (2, "")
    n_done, n_all = index.n_vectors("words")
    assert n_done == n_all > 12
    chunks = index.chunks(1)
    assert "".join(items[0].text[each.start : each.end] for each in chunks) == items[0].text


@pytest.mark.parametrize(
    ("heading", "sentence"),
    [
        ("Provisions concerning the rights and obligations of the members of the association ", "Fees are due. "),
        ("员工手册中各项规定以及福利制度的详细说明与适用范围的总体介绍", "员工每年享有二十天带薪年假。"),
    ],
)
def test_titles_longer_than_the_model_reads_do_not_cut_a_text_to_pieces(
    index: Shelves, heading: str, sentence: str
) -> None:
    embedder = WordEmbedder(max_tokens=230)
    above = "\n\n".join(f"{'#' * level} {level} {heading * 4}" for level in range(1, 7))
    Ingest(index, embedder).take(1, [Note("rules.md", f"{above}\n\n{sentence * 200}")])
    chunks = index.chunks(1)
    assert len(chunks) < 40
    assert index.n_vectors("words") == (len(chunks), len(chunks))


def test_only_what_is_too_long_is_cut_smaller_and_asked_again(index: Shelves) -> None:
    sections = [f"# Part {number}\n\n{'The llama eats grass. ' * 8}" for number in range(60)]
    sections[31] = "# Part 31\n\n" + "The llama eats grass. " * 30
    note = Note("long.md", "\n\n".join(sections))
    embedder = WordEmbedder(max_tokens=120)
    report = Ingest(index, embedder, Limits(max_tokens=200)).take(1, [note])
    assert report.n_embedded == len(set(embedder.asked)) == len(embedder.asked)  # none was made twice
    chunks = index.chunks(1)
    assert "".join(note.text[each.start : each.end] for each in chunks) == note.text
    assert index.n_vectors("words") == (len(chunks), len(chunks))
    assert [each.headings for each in chunks].count(("Part 31",)) > 1
    assert [each.headings for each in chunks].count(("Part 30",)) == 1


def test_a_chunk_of_another_model_is_embedded_as_far_as_it_is_read(index: Shelves, embedder: WordEmbedder) -> None:
    Ingest(index, embedder).take(1, [Note("long.txt", "The llama eats grass. " * 40)])
    assert Ingest(index, WordEmbedder("small", max_tokens=40)).fill() == index.n_vectors("small")[1]


def test_a_cancelled_run_keeps_what_it_has_and_removes_nothing(index: Shelves, embedder: WordEmbedder) -> None:
    ingest = Ingest(index, embedder)
    ingest.take(1, notes(10), source_id=7)
    stop = threading.Event()
    items = [Note(f"new{i}.txt", f"New note {i}.") for i in range(300)]
    report = ingest.take(1, items, source_id=7, tell=lambda _: stop.set(), is_cancelled=stop.is_set)
    assert not report.is_whole
    assert report.n_removed == 0
    kept = [each.uri for each in index.documents(1)]
    assert {f"{i}.txt" for i in range(10)} <= set(kept)
    assert ingest.take(1, items, source_id=7).n_new == 300 - report.n_new


def test_a_run_that_shall_stop_does_not_wait_for_a_server_that_hangs(index: Shelves) -> None:
    hanging = Hanging()
    report = Ingest(index, hanging).take(1, notes(300), is_cancelled=hanging.asked_at.is_set)
    hanging.gate.set()
    assert (report.is_whole, report.n_new) == (False, 0)


def test_a_run_that_shall_stop_does_not_wait_for_what_is_cut_smaller(index: Shelves) -> None:
    hanging = Narrow()
    report = Ingest(index, hanging).take(1, [Note("a.txt", "llama " * 90)], is_cancelled=hanging.asked_at.is_set)
    assert not hanging.gate.is_set()
    hanging.gate.set()
    assert (report.is_whole, report.n_new) == (False, 0)


def test_vectors_that_shall_be_made_no_more_do_not_wait_for_a_server_that_hangs(
    index: Shelves, embedder: WordEmbedder
) -> None:
    embedder.is_away = True
    Ingest(index, embedder).take(1, notes(40))
    hanging = Hanging()
    n_made = Ingest(index, hanging).fill(is_cancelled=hanging.asked_at.is_set)
    assert not hanging.gate.is_set()
    hanging.gate.set()
    assert (n_made, index.n_vectors("words")) == (0, (0, 40))


def test_one_document_is_kept_without_vectors_where_a_server_hangs(
    index: Shelves, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.fill._SOON_S", 0.1)
    hanging = Hanging()
    Ingest(index, hanging).put(1, notes(1)[0].read())
    assert not hanging.gate.is_set()
    hanging.gate.set()
    assert index.n_vectors("words") == (0, 1)
    assert Ingest(index, embedder).fill() == 1


@pytest.mark.parametrize("occasion", ["fill", "refresh"])
def test_a_library_that_cannot_be_used_leaves_no_thread_waiting(
    index: Shelves, embedder: WordEmbedder, occasion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> int:
        raise LibraryBroken("cannot be read")

    Ingest(index, embedder).take(1, notes(1))
    embedder.weights = "others"
    before = set(threading.enumerate())
    with pytest.raises(LibraryBroken):
        if occasion == "fill":
            with full_disk(index):
                Ingest(index, embedder).fill()
        else:
            monkeypatch.setattr(index, "n_of_source", broken)
            Ingest(index, embedder).take(1, notes(1), source_id=7)
    left = [each for each in threading.enumerate() if each.name == "requests" and each not in before]
    for each in left:
        each.join(WAIT_S)
    assert not any(each.is_alive() for each in left)
