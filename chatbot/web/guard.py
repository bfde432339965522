"""Nobody reaches what is another's: ids in what a page sends are looked at before anything is done with them.

An id that is not the user's own is replaced by one that nothing has. What follows is then the same, whether somebody
else has such a thing or nobody.
"""

from __future__ import annotations

from typing import Any

from chatbot.core.accounts import User
from chatbot.core.store import Store
from chatbot.web.parse import ID_CHARS

# No id that the store makes: these are hexadecimal.
NOTHING = "-"
# What the ids in a body's fields are of.
FIELDS = {
    "chat_id": "chats",
    "chat_ids": "chats",
    "answer_id": "messages",
    "message_id": "messages",
    "parent": "messages",
    "files": "files",
    "file_id": "files",
}


def own_only(store: Store, user: User, body: dict[str, Any]) -> dict[str, Any]:
    """The body with nobody else's ids in it. What is no id is left for the handler to refuse."""
    found = dict(body)
    for field, kind in FIELDS.items():
        value = body.get(field)
        if isinstance(value, str):
            found[field] = _own(store, user, kind, [value])[0]
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            found[field] = _own(store, user, kind, value)
    return found


def own(store: Store, user: User, kind: str, wanted: str) -> str:
    """An id of a route, or one that nothing has."""
    return _own(store, user, kind, [wanted])[0]


def _own(store: Store, user: User, kind: str, ids: list[str]) -> list[str]:
    """The ids; one that is none by its length is left as it is, for the handler to refuse."""
    theirs = store.owned(user.id, kind, ids)
    return [each if each in theirs or not 0 < len(each) <= ID_CHARS else NOTHING for each in ids]
