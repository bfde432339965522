"""What a password is kept as, and what it costs to check one: here at their full price."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.accounts import Passwords
from chatbot.core.entrance import Entrance
from chatbot.core.store import Store
from chatbot.errors import BadRequest, WrongPassword
from tests.chat.household import PASSWORD
from tests.fakes import Gate


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "chat.db")
    yield made
    made.close()


def test_a_password_is_kept_as_a_salted_scrypt_hash_with_its_parameters() -> None:
    passwords = Passwords()
    first, second = passwords.hash(PASSWORD), passwords.hash(PASSWORD)
    kind, n, r, p, _, _ = first.split("$")
    assert kind == "scrypt" and int(n) >= 2**15 and int(r) >= 8 and int(p) >= 3
    assert first != second and PASSWORD not in first
    assert passwords.is_right(PASSWORD, first)
    assert not passwords.is_right(PASSWORD + "x", first)
    weaker = "scrypt$1024$8$1$" + "AAAAAAAAAAAAAAAAAAAAAA==$" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert not passwords.is_right(PASSWORD, weaker)  # another cost is read from the hash
    assert not passwords.is_right("", None)


def test_passwords_have_8_to_256_characters() -> None:
    passwords = Passwords()
    for wrong in ("", "seven c", "x" * 257):
        with pytest.raises(BadRequest, match=f"this one has {len(wrong)}"):
            passwords.hash(wrong)
    assert passwords.is_right("x" * 256, passwords.hash("x" * 256))
    assert not passwords.is_right("x" * 300, passwords.hash("x" * 256))


def test_an_unknown_name_costs_the_hash_of_a_wrong_password(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    entrance = Entrance(store)
    entrance.create_owner("Anna", PASSWORD)
    costs: list[tuple[int, int, int]] = []
    hashed = Passwords._scrypt

    def counted(self: Passwords, password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
        costs.append((n, r, p))
        return hashed(self, password, salt, n, r, p)

    monkeypatch.setattr(Passwords, "_scrypt", counted)
    for name in ("anna", "nobody"):
        with pytest.raises(WrongPassword):
            entrance.log_in(name, "a wrong password", "10.0.0.1", "")
    assert len(costs) == 2 and costs[0] == costs[1]


def test_at_most_two_passwords_are_hashed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most, lock, gate = 0, 0, threading.Lock(), Gate()
    two_are_there = threading.Event()

    def slow(*_: object, **__: object) -> bytes:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            if at_once == 2:
                two_are_there.set()
        gate.pass_through(20)
        with lock:
            at_once -= 1
        return bytes(32)

    monkeypatch.setattr("chatbot.core.accounts.hashlib.scrypt", slow)
    passwords = Passwords()
    threads = [threading.Thread(target=passwords.is_right, args=(PASSWORD, None)) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert two_are_there.wait(20)
    gate.open()
    for thread in threads:
        thread.join(20)
    assert most == 2
