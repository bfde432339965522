"""Make the texts that are sent: long stories to write, never two alike, the same again for the same seed."""

from __future__ import annotations

import random

from llmserver.bench.client import Messages

_TEXT = """
anchor basket candle desert engine feather glacier hammer island jungle kettle lantern meadow needle orchard
pepper quarry ribbon saddle timber umbrella valley whistle yellow zipper autumn bridge copper dragon evening
forest garden harbour iron jacket kingdom ladder mirror north ocean paper quiet river stone thunder under
village winter young absent bitter clever distant early famous gentle hollow inner joyful keen little modern
narrow open patient quick royal silent tender useful velvet warm across behind carry deliver enter follow
"""
_WORDS = tuple(_TEXT.split())


def dice(*place: object) -> random.Random:
    """Chance that is the same for the same place: seed, run, scenario, conversation."""
    return random.Random("/".join(map(str, place)))  # noqa: S311  for texts, not for secrets


def words(rng: random.Random, n_words: int) -> str:
    """Random words, for most vocabularies a token each."""
    return " ".join(rng.choices(_WORDS, k=n_words))


def story(rng: random.Random, n_words: int) -> Messages:
    """Ask for a story with the words of n_words. The first words differ, so that a prefix cache finds nothing."""
    text = f"{words(rng, 4).capitalize()}: write a very long story of many chapters, in which these words occur: "
    return [{"role": "user", "content": f"{text}{words(rng, n_words)}."}]


def go_on(rng: random.Random) -> dict[str, str]:
    """The next turn of a conversation about a story."""
    return {"role": "user", "content": f"Go on with a long chapter about the {words(rng, 3)}."}
