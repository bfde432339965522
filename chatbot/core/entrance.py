"""Who comes in: by a name and a password, by a code, by what a browser keeps of an earlier time.

Decides; the rows are the store's. Nothing that was typed is kept or logged.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatbot.core.accounts import (
    Invitation,
    Passwords,
    Session,
    Throttle,
    User,
    clean_name,
    hash_code,
    hash_token,
    new_code,
    new_token,
    same_name,
)
from chatbot.core.store import OWNER, Store
from chatbot.errors import BadRequest, NotAllowed, WrongPassword

_DEVICE_CHARS = 80
_NOTE_CHARS = 80


@dataclass(frozen=True)
class Entry:
    """Somebody came in. token is what their browser keeps, and is kept nowhere else."""

    user: User
    session: Session
    token: str


class Entrance:
    """The accounts of one database. Its methods may be called from any thread."""

    def __init__(self, store: Store, throttle: Throttle | None = None) -> None:
        self._store = store
        self._passwords = Passwords()
        self._throttle = throttle or Throttle()

    def has_owner(self) -> bool:
        """Whether the machine's owner has an account."""
        return any(user.id == OWNER for user in self._store.users())

    def create_owner(self, name: str, password: str) -> User:
        """Make the first account: an administrator, to whom all belongs that terminals wrote."""
        return self._store.add_user(clean_name(name), self._passwords.hash(password), is_admin=True, user_id=OWNER)

    def add(self, name: str, password: str, *, is_admin: bool) -> User:
        """Make an account without an invitation."""
        return self._store.add_user(clean_name(name), self._passwords.hash(password), is_admin=is_admin)

    def invite(self, *, is_admin: bool, note: str = "", user_id: str | None = None) -> tuple[Invitation, str]:
        """Make a code that lets somebody in once, or lets a user choose a new password. The code is kept nowhere."""
        if len(note) > _NOTE_CHARS:
            raise BadRequest(f"a note has at most {_NOTE_CHARS} characters, this one has {len(note)}")
        code = new_code()
        return self._store.add_invitation(hash_code(code), is_admin=is_admin, note=note, user_id=user_id), code

    def join(self, code: str, name: str, password: str, address: str, device: str) -> Entry:
        """Come in with a code, under a new name; who was sent one to choose a new password keeps the name they have.

        Raises WrongPassword, TooManyTries, BadRequest for a name that is taken or a password that may not be one.
        """
        self._throttle.begin(f"code from {address}")
        invitation = self._store.invitation_of(hash_code(code))
        if invitation is None:
            raise WrongPassword(
                "this code is wrong, was used or is older than a week: ask an administrator for another"
            )
        if invitation.user_id is None:
            name = clean_name(name)
            if self._store.find_user(name) is not None:
                self._throttle.right(f"code from {address}")
                raise BadRequest(f"the name {name} is taken: choose another")
        hashed = self._passwords.hash(password)
        user = self._store.use_invitation(invitation, name, hashed)
        if user is None:
            raise WrongPassword("this code was just used: ask an administrator for another")
        self._throttle.right(f"code from {address}", f"name {same_name(user.name)}")
        return self._enter(user, device)

    def log_in(self, name: str, password: str, address: str, device: str) -> Entry:
        """Come in with a password. Raises WrongPassword, which does not tell what was wrong, or TooManyTries."""
        tries = (f"name {same_name(name)[:100]}", f"address {address}")
        self._throttle.begin(*tries)
        user = self._store.find_user(name)
        kept = self._store.password_hash(user.id) if user else None
        if not self._passwords.is_right(password, kept) or user is None:
            self._throttle.wrong(*tries)
            raise WrongPassword("the name or the password is wrong: try again")
        self._throttle.right(*tries)
        return self._enter(user, device)

    def user_of(self, token: str) -> tuple[User, Session] | None:
        """Who a browser's token stands for, if its session has not ended."""
        session = self._store.session_of(hash_token(token)) if token else None
        return self._of(session)

    def user_in(self, session_id: str) -> tuple[User, Session] | None:
        """Whose session this is, if it has not ended."""
        return self._of(self._store.session(session_id))

    def log_out(self, token: str) -> Session | None:
        """End the session of a token; the session that it was."""
        session = self._store.session_of(hash_token(token)) if token else None
        if session:
            self._store.end_session(session.user_id, session.id)
        return session

    def change_password(self, user_id: str, old: str, new: str) -> None:
        """Replace a password by who knows it. Raises WrongPassword, TooManyTries, BadRequest."""
        user = self._store.user(user_id)
        tries = f"change {user_id}"
        self._throttle.begin(tries)
        if not self._passwords.is_right(old, self._store.password_hash(user.id)):
            self._throttle.wrong(tries)
            raise WrongPassword("the old password is wrong: try again")
        self._throttle.right(tries)
        self._store.set_password_hash(user_id, self._passwords.hash(new))

    def reset_password(self, user_id: str, new: str) -> None:
        """Replace a password by who has the machine, and end all sessions."""
        self._store.set_password_hash(user_id, self._passwords.hash(new))
        self._store.end_sessions(user_id)

    def _enter(self, user: User, device: str) -> Entry:
        if user.is_locked:
            raise NotAllowed("this account is locked: ask an administrator to unlock it")
        token = new_token()
        return Entry(user, self._store.add_session(user.id, hash_token(token), device[:_DEVICE_CHARS]), token)

    def _of(self, session: Session | None) -> tuple[User, Session] | None:
        if session is None:
            return None
        try:
            user = self._store.user(session.user_id)
        except BadRequest:  # removed at this moment
            return None
        return None if user.is_locked else (user, session)
