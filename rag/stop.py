"""Words that say nothing of what a text is about, in English and in German. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

WORD = re.compile(r"[^\W_]+")
# Words that stand in any question and say nothing of what it is about.
STOP = frozenset(
    WORD.findall(
        """a about am an and any are as at be been but by can could did do does for from get had has have how i if in
        into is it its me my no not of on one or our should so some than that the their them then there these they this
        those to up us was we were what when where which who whom why will with would you your"""
    )
)
GERMAN = frozenset(
    WORD.findall(
        """aber alle als also am an auch auf aus bei beim bin bis bist da dafür damit dann darf das dass daß dein deine
        dem den denn der des dessen die dies diese diesem diesen dieser dieses doch du durch dürfen ein eine
        einem einen einer eines er es etwas euch euer eure für gegen gehen geht gibt gab haben habe hast hat
        hatte hatten ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder
        jedes kann kannst kein keine können konnte lassen lässt man mein meine meinem meinen meiner mich mir
        mit muss musste müssen nach nicht noch nun nur ob oder ohne sehr sein seine seinem seinen seiner
        seit sich sie sind so soll sollen sollte sondern über um und uns unser unsere unserem unseren unter
        vom von vor wann war waren warum was wegen weil welche welchem welchen welcher welches wem wen wenn
        wer werde werden wessen wie wieder will wir wird wo wofür wohin womit woran worauf woraus worden
        wozu wurde wurden würde zu zum zur zwischen"""
    )
)
_GERMAN_ALONE = (
    GERMAN - STOP - {"bin", "da", "dem", "den", "die", "er", "es", "hat", "man", "mit", "mir", "war", "alle"}
)
_ENGLISH_ALONE = STOP - GERMAN


def is_german(words: Collection[str], *, or_else: bool = False) -> bool:
    """Whether words in small letters are rather of a German text than of an English one. or_else: what is taken of
    words that tell nothing of it."""
    n_german, n_english = sum(word in _GERMAN_ALONE for word in words), sum(word in _ENGLISH_ALONE for word in words)
    return or_else if n_german == n_english == 0 else n_german > n_english


# Words of other languages, by which a text in one of them is known.
_FOREIGN = """le la les une
    et est dans que il elle pas ne du au aux sont cette el los las una por para con del lo gli di che è
    della delle sono nel uma não na é het een van niet zijn voor och att som på är jest się nie je"""
_OTHERS = frozenset(_FOREIGN.split())


def is_foreign(words: Collection[str]) -> bool:
    """Whether words in small letters are of a language that the tables know too little of."""
    n_letters = sum(map(len, words))
    if sum(len(word) for word in words if "a" <= word[0] <= "\u024f") < n_letters / 2:
        return True
    n_other = sum(word in _OTHERS for word in words)
    return n_other > max(sum(word in STOP for word in words), sum(word in GERMAN for word in words))
