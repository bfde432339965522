"""A passage is found again in a document that has changed, or it is said that it is gone."""

from __future__ import annotations

import time

from rag.again import digest_of, found_again

PASSAGE = "A soft egg takes four minutes. 🐔 A hard egg takes nine."
BEGINS = PASSAGE[:12]
DIGEST = digest_of(PASSAGE)


def again(text: str, start: int, begins: str = BEGINS, digest: str = DIGEST) -> str | None:
    """The words at the place that is found."""
    found = found_again(text, start, start + len(PASSAGE), begins, digest)
    return text[slice(*found)] if found else None


def test_passage_is_found_where_it_stood_and_where_it_moved_to() -> None:
    assert again(f"Eggs. {PASSAGE} Hens.", 6) == PASSAGE
    assert again(f"Hens moult. Eggs. {PASSAGE} Hens.", 6) == PASSAGE
    assert again(f"{PASSAGE} Hens.", 6) == PASSAGE
    assert again(PASSAGE, 9_000) == PASSAGE


def test_passage_that_says_another_thing_is_gone() -> None:
    assert again(f"Eggs. {PASSAGE.replace('nine', 'five')} Hens.", 6) is None
    assert again("Hens.", 6) is None and again("", 0) is None


def test_words_that_stand_in_several_places_lead_to_the_whole_passage() -> None:
    text = f"{BEGINS}. {BEGINS} {BEGINS}. {PASSAGE}"
    assert again(text, 0) == PASSAGE


def test_link_of_an_older_answer_leads_on_by_what_it_has() -> None:
    text = f"Hens moult. {PASSAGE}"
    assert again(text, 6, digest="") == PASSAGE
    assert again(text, 12, begins="", digest="") == PASSAGE


def test_what_is_longer_than_any_passage_is_not_looked_for() -> None:
    text = "egg " * 1_000_000
    began = time.process_time()
    assert found_again(text, 2, 2_000_000, "egg", DIGEST) is None
    assert time.process_time() - began < 0.5
    assert found_again(PASSAGE, 9, 3) is None
