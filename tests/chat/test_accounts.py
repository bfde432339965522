"""Accounts without a server: codes, sessions, how often one may guess, and what a user may use."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.accounts import Limits, Passwords, Throttle, User, clean_name
from chatbot.core.allowance import Allowance
from chatbot.core.entrance import Entrance
from chatbot.core.events import ChatRequest, Delta, Done, Status
from chatbot.core.fold import turn_of
from chatbot.core.store import OWNER, Store
from chatbot.core.store_accounts import Use
from chatbot.core.store_rows import NewMessage, Notes
from chatbot.core.transfer import keep
from chatbot.core.transfer.values import ImportedChat
from chatbot.errors import BadRequest, LimitReached, NotAllowed, TooManyTries, WrongPassword
from tests.chat.household import PASSWORD, cheap_passwords
from tests.chat.rooms import Room, Scripted
from tests.fakes import Gate


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _cheaply() -> Iterator[None]:
    with cheap_passwords():
        yield


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "chat.db")
    yield made
    made.close()


def changed(store: Store, query: str, *values: object) -> None:
    """Another process changes a row, for instance because time has passed."""
    db = sqlite3.connect(store._path)
    with db:
        db.execute(query, values)
    db.close()


def test_who_guesses_wrong_waits_longer_each_time_and_never_longer_than_a_quarter_of_an_hour() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(5):
        throttle.begin("name anna", "address 10.0.0.1")
    waits = []
    for _ in range(12):
        with pytest.raises(TooManyTries) as refused:
            throttle.begin("name anna")
        waits.append(refused.value.wait_s)
        clock.now += refused.value.wait_s
        throttle.begin("name anna")
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]
    with pytest.raises(TooManyTries, match="wait 15 minutes"):
        throttle.begin("name anna")
    clock.now += 6
    throttle.begin("address 10.0.0.1")
    throttle.right("name anna")
    throttle.begin("name anna")
    clock.now += 4000
    throttle.begin("address 10.0.0.1")  # an hour later everything is forgotten
    assert throttle._wrong["address 10.0.0.1"][0] == 1


def test_a_throttle_takes_no_more_memory_than_for_ten_thousand() -> None:
    throttle = Throttle(Clock())
    for n in range(10_500):
        throttle.begin(f"name {n}")
    assert len(throttle._wrong) <= 10_000


def test_tries_at_the_same_time_are_counted_before_they_end(store: Store) -> None:
    entrance = Entrance(store, Throttle(Clock()))
    entrance.create_owner("anna", PASSWORD)
    said: list[type[Exception]] = []

    def guess() -> None:
        try:
            entrance.log_in("anna", "a wrong password", "10.0.0.1", "")
        except (WrongPassword, TooManyTries) as why:
            said.append(type(why))

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert said.count(WrongPassword) == 5 and said.count(TooManyTries) == 3


@pytest.mark.parametrize("name", ["", " ", "x" * 41, "a\nb\x00", "<script>", "-", "anna/..", "a" + "\u202e" + "b"])
def test_names_that_cannot_be_told_apart_are_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="a name has 1 to 40"):
        clean_name(name)


def test_names_are_the_same_however_they_are_written(store: Store) -> None:
    entrance = Entrance(store)
    entrance.create_owner("  Jörg   Müller ", PASSWORD)
    assert [user.name for user in store.users()] == ["Jörg Müller"]
    assert entrance.log_in("JO\u0308RG müller", PASSWORD, "", "").user.id == OWNER
    with pytest.raises(BadRequest, match="is taken"):
        entrance.add("jörg müller", PASSWORD, is_admin=False)


def test_only_a_hash_of_the_token_is_kept_and_it_ends_30_days_after_its_last_use(store: Store) -> None:
    entrance = Entrance(store)
    entrance.create_owner("anna", PASSWORD)
    entry = entrance.log_in("anna", PASSWORD, "10.0.0.1", "Firefox on Linux")
    assert len(entry.token) >= 43
    assert entry.token.encode() not in b"".join(path.read_bytes() for path in store._path.parent.iterdir())
    found = entrance.user_of(entry.token)
    assert found and found[0].name == "anna"
    assert entrance.user_of(entry.token + "x") is None and entrance.user_of("") is None
    changed(store, "UPDATE sessions SET seen_at = ?", time.time() - 29 * 86_400)
    assert entrance.user_of(entry.token)  # used: 30 more days
    assert time.time() - store.sessions(OWNER)[0].seen_at < 60
    changed(store, "UPDATE sessions SET seen_at = ?", time.time() - 31 * 86_400)
    assert entrance.user_of(entry.token) is None and entrance.user_in(entry.session.id) is None
    assert store.sessions(OWNER) == []


def test_when_somebody_was_here_last_outlives_their_sessions(store: Store) -> None:
    entrance = Entrance(store)
    entrance.create_owner("anna", PASSWORD)
    entrance.add("ben", PASSWORD, is_admin=False)
    entry = entrance.log_in("anna", PASSWORD, "10.0.0.1", "")
    long_ago = time.time() - 86_400
    changed(store, "UPDATE sessions SET seen_at = ?", long_ago)
    changed(store, "UPDATE users SET seen_at = ? WHERE name = 'anna'", long_ago)
    entrance.user_of(entry.token)
    store.end_sessions(OWNER)
    seen = {user.name: store.use_of(user.id).get(user.id, Use()).seen_at for user in store.users()}
    assert seen["anna"] is not None and time.time() - seen["anna"] < 60
    assert seen["ben"] is None


def test_a_code_is_kept_as_a_hash_and_lives_a_week(store: Store) -> None:
    entrance = Entrance(store)
    made, code = entrance.invite(is_admin=False, note="for Ben")
    plain = code.replace("-", "")
    written = b"".join(path.read_bytes() for path in store._path.parent.iterdir())
    assert plain.encode() not in written and code.encode() not in written
    assert not set(plain) & set("IO01")
    changed(store, "UPDATE invitations SET expires_at = ?", time.time() - 1)
    with pytest.raises(WrongPassword, match="older than a week"):
        entrance.join(code, "ben", PASSWORD, "10.0.0.1", "")
    assert store.invitations() == []
    assert made.expires_at - made.created_at == 7 * 86_400


def test_guessing_codes_is_slowed_down_too(store: Store) -> None:
    entrance = Entrance(store, Throttle(Clock()))
    for _ in range(5):
        with pytest.raises(WrongPassword):
            entrance.join("AAAA-AAAA-AAAA", "ben", PASSWORD, "10.0.0.1", "")
    with pytest.raises(TooManyTries):
        entrance.join("AAAA-AAAA-AAAA", "ben", PASSWORD, "10.0.0.1", "")


def test_of_two_who_use_a_code_at_once_one_comes_in(store: Store) -> None:
    entrance = Entrance(store)
    invitation, _ = entrance.invite(is_admin=True)
    hashed = Passwords().hash(PASSWORD)
    assert store.use_invitation(invitation, "ben", hashed)
    assert store.use_invitation(invitation, "cleo", hashed) is None
    assert [(user.name, user.is_admin) for user in store.users()] == [("ben", True)]


def test_one_user_has_at_most_fifty_sessions(store: Store) -> None:
    Entrance(store).create_owner("anna", PASSWORD)
    first = store.add_session(OWNER, "hash 0", "")
    for n in range(1, 52):
        store.add_session(OWNER, f"hash {n}", "")
    assert len(store.sessions(OWNER)) == 50
    assert store.session(first.id) is None


def test_the_last_administrator_can_neither_go_nor_be_locked(store: Store) -> None:
    entrance = Entrance(store)
    entrance.create_owner("anna", PASSWORD)
    ben = entrance.add("ben", PASSWORD, is_admin=True)
    store.set_locked(ben.id, True)
    for refused in (lambda: store.set_admin(OWNER, False), lambda: store.set_locked(OWNER, True)):
        with pytest.raises(NotAllowed, match="last administrator"):
            refused()
    store.set_locked(ben.id, False)
    assert store.set_admin(OWNER, False).is_admin is False
    with pytest.raises(NotAllowed, match="last administrator"):
        store.remove_user(ben.id)


def test_removing_a_user_leaves_the_others_what_is_theirs(store: Store) -> None:
    entrance = Entrance(store)
    entrance.create_owner("anna", PASSWORD)
    ben = entrance.add("ben", PASSWORD, is_admin=False)
    for owner in (OWNER, ben.id):
        user, _ = store.add_turn(None, "question", None, owner_id=owner)
        store.add_file(None, "a.txt", "text", "text", owner_id=owner)
        store.save_preset("p", {"temperature": 1}, owner)
        store.save_prompt("p", "text", owner)
        assert store.owned(owner, "chats", [user.chat_id])
    store.remove_user(ben.id)
    assert [chat.owner_id for chat in store.chats(OWNER)] == [OWNER]
    assert (len(store.presets()), len(store.prompts()), store.totals()["n_files"]) == (1, 1, 1)
    assert (store.chats(ben.id), store.presets(ben.id), store.prompts(ben.id)) == ([], [], [])


def test_options_of_the_house_lie_between_a_chats_own_and_the_settings(store: Store) -> None:
    store.set_house_options({"temperature": 0.1, "system_prompt": "Be brief."})
    user, _ = store.add_turn(None, "question", None, options={"temperature": 1.5})
    options = turn_of(store, user.chat_id, [user]).options
    assert (options.temperature, options.system_prompt, options.top_p) == (1.5, "Be brief.", None)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "room.db", Scripted(Delta("answer"), Done(Status.DONE)))
    yield made
    made.close()


def resident(room: Room, **limits: int) -> User:
    user = Entrance(room.store).add("ben", PASSWORD, is_admin=False)
    room.store.set_limits(None, Limits(**limits))
    return user


def asked(room: Room, user: User, text: str = "hi", chat_id: str | None = None) -> str:
    _, answer = room.jobs.start(ChatRequest(chat_id, text, owner_id=user.id))
    return answer.id


def test_messages_a_day_are_counted_over_24_hours_also_in_deleted_chats(room: Room) -> None:
    user = resident(room, messages_per_day=2)
    allowance = Allowance(room.store, room.jobs)
    for _ in range(2):
        allowance.check_answer(user)
        answer = asked(room, user)
        room.watcher.end_of(answer)
        room.saved(answer, Status.DONE)
    room.store.delete([chat.id for chat in room.store.chats(user.id)])
    with pytest.raises(LimitReached, match=r"2 messages in the last 24 hours, and 2 are allowed.* free in 24 h"):
        allowance.check_answer(user)
    allowance.check_answer(user, is_new=False)  # an answer that only goes on is none
    changed(room.store, "UPDATE messages SET created_at = created_at - 80000 WHERE n <= 2")
    with pytest.raises(LimitReached, match="free in 1 h 47 min"):
        allowance.check_answer(user)
    changed(room.store, "UPDATE messages SET created_at = created_at - 10000 WHERE n <= 2")
    allowance.check_answer(user)
    assert allowance.used(user)["messages_today"] == 1


def test_messages_that_were_imported_count_for_no_day_but_their_room_counts(room: Room) -> None:
    user = resident(room, messages_per_day=1, storage_mb=1)
    allowance = Allowance(room.store, room.jobs)
    now = time.time()
    said = [NewMessage("0", None, "user", "x" * 400_000, now)]
    said += [NewMessage(str(n), "0", "assistant", "yes", now + n * 1e8) for n in range(1, 4)]
    chats = [ImportedChat(f"chat {n}", now, now, tuple(said), None, f"elsewhere:{n}") for n in range(3)]
    taken = keep.take(room.store, chats, user.id, allowance.room(user))
    assert (len(taken.chat_ids), taken.n_skipped) == (2, 1)
    assert "larger than what you may still store" in taken.notices[0]
    origin = len('{"imported_from": "elsewhere:0"}')
    assert (allowance.used(user)["messages_today"], allowance.used(user)["storage_bytes"]) == (
        0,
        2 * (400_009 + origin),
    )
    allowance.check_answer(user)


def test_what_stands_beside_imported_messages_takes_room(room: Room) -> None:
    user = resident(room)
    now = time.time()
    said = tuple(NewMessage(f"{n}", None, "user", ".", now, meta={"notices": ["x" * 40_000]}) for n in range(10))
    chats = [ImportedChat(f"chat {n}", now, now, said, None, f"elsewhere:{n}") for n in range(3)]
    taken = keep.take(room.store, chats, user.id, room=500_000)
    assert (len(taken.chat_ids), taken.n_skipped) == (1, 2)
    assert 400_000 < Allowance(room.store, room.jobs).used(user)["storage_bytes"] < 500_000


def test_a_chat_that_could_not_be_imported_takes_no_room(room: Room) -> None:
    now = time.time()
    said = tuple(NewMessage("same", None, "user", "x" * 400, now) for _ in range(2))
    chats = [ImportedChat("damaged", now, now, said, None, "elsewhere:0")]
    chats += [ImportedChat("sound", now, now, said[:1], None, "elsewhere:1")]
    taken = keep.take(room.store, chats, room=1_000)
    assert (len(taken.chat_ids), taken.n_skipped) == (1, 1)
    assert taken.notices == ("1 chat left out: two messages of the chat have the same key",)


def test_answers_at_once_count_those_that_wait_in_line(tmp_path: Path) -> None:
    gate = Gate()
    room = Room(tmp_path / "room.db", Scripted(gate, Done(Status.DONE)))
    user = resident(room, answers_at_once=2)
    allowance = Allowance(room.store, room.jobs)
    first = asked(room, user)
    second = asked(room, user, chat_id=room.store.message(first).chat_id)
    room.jobs.start(ChatRequest(None, "the owner's own"))
    with pytest.raises(LimitReached, match="2 answers of yours are on the way, and 2 at once are allowed"):
        allowance.check_answer(user)
    assert allowance.used(user)["answers_now"] == 2
    room.jobs.stop(second)
    gate.open()
    room.watcher.end_of(first)
    room.watcher.end_of(second)
    allowance.check_answer(user)
    room.close()


def test_storage_counts_messages_files_and_pictures(room: Room) -> None:
    user = resident(room, storage_mb=1)
    allowance = Allowance(room.store, room.jobs)
    room.store.add_file(None, "a.txt", "text", "x" * 300_000, owner_id=user.id)
    room.store.save_prompt("long", "x" * 100_000, user.id)
    room.store.add_file(None, "a.png", "image", "", owner_id=user.id, media_type="image/png", data=b"x" * 400_000)
    allowance.check_storage(user, 200_000)
    with pytest.raises(LimitReached, match=r"take 0\.8 MB, and 1 MB are allowed: delete some chats"):
        allowance.check_storage(user, 200_001)
    assert allowance.used(user)["storage_bytes"] == 800_000


def test_notes_and_options_of_an_imported_chat_take_storage(room: Room) -> None:
    user = resident(room, storage_mb=1)
    allowance = Allowance(room.store, room.jobs)
    now = time.time()
    said = (NewMessage("0", None, "user", "hi", now),)
    options, notes = {"system_prompt": "x" * 10_000}, (Notes("x" * 900_000, "0", 1),)
    chats = [
        ImportedChat("both", now, now, said, None, "elsewhere:0", options=options, notes=notes),
        ImportedChat("notes", now, now, said, None, "elsewhere:1", notes=notes),
        ImportedChat("options", now, now, said, None, "elsewhere:2", options=options),
    ]
    taken = keep.take(room.store, chats, user.id, room=allowance.room(user))
    assert (len(taken.chat_ids), taken.n_skipped) == (2, 1)
    assert 920_000 < allowance.used(user)["storage_bytes"] < 921_000


def test_storage_is_counted_in_bytes_whatever_the_script(room: Room) -> None:
    user = resident(room, storage_mb=1)
    allowance = Allowance(room.store, room.jobs)
    room.store.add_file(None, "a.txt", "text", "鷺" * 100, owner_id=user.id)
    room.store.save_prompt("long", "д" * 100, user.id)
    room.watcher.end_of(asked(room, user, "🦩" * 100))
    now = time.time()
    said = (NewMessage("0", None, "user", "鷺" * 1_000, now),)
    chats = [ImportedChat(f"chat {n}", now, now, said, None, f"elsewhere:{n}") for n in range(3)]
    taken = keep.take(room.store, chats, user.id, room=6_500)
    assert (len(taken.chat_ids), taken.n_skipped) == (2, 1)
    origin = len('{"imported_from": "elsewhere:0"}')
    answers = len("answer")
    assert allowance.used(user)["storage_bytes"] == 300 + 200 + 400 + answers + 2 * (3_000 + origin)


def test_a_users_own_limits_win_and_administrators_have_none_of_the_houses(room: Room) -> None:
    user = resident(room, messages_per_day=1)
    allowance = Allowance(room.store, room.jobs)
    room.watcher.end_of(asked(room, user))
    with pytest.raises(LimitReached, match="and 1 is allowed"):
        allowance.check_answer(room.store.user(user.id))
    room.store.set_limits(user.id, Limits(messages_per_day=5))
    allowance.check_answer(room.store.user(user.id))
    room.store.set_limits(user.id, None)
    with pytest.raises(LimitReached):
        allowance.check_answer(room.store.user(user.id))
    allowance.check_answer(room.store.set_admin(user.id, True))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages_per_day": -1}, "messages_per_day must be a whole number from 0"),
        ({"storage_mb": 1.5}, "storage_mb must be"),
        ({"answers_at_once": True}, "answers_at_once must be"),
        ({"tokens": 1}, "there is no limit tokens"),
    ],
)
def test_limits_that_make_no_sense_are_refused(body: dict[str, object], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        Limits.from_wire(body)


def test_a_chat_that_is_removed_while_it_is_answered_ends_its_answer(tmp_path: Path) -> None:
    gate = Gate()
    room = Room(tmp_path / "room.db", Scripted(Delta("half"), gate, Done(Status.DONE)))
    user = resident(room)
    answer = asked(room, user)
    gate.wait_until_reached()
    changed(room.store, "INSERT INTO users (id, name, password, is_admin, created_at) VALUES ('a', 'a', '', 1, 0)")
    room.store.remove_user(user.id)  # as a command line does it, which knows of no answers
    assert room.watcher.end_of(answer).status is Status.STOPPED
    room.close()
