"""Who may come in, as values and rules: users, their limits, passwords, codes, and how often one may guess.

No SQL and no Flask. Passwords are kept as scrypt hashes, codes and tokens as SHA-256: these are random, so that
nobody can try them all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from chatbot.core.store_rows import OWNER
from chatbot.errors import BadRequest, TooManyTries

SESSION_S = 30 * 86_400.0
INVITATION_S = 7 * 86_400.0

_NAME_CHARS = 40
_NAME = re.compile(r"[^\W_](?:[\w .@-]*[\w.-])?")
_LEAST_CHARS, _MOST_CHARS = 8, 256
_MOST_OF_A_LIMIT = 1_000_000
# scrypt with these takes 32 MB and a good tenth of a second.
_N, _R, _P = 2**15, 8, 3
_SCRYPT_BYTES = 64 * 1024 * 1024
_HASHED_AT_ONCE = 2
# Without I, O, 0 and 1, which are taken for each other.
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_CHARS = 12

_FREE_TRIES = 5
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 900.0
_FORGET_AFTER_S = 3_600.0
_MOST_KEYS = 10_000


@dataclass(frozen=True)
class Limits:
    """What one user may use; 0 is without a limit. A day is the last 24 hours."""

    messages_per_day: int = 0
    answers_at_once: int = 0
    storage_mb: int = 0

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> Limits:
        """Check what came from a page. Raises BadRequest that names the field and its range."""
        names = [each.name for each in fields(cls)]
        for name, value in body.items():
            if name not in names:
                raise BadRequest(f"there is no limit {name}: the limits are {', '.join(names)}")
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_OF_A_LIMIT:
                raise BadRequest(f"{name} must be a whole number from 0 (no limit) to {_MOST_OF_A_LIMIT:,}")
        return cls(**body)

    def wire(self) -> dict[str, int]:
        """As sent to a browser, and as kept."""
        return asdict(self)


@dataclass(frozen=True)
class User:
    """Somebody who may come in. limits None: those of the house."""

    id: str
    name: str
    is_admin: bool = False
    is_locked: bool = False
    limits: Limits | None = None
    created_at: float = 0.0

    def wire(self) -> dict[str, Any]:
        """As sent to a browser."""
        return {"id": self.id, "name": self.name, "is_admin": self.is_admin}


# Who everybody is where there are no accounts.
NOBODY_ELSE = User(OWNER, "", is_admin=True)


@dataclass(frozen=True)
class Session:
    """One browser that a user has logged in with."""

    id: str
    user_id: str
    device: str
    created_at: float
    seen_at: float


@dataclass(frozen=True)
class Invitation:
    """A code that was handed out. user_id: it lets this user choose a new password."""

    id: str
    user_id: str | None
    is_admin: bool
    note: str
    created_at: float
    expires_at: float


def clean_name(name: str) -> str:
    """A user's name in one form. Raises BadRequest with what is allowed."""
    flat = " ".join(unicodedata.normalize("NFKC", name).split())
    if len(flat) > _NAME_CHARS or not _NAME.fullmatch(flat):
        raise BadRequest(
            f"a name has 1 to {_NAME_CHARS} letters and digits, between them also spaces or any of . @ _ -"
        )
    return flat


def same_name(name: str) -> str:
    """The form in which two names are the same."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def check_password(password: str) -> None:
    """Raise BadRequest for a password that may not be one."""
    if not _LEAST_CHARS <= len(password) <= _MOST_CHARS:
        raise BadRequest(
            f"a password has {_LEAST_CHARS} to {_MOST_CHARS} characters, this one has {len(password)}: choose another"
        )


def new_code() -> str:
    """A code to be typed by a person: letters and digits in groups of four."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_CHARS))
    return "-".join(letters[at : at + 4] for at in range(0, _CODE_CHARS, 4))


def hash_code(code: str) -> str:
    """The form in which a code is kept; how it was typed does not matter."""
    return hash_token("".join(char for char in code.upper() if char.isalnum())[: 2 * _CODE_CHARS])


def new_token() -> str:
    """What a browser keeps as its proof of a session."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """The form in which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class Passwords:
    """Hashes and checks passwords, two at once at most: each takes a core and 32 MB."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(_HASHED_AT_ONCE)
        self._nobody = f"scrypt${_N}${_R}${_P}${_text(bytes(16))}${_text(bytes(32))}"

    def hash(self, password: str) -> str:
        """The form in which a password is kept: parameters, salt and hash. Raises BadRequest for one too short."""
        check_password(password)
        salt = secrets.token_bytes(16)
        return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(self._scrypt(password, salt, _N, _R, _P))}"

    def is_right(self, password: str, kept: str | None) -> bool:
        """Whether it is the password; for a user who does not exist it takes the same time to say no."""
        _, n, r, p, salt, wanted = (kept or self._nobody).split("$")
        if len(password) > _MOST_CHARS:
            password = ""
        found = self._scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(found, base64.b64decode(wanted)) and kept is not None

    def _scrypt(self, password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
        text = unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
        with self._turns:
            return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=_SCRYPT_BYTES, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class Throttle:
    """How often somebody may guess: after five wrong tries the next has to wait, and each further one twice as long.

    A try counts as wrong from its beginning until it turns out to be right, so that many at once are no way around.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()  # number of tries, time of the last one

    def begin(self, *keys: str) -> None:
        """Count a try under each of these keys. Raises TooManyTries with the seconds to wait."""
        with self._lock:
            now = self._now()
            self._forget(now)
            wait_s = max(self._wait_s(key, now) for key in keys)
            if wait_s > 0:
                raise TooManyTries(math.ceil(wait_s))
            for key in keys:
                n, _ = self._wrong.pop(key, (0, 0.0))
                self._wrong[key] = (n + 1, now)

    def wrong(self, *keys: str) -> None:
        """The try was wrong: the time to wait begins now."""
        with self._lock:
            for key in keys:
                if key in self._wrong:
                    n, _ = self._wrong.pop(key)
                    self._wrong[key] = (n, self._now())

    def right(self, *keys: str) -> None:
        """The try was right: begin anew."""
        with self._lock:
            for key in keys:
                self._wrong.pop(key, None)

    def _wait_s(self, key: str, now: float) -> float:
        n, last = self._wrong.get(key, (0, 0.0))
        if n < _FREE_TRIES:
            return 0.0
        doubled = _FIRST_WAIT_S * 2.0 ** min(n - _FREE_TRIES, 20)
        return last + min(doubled, _LONGEST_WAIT_S) - now

    def _forget(self, now: float) -> None:
        while self._wrong:
            _, last = next(iter(self._wrong.values()))
            if now - last < _FORGET_AFTER_S and len(self._wrong) < _MOST_KEYS:
                return
            self._wrong.popitem(last=False)
