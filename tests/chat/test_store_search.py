"""Search: any text is harmless, words are found as they begin, and a large database answers at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.events import Status
from chatbot.core.store import Store
from tests.chat.measure_store import fill, measure


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "chat.db")
    yield opened
    opened.close()


def say(store: Store, text: str, answer: str, title: str = "") -> str:
    user, made = store.add_turn(None, text, None)
    store.save(made.id, answer, Status.DONE, {})
    if title:
        store.rename(user.chat_id, title)
    return user.chat_id


def found(store: Store, text: str) -> list[str]:
    return [hit.snippet for hit in store.search(text)]


def test_words_are_found_as_they_begin_whatever_their_case_and_accents(store: Store) -> None:
    say(store, "Where is the Café?", "The horses are in the paddock, near the café.", "x")
    assert found(store, "PADD") == ["The horses are in the paddock, near the café."]
    assert len(found(store, "cafe")) == 2
    assert found(store, "horses near") == ["The horses are in the paddock, near the café."]
    assert found(store, "addock") == []
    assert found(store, "horses away") == []


def test_a_hit_says_where_in_its_line_the_match_is(store: Store) -> None:
    say(store, "x", "lorem ipsum " * 50 + "the\nneedle here " + "dolor " * 50, "x")
    (hit,) = store.search("needle")
    assert hit.snippet[hit.start : hit.end] == "needle"
    assert hit.snippet.startswith("…") and hit.snippet.endswith("…") and "\n" not in hit.snippet
    assert len(hit.snippet) < 200
    (accent,) = store.search("lorem dólor") or [hit]
    assert 0 <= accent.start <= accent.end <= len(accent.snippet)


def test_titles_come_first_then_the_words_side_by_side_then_the_newest(store: Store) -> None:
    apart = say(store, "x", "green was the old door", "a")
    side = say(store, "x", "a green door", "b")
    newest = say(store, "x", "the door was painted green", "c")
    named = say(store, "x", "nothing", "The green door")
    hits = store.search("green door")
    assert [hit.chat_id for hit in hits] == [named, side, newest, apart]
    assert (hits[0].message_id, hits[0].snippet[hits[0].start : hits[0].end]) == (None, "green door")


def test_one_chat_does_not_hide_the_others(store: Store) -> None:
    other = say(store, "a word", "x", "other")
    chat_id = say(store, "a word", "x", "long")
    for _ in range(20):
        _, answer = store.add_turn(chat_id, "word", None)
        store.save(answer.id, "word", Status.DONE, {})
    hits = store.search("word", limit=10)
    assert [hit.chat_id for hit in hits] == [chat_id] * 3 + [other]


def test_languages_without_spaces_and_signs_alone_are_found_too(store: Store) -> None:
    say(store, "x", "我们在北京的马场见面", "x")
    say(store, "x", "a ?! b", "y")
    assert found(store, "马场") == ["我们在北京的马场见面"]
    assert found(store, "?!") == ["a ?! b"]
    say(store, "x", "東京タワーは高いです。首都 of Tokyo。", "z")
    for words in ("首都 東京", "東京　高い", "tokyo 東京"):
        assert found(store, words) == ["東京タワーは高いです。首都 of Tokyo。"], words
    assert found(store, "東京 大阪") == []


HOSTILE = [
    *(
        '"',
        "'",
        "''",
        '"unclosed',
        "a AND",
        "OR",
        "NOT x",
        "NEAR(a b)",
        "a*",
        "*",
        "^a",
        "a:b",
        "content:x",
        "-x",
        "+",
        "(",
        ")",
    ),
    *(
        "{a b}: x",
        "\\",
        "%",
        "_",
        "a\0b",
        "\0",
        "; DROP TABLE messages",
        "--",
        "/*",
        "\ud83d",
        "a\ud83d",
        "x" * 100_000,
    ),
    *("word " * 5_000, "\u202e", "🐎", "²", "ﬁ", "ß", "İ", "e\u0301", " ", "\n", "\u3000", "१२", "ก็"),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_any_text_is_harmless(store: Store, text: str) -> None:
    say(store, 'a "quoted" AND x OR content:x 🐎 word', "a*b (c) %_\\ ß İ e\u0301 ²", "title")
    for hit in store.search(text):
        assert 0 <= hit.start <= hit.end <= len(hit.snippet)
    assert len(store.messages(store.chats()[0].id)) == 2


def test_random_texts_are_harmless(store: Store) -> None:
    say(store, "some words", "to find", "title")
    dice = random.Random(7)  # noqa: S311 - no secret
    for _ in range(300):
        store.search("".join(chr(dice.choice((dice.randrange(1, 128), dice.randrange(0x11_0000)))) for _ in range(9)))


def test_a_large_database_answers_at_once(tmp_path: Path) -> None:
    """The promise holds for ten times as many chats, which measure_store.py takes its time for."""
    store = Store(tmp_path / "large.db")
    chats = fill(store, n_chats=100)
    assert len(store.messages(chats[0])) == 100
    assert len(store.search("the")) == 50
    assert 0 < len(store.search("needle")) < 50
    measured = measure(store, chats)
    assert measured["list_ms"] < 100
    assert measured["open_ms"] < 200
    assert measured["search_ms"] < 100
    store.close()
