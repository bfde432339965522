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


def is_german(words: Collection[str]) -> bool:
    """Whether words in small letters are rather of a German text than of an English one."""
    return sum(word in _GERMAN_ALONE for word in words) > sum(word in STOP - GERMAN for word in words)
