"""A passage answers by one of its sentences: which these are, when they are asked for, and what they decide."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rag.embed import Vector
from rag.errors import EmbedderAway
from rag.gate import Scale
from rag.nearness import sentences
from rag.search import Search
from rag.words import codes, has_code
from tests.documents.shelf import WordEmbedder, document, library, put
from tests.fakes import WAIT_S
from tests.processes import until

NOTE = """# Notes

Backups run every night at three. Slugs: copper tape kept nearly all of them away from lettuce and beans.

The van has its belt changed at 90,000 kilometres; winter tyres hang in the shed behind the ladder.
"""


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder(n_dims=4096)


@pytest.fixture
def search(tmp_path: Path, embedder: WordEmbedder) -> Iterator[Search]:
    index = library(tmp_path)
    index.add_shelf("anna", "farm")
    put(index, 1, document("notes.md", NOTE), embedder)
    put(index, 1, document("llama.md", "# The llama\n\nThe llama is shorn in spring."), embedder)
    for number in range(6):
        put(index, 1, document(f"{number}.md", f"# Page {number}\n\nOther matters, such as number {number}."), embedder)
    made = Search(index, embedder)
    made.passages("the llama is shorn in spring", [1], 1)  # what is asked once of a model is known then
    yield made
    index.close()


def test_a_note_of_several_matters_answers_by_one_of_its_sentences(search: Search) -> None:
    first = search.passages("Do backups run at night?", [1], 3)[0]
    assert first.uri == "notes.md"
    assert (first.cosine or 0) < search.min_score() <= first.score
    assert search.passages("Which ferries sail?", [1], 3)[0].score < search.min_score()


def test_sentences_are_asked_once_and_only_where_the_gate_depends_on_them(
    search: Search, embedder: WordEmbedder
) -> None:
    embedder.asked.clear()
    clear = search.passages("the llama is shorn in spring", [1], 1)[0]
    assert clear.score >= search.min_score() and embedder.asked == ["the llama is shorn in spring"]
    assert search.passages("Do backups run at night?", [1], 1)
    assert {"Backups run every night at three.", "notes.md\nBackups run every night at three."} <= {*embedder.asked}
    embedder.asked.clear()
    assert search.passages("Which winter tyres?", [1], 1)[0].uri == "notes.md"
    assert embedder.asked == ["Which winter tyres?"]
    chosen = clear.score + 0.01
    search.passages("the llama is shorn in spring", [1], 1, min_score=chosen)
    assert "The llama is shorn in spring." in embedder.asked, "a higher score was chosen"


def test_what_speaks_of_another_code_answers_nothing(embedder: WordEmbedder, tmp_path: Path) -> None:
    index = library(tmp_path / "other")
    index.add_shelf("anna", "farm")
    put(index, 1, document("machine.md", "# Error F21\n\nError F21 means that the drain is blocked."), embedder)
    search = Search(index, embedder)
    assert search.passages("What does error F21 mean?", [1], 1)[0].score >= search.min_score()
    assert search.passages("What does error F05 mean?", [1], 1)[0].score < search.min_score()
    index.close()


def test_a_code_is_known_in_any_spelling() -> None:
    wanted = codes("What do error F21 and HV-88 mean, on x86, in the EU 2021?")
    assert wanted == {"F21", "HV88"} == codes("Are F21 and HV\u201188 codes?")
    for text in ("hv 88", "f-21", "HV\u201188", "HV\u221288", "F\u00a021", "\uff26\uff12\uff11", "F21 and no other"):
        assert has_code(text, wanted), text
    assert not has_code("HV 881 comes after F2", wanted)
    assert has_code("It emits 5 g of CO\u2082.", codes("How much CO2?"))


def test_a_passage_answers_that_names_one_code_of_several_and_first_of_all_the_last(
    embedder: WordEmbedder, tmp_path: Path
) -> None:
    index = library(tmp_path / "other")
    index.add_shelf("anna", "farm")
    put(index, 1, document("seven.md", "# Machine\n\nWhat does error E7 mean? The pump has no water."), embedder)
    search = Search(index, embedder)

    def answering(question: str) -> set[str]:
        return {each.uri for each in search.passages(question, [1]) if each.score >= search.min_score()}

    missing = "What does error E7 mean? And what does error E31 mean?"  # as a question is looked for behind another
    assert answering("What do error E7 and error E31 mean?") == {"seven.md"} and answering(missing) == set()
    put(index, 1, document("more.md", "# Machine\n\nWhat does error E31 mean? The fan is blocked."), embedder)
    assert answering("What do error E7 and error E31 mean?") == {"seven.md", "more.md"}
    assert "more.md" in answering(missing)
    index.close()


def test_without_the_sentences_the_passage_as_a_whole_decides(
    search: Search, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = embedder.embed

    def one(texts: Sequence[str]) -> list[Vector]:
        if len(texts) > 1:
            raise EmbedderAway("busy")
        return embed(texts)

    monkeypatch.setattr(embedder, "embed", one)
    found = search.passages("Do backups run at night?", [1], 3)
    assert found[0].uri == "notes.md" and found[0].score < search.min_score()
    monkeypatch.undo()
    assert search.passages("Do backups run at night?", [1], 3)[0].score >= search.min_score()


def test_a_slow_server_is_not_asked_for_all_sentences(
    search: Search, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.nearness._LONGEST_S", -1.0)
    embedder.asked.clear()
    assert search.passages("Do backups run at night?", [1], 3)[0].score < search.min_score()
    assert embedder.asked == ["Do backups run at night?"]


def test_a_server_that_hangs_holds_no_search_up_and_what_it_makes_late_is_remembered(
    search: Search, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, go_on = embedder.embed, threading.Event()

    def hang(texts: Sequence[str]) -> list[Vector]:
        if len(texts) == 1:
            return embed(texts)
        go_on.wait(WAIT_S)
        return embed(texts)

    monkeypatch.setattr(embedder, "embed", hang)
    monkeypatch.setattr("rag.nearness._LONGEST_S", 0.1)
    began = time.monotonic()
    assert search.passages("Do backups run at night?", [1], 3)[0].score < search.min_score()
    assert time.monotonic() - began < WAIT_S / 2
    go_on.set()
    monkeypatch.setattr("rag.nearness._LONGEST_S", -1.0)
    until(lambda: search.passages("Do backups run at night?", [1], 3)[0].score >= search.min_score(), "the sentences")


def test_what_a_server_made_before_it_went_away_counts_and_is_not_asked_again(
    search: Search, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, asked = embedder.embed, []

    def fail(texts: Sequence[str]) -> list[Vector]:
        asked.extend(texts)
        if len(texts) > 1 and len(asked) > 1 + len(texts):
            raise EmbedderAway("gone")
        return embed(texts)

    monkeypatch.setattr(embedder, "embed", fail)
    monkeypatch.setattr("rag.nearness._AT_ONCE", 2)
    assert search.passages("Do backups run at night?", [1], 3)[0].score >= search.min_score()
    made = asked[1:3]
    monkeypatch.undo()
    embedder.asked.clear()
    search.passages("Do backups run at night?", [1], 3)
    assert made and not {*made} & {*embedder.asked} and len(embedder.asked) > 1


def test_a_sentence_that_the_model_cannot_read_is_left_out(search: Search, embedder: WordEmbedder) -> None:
    embedder.max_tokens = 10
    assert search.passages("Do backups run at night?", [1], 1)[0].score >= search.min_score()


def test_what_counts_of_a_passage() -> None:
    scale = Scale(0.1, 0.6)
    assert scale.min_score == pytest.approx(0.57)
    assert scale.score(0.3, None, 0.0) == pytest.approx(0.3)
    assert scale.score(0.3, 0.6, 0.0) == pytest.approx(0.54)
    assert scale.score(0.3, 0.2, 0.0) == pytest.approx(0.3), "a sentence takes nothing away"
    assert scale.score(0.3, 0.6, 0.5) == pytest.approx(0.64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wool is spun. It is dyed! Is it? Yes", ["Wool is spun.", "It is dyed!", "Is it?", "Yes"]),
        ('He said "no." Then he left.', ['He said "no.', "Then he left."]),
        ("- eggs: 6\n- milk\n3. bread", ["eggs:", "6", "milk", "bread"]),
        ("| Room | Price |\n| --- | --- |\n| Lily | 55 |", ["Room | Price |", "Lily | 55 |"]),
        ("Slugs: copper tape; beer helps too.", ["Slugs:", "copper tape;", "beer helps too."]),
        ("Year: 2019; Sales: 450\nYear: 2020; Sales: 500", ["Year: 2019; Sales: 450", "Year: 2020; Sales: 500"]),
        (f"{'A line of a wrapped paragraph ' * 2}\ngoes on.", [f"{'A line of a wrapped paragraph ' * 2}goes on."]),
        ("東京は首都です。人口は多い。", ["東京は首都です。", "人口は多い。"]),
        ("# The llama\n\n***\n", ["The llama"]),
        ("x" * 500, ["x" * 240]),
        ("", []),
    ],
)
def test_sentences_items_and_rows_are_told_apart(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected
