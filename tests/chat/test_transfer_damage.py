"""Files that are damaged, enormous or meant to harm: what is whole is read, the rest is told, and nothing hangs."""

from __future__ import annotations

import io
import json
import random
import tempfile
import time
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chatbot.core.events import Status
from chatbot.core.store import Store
from chatbot.core.transfer import detect, keep, scan
from chatbot.core.transfer.values import ImportedChat, Read, Skipped
from chatbot.errors import StorageError

MAX_BYTES = 5_000_000


def message(key: Any, parent: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": key, "parent": parent, "role": "user", "content": f"text {key}", "created_at": 1e9, **more}


def chat(key: str, *messages: Any, **more: Any) -> dict[str, Any]:
    made = {"format": "paddock-chat", "version": 1, "id": key, "title": key, "created_at": 1e9}
    return made | {"messages": list(messages) or [message("m")]} | more


def read(data: str | bytes) -> list[Read]:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return list(detect.read(io.BytesIO(raw), MAX_BYTES))


def chats(found: list[Read]) -> list[ImportedChat]:
    return [each for each in found if isinstance(each, ImportedChat)]


def reasons(found: list[Read]) -> str:
    return "; ".join(each.why for each in found if isinstance(each, Skipped))


def test_of_a_file_that_ends_early_the_whole_chats_are_read() -> None:
    text = json.dumps([chat("a"), chat("b"), chat("c")])
    found = read(text[: text.index('"id": "c"') + 20])
    assert [each.title for each in chats(found)] == ["a", "b"]
    assert "ends in the middle" in reasons(found)


def test_one_damaged_chat_costs_only_itself() -> None:
    bad = json.dumps(chat("b")).replace('"title":', '"title"')
    found = read(f"[{json.dumps(chat('a'))}, {bad}, {json.dumps(chat('c'))}]")
    assert [each.title for each in chats(found)] == ["a", "c"]
    assert "JSON is damaged near byte" in reasons(found)


def test_bytes_that_are_no_utf_8_become_question_marks_not_an_error() -> None:
    raw = json.dumps(chat("a", message("m", content="caf!"))).encode().replace(b"!", b"\xe9")
    assert chats(read(raw))[0].messages[0].content == "caf\ufffd"


def test_messages_without_a_place_stand_in_branches_of_their_own_and_are_counted() -> None:
    (found,) = chats(
        read(
            json.dumps(
                chat(
                    "a",
                    message("root"),
                    message("orphan", "nobody"),
                    message("self", "self"),
                    message("ring1", "ring3"),
                    message("ring2", "ring1"),
                    message("ring3", "ring2"),
                    message("child", "ring2"),
                    message("root", content="again"),
                )
            )
        )
    )
    places = {each.key: each.parent_key for each in found.messages}
    assert len(places) == 7 and places["orphan"] is places["self"] is None and places["child"] == "ring2"
    assert [places[key] for key in ("ring1", "ring2", "ring3")].count(None) == 1
    assert [notice.rpartition(": ")[2] for notice in found.notices] == ["3", "1"]


@pytest.mark.parametrize("depth", [50_000, 1_000_000])
@pytest.mark.parametrize("around", ["[%s]", "%s", '[{"mapping": %s}]'])
def test_a_depth_bomb_is_refused_at_once(depth: int, around: str) -> None:
    began = time.monotonic()
    found = read(around % ('{"a":' * depth + "1" + "}" * depth))
    assert "levels deep" in reasons(found)
    assert time.monotonic() - began < 2


def test_millions_of_empty_values_are_refused_before_they_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_ELEMENT_TOKENS", 10_000)
    tracemalloc.start()
    found = read(json.dumps([chat("a")])[:-1] + ', {"mapping": [' + "[]," * 200_000 + "[]]}]")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(chats(found)) == 1 and "values" in reasons(found)
    assert peak < 5_000_000


def test_a_zip_bomb_is_left_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps([chat("a")]))
        archive.writestr("b.json", b" " * (MAX_BYTES * 3))
        archive.writestr("c.json", json.dumps([chat("c")]))
    assert path.stat().st_size < 100_000
    with path.open("rb") as file:
        found = list(detect.read(file, MAX_BYTES))
    assert [each.title for each in chats(found)] == ["a"]
    assert "--max_import_mb" in reasons(found)


def archive_of(**texts: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in texts.items():
            archive.writestr(f"{name}.json", text)
    return packed.getvalue()


def test_an_archive_of_too_many_texts_says_that_it_is_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_MAX_ENTRIES", 2)
    found = read(archive_of(**{name: json.dumps(chat(name)) for name in "abc"}))
    assert [each.title for each in chats(found)] == ["a", "b"]
    assert "of the archive's 3 texts the first 2 are read" in reasons(found)


def test_a_full_disk_is_not_taken_for_a_damaged_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(Path("/dev/full").open, "r+b", buffering=0))
    with pytest.raises(StorageError, match="cannot be unpacked here: No space left"):
        read(archive_of(a=json.dumps(chat("a"))))


def test_a_damaged_archive_is_told_and_its_whole_part_read() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.json", json.dumps([chat("a")]))
        archive.writestr("b.json", json.dumps([chat("bbbb")]))
    raw = target.getvalue()
    assert [each.title for each in chats(read(raw.replace(b"text m", b"text x", 2).replace(b"bbbb", b"cccc", 1)))] == []
    found = read(raw.replace(b'"bbbb"', b'"cccc"', 1))
    assert [each.title for each in chats(found)] == ["a"] and "damaged" in reasons(found)
    assert "damaged" in reasons(read(raw[: len(raw) // 2]))


def test_lone_surrogates_and_nuls_are_stored_as_something_harmless(tmp_path: Path) -> None:
    text = json.dumps(
        chat("a", message("m", content="x\ud800y\0z", reasoning="\udc00"), title="t\ud83d", tags=["\ud800"])
    )
    (found,) = chats(read(text))
    assert "".join((found.title, *found.tags, found.messages[0].content, found.messages[0].reasoning)).encode()
    store = Store(tmp_path / "chat.db")
    (chat_id,) = keep.take(store, detect.read(io.BytesIO(text.encode()), MAX_BYTES)).chat_ids
    assert store.tree(chat_id)[0].content == "x\ufffdyz"
    assert keep.as_json(store, chat_id).encode() and keep.as_markdown(store, chat_id).encode()
    store.close()


def test_settings_are_stored_as_something_harmless_and_no_grounds_as_none() -> None:
    given = {"system_prompt": "a\0b\ud800", "stop": ["x\0", 1], "extra": {"k\0": {"deep": "\0"}}, "temperature": 0.5}
    message_of = message("m", role="assistant", meta={"library": {}, "model": "small"})
    (found,) = chats(read(json.dumps(chat("a", message_of, options=given))))
    kept = {"system_prompt": "ab\ufffd", "stop": ["x", 1], "extra": {"k": {"deep": ""}}, "temperature": 0.5}
    assert (found.options, found.messages[0].meta) == (kept, {"model": "small"})


def test_a_chat_that_the_disk_refuses_is_not_there_by_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "chat.db")
    text = json.dumps([chat("a"), chat("b", message("m"), message("n", "m"))])
    n_inserted = 0
    insert = store._insert

    def fail_in_the_middle(*args: Any, **more: Any) -> None:
        nonlocal n_inserted
        n_inserted += 1
        if n_inserted == 3:
            raise KeyboardInterrupt
        insert(*args, **more)

    monkeypatch.setattr(store, "_insert", fail_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        keep.take(store, detect.read(io.BytesIO(text.encode()), MAX_BYTES))
    assert [each.title for each in store.chats()] == ["a"]
    monkeypatch.undo()
    taken = keep.take(store, detect.read(io.BytesIO(text.encode()), MAX_BYTES))
    assert (len(taken.chat_ids), taken.n_skipped) == (1, 1)
    store.close()


def test_a_chat_whose_notes_the_disk_refuses_comes_whole_another_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "chat.db")
    notes = [{"text": "so far", "through": "m", "n_folded": 1}]
    text = json.dumps(chat("a", notes=notes, title="word " * 30)).encode()
    with store._writing() as db:
        db.execute(
            "CREATE TRIGGER full BEFORE UPDATE OF notes ON chats WHEN NEW.notes IS NOT NULL"
            " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    with pytest.raises(StorageError):
        keep.take(store, detect.read(io.BytesIO(text), MAX_BYTES))
    with store._writing() as db:
        db.execute("DROP TRIGGER full")
    (chat_id,) = keep.take(store, detect.read(io.BytesIO(text), MAX_BYTES)).chat_ids
    assert [each.text for each in store.notes(chat_id)] == ["so far"]
    assert [each.title for each in store.chats()] == [("word " * 30).strip()]
    store.close()


def test_a_message_of_an_unknown_kind_is_left_out_and_its_followers_keep_their_place() -> None:
    (found,) = chats(read(json.dumps(chat("a", message("m"), message("n", "m", role="tool"), message("o", "n")))))
    assert [(each.key, each.parent_key) for each in found.messages] == [("m", None), ("o", "m")]
    assert found.notices == ("messages of an unknown kind left out: 1",)


def test_an_answer_exported_while_it_ran_comes_as_one_that_was_cut_off() -> None:
    (found,) = chats(
        read(json.dumps(chat("a", message("m", status="streaming"), message("n", "m", status="nonsense"))))
    )
    assert [each.status for each in found.messages] == [Status.INTERRUPTED, Status.DONE]


def test_a_long_chain_needs_no_deep_stack() -> None:
    n = 5_000
    nodes = {str(i): {"message": None, "parent": str(i - 1)} for i in range(n, 0, -1)}
    nodes[str(n)]["message"] = {"author": {"role": "user"}, "content": {"parts": ["end"]}}  # type: ignore[assignment]
    (found,) = chats(read(json.dumps({"mapping": nodes, "id": "x", "current_node": str(n)})))
    assert [each.content for each in found.messages] == ["end"]


SAMPLES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    10**400,
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    ["u", {"role": 5}],
]


def spoiled(value: Any, chance: random.Random) -> Any:
    """A copy in which something has another type, is missing or is there twice."""
    if chance.random() < 0.06:
        return chance.choice(SAMPLES)
    if isinstance(value, dict):
        return {key: spoiled(each, chance) for key, each in value.items() if chance.random() > 0.03}
    if isinstance(value, list):
        return [spoiled(each, chance) for each in value for _ in range(chance.choice([1, 1, 1, 1, 2]))]
    return value


@pytest.mark.parametrize("seed", range(4))
def test_whatever_types_a_file_has_every_chat_is_read_or_told(tmp_path: Path, seed: int) -> None:
    from tests.chat.test_transfer_formats import GPT_CHAT, LLAMA_CONV, LLAMA_MESSAGES, webui_message

    web = {"history": {"messages": {"u": webui_message("u", None, "user", "x", 1)}, "currentId": "u"}, "params": {}}
    whole = [
        chat(
            "a",
            message("m", meta={"usage": {"a": 1}}),
            message("n", "m", files=[{"name": "f", "text": "t"}]),
            tags=["t"],
        ),
        {"conv": LLAMA_CONV, "messages": LLAMA_MESSAGES},
        GPT_CHAT,
        {"id": "w", "chat": web, "meta": {"tags": ["x"]}},
    ]
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    store = Store(tmp_path / "chat.db")
    n_taken = 0
    for _ in range(25):
        text = json.dumps([chat("z"), *(spoiled(each, chance) for each in whole)])
        if chance.random() < 0.3:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(["", '"', "}", "]", "\\", "\0"]) + text[at + 1 :]
        found = read(text)
        taken = keep.take(store, found)
        n_taken += len(taken.chat_ids)
        assert json.dumps(taken.wire())
    assert n_taken > 2
    assert json.loads("".join(keep.all_as_json(store)))
    for each in store.chats():
        assert keep.as_markdown(store, each.id)
    store.close()


def test_a_large_file_is_read_chat_by_chat(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    words = ("ä 👋 words and more words " * 40 + '"\n') * 800
    with path.open("w") as file:
        for number in range(20):
            body = json.dumps(chat(str(number), message("m", content=words)), ensure_ascii=False)
            file.write(("[" if number == 0 else ",\n") + body)
        file.write("]")
    size = path.stat().st_size
    assert size > 15_000_000
    tracemalloc.start()
    with path.open("rb") as file:
        n_chats = sum(isinstance(each, ImportedChat) for each in detect.read(file, size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_chats == 20
    assert peak < size * 0.7  # some copies of one chat
