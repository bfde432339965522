"""Words that say nothing of what a text is about. Pure."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_]+")
# Words that stand in any question and say nothing of what it is about.
STOP = frozenset(
    WORD.findall(
        """a about am an and any are as at be been but by can could did do does for from get had has have how i if in
        into is it its me my no not of on one or our should so some than that the their them then there these they this
        those to up us was we were what when where which who whom why will with would you your"""
    )
)
