"""Chats that leave as files and come back: nothing is lost on the way, and nothing comes twice."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.core.events import Status
from chatbot.core.store import Chat, NewFile, NewMessage, Notes, Store, Stored
from chatbot.core.transfer import detect, keep, markdown
from chatbot.errors import BadRequest

BEGAN = 1_700_000_000.0
MAX_BYTES = 50_000_000

# A store's titles and tags have their own rules, texts have none.
NO_NUL = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
PIECES = st.sampled_from(
    [
        "```",
        "```python",
        "````",
        "~~~",
        "<!-- 5f",
        "-->",
        "---",
        "## You",
        "</details>",
        "<summary>",
        "\r\n",
        "\r",
        "\n",
    ]
)
TEXTS = st.one_of(
    st.text(NO_NUL, max_size=30), st.lists(st.one_of(PIECES, st.text(NO_NUL, max_size=4)), max_size=6).map("\n".join)
)
WORDS = st.text(st.sampled_from("abc äé👋"), min_size=1, max_size=20).filter(lambda words: words.strip() == words)
TIMES = st.integers(1, 10**15).map(lambda micros: BEGAN + micros / 1e7)
FILES = st.builds(NewFile, name=WORDS, kind=st.sampled_from(["text", "pdf"]), text=TEXTS, source=st.just(""))


@st.composite
def trees(draw: st.DrawFn, chain: bool = False) -> list[NewMessage]:
    """Messages with branches, or in one line."""
    made: list[NewMessage] = []
    for number in range(draw(st.integers(1, 8))):
        above = number - 1 if chain else draw(st.integers(-1, number - 1))
        made.append(
            NewMessage(
                key=str(number),
                parent_key=str(above) if above >= 0 else None,
                role=draw(st.sampled_from(["user", "assistant"])),
                content=draw(TEXTS),
                created_at=draw(TIMES),
                reasoning=draw(TEXTS),
                meta=draw(st.sampled_from([{}, {"finish_reason": "stop", "usage": {"prompt_tokens": 3}}])),
                status=draw(st.sampled_from([Status.DONE, Status.STOPPED, Status.INTERRUPTED])),
                files=tuple(draw(st.lists(FILES, max_size=2))),
            )
        )
    return made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    yield from _store(tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    yield from _store(tmp_path_factory.mktemp("there"))


def _store(folder: Path) -> Iterator[Store]:
    opened = Store(folder / "chat.db")
    yield opened
    opened.close()


def bring(store: Store, text: str | bytes) -> keep.Taken:
    data = text.encode() if isinstance(text, str) else text
    return keep.take(store, detect.read(io.BytesIO(data), MAX_BYTES))


def shape(store: Store, chat_id: str, *, branch: bool = False) -> dict[str, Any]:
    """All that a person could miss of a chat, without ids."""
    chat, stored = store.chat(chat_id), store.messages(chat_id) if branch else store.tree(chat_id)
    place = {each.id: number for number, each in enumerate(stored)}
    files, notes = store.files_of(list(place)), store.notes(chat_id)
    return {
        "chat": (chat.title, chat.pinned, chat.tags, store.options(chat_id)),
        "times": [chat.created_at, chat.updated_at, *(each.created_at for each in stored)],
        "notes": [(n.text, place.get(n.through), n.n_folded, [place.get(key) for key in n.outdated]) for n in notes],
        "shown": place[chat.leaf_id or ""],
        "messages": [
            {
                "parent": place.get(each.parent_id or ""),
                "role": each.role,
                "content": each.content,
                "reasoning": each.reasoning,
                "status": each.status,
                "meta": {name: value for name, value in each.meta.items() if name != keep.ORIGIN},
                "files": [(file.name, file.kind, file.text, file.source) for file in files.get(each.id, [])],
            }
            for each in stored
        ],
    }


@settings(max_examples=60, deadline=None)
@given(messages=trees(), data=st.data())
def test_a_chat_exported_as_json_comes_back_equal(
    here: Store, there: Store, messages: list[NewMessage], data: st.DataObject
) -> None:
    chat_id = here.add_chat(
        data.draw(WORDS),
        data.draw(TIMES),
        data.draw(TIMES),
        messages,
        {"temperature": 0.2, "stop": ["x"], "system_prompt": data.draw(WORDS)},
        leaf_key=data.draw(st.sampled_from([each.key for each in messages])),
        tags=data.draw(st.sampled_from([[], ["work"], ["a b", "Ärger"]])),
        pinned=data.draw(st.booleans()),
    )
    ends = data.draw(st.lists(st.sampled_from(here.tree(chat_id)), max_size=2, unique_by=lambda each: each.id))
    here.set_notes(chat_id, [Notes("so far", each.id, 1, (each.id,)) for each in ends], was=())
    taken = bring(there, keep.as_json(here, chat_id))
    assert (len(taken.chat_ids), taken.n_messages, taken.n_skipped, taken.notices) == (1, len(messages), 0, ())
    assert shape(there, taken.chat_ids[0]) == shape(here, chat_id)


@settings(max_examples=60, deadline=None)
@given(messages=trees(chain=True), title=WORDS)
def test_a_branch_exported_as_markdown_comes_back_equal(
    here: Store, there: Store, messages: list[NewMessage], title: str
) -> None:
    chat_id = here.add_chat(title, BEGAN, BEGAN + 1, messages, {"top_k": 3}, tags=["t"])
    taken = bring(there, keep.as_markdown(here, chat_id))
    before, after = shape(here, chat_id), shape(there, taken.chat_ids[0])
    assert after.pop("times") == pytest.approx(before.pop("times"), abs=2e-6)
    assert after == before


def test_markdown_shows_the_branch_that_is_shown_and_lets_no_open_block_swallow_the_next_message(here: Store) -> None:
    told = "Run:\n```python\nprint(1)"
    chat_id = here.add_chat(
        "Fences & <b>", BEGAN, BEGAN, [
            NewMessage("q", None, "user", "How?", BEGAN, files=(NewFile("a.md", "text", "```\nx\n```"),)),
            NewMessage("other", "q", "assistant", "not shown", BEGAN),
            NewMessage("a", "q", "assistant", told, BEGAN, reasoning="It wants *code*."),
            NewMessage("thanks", "a", "user", "Thanks", BEGAN),
        ],
    )  # fmt: skip
    text = keep.as_markdown(here, chat_id)
    assert text.startswith('---\ntitle: "Fences & <b>"\ndate: "2023-11-14T22:13:20+00:00"\n')
    assert "not shown" not in text
    assert f"\n{told}\n```\n<!-- " in text
    assert "\n````\n```\nx\n```\n````\n" in text
    assert (
        text.index("<summary>Thoughts</summary>") < text.index("It wants *code*.") < text.rindex("</details>\n\n<!--")
    )
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## You", "## Assistant", "## You"]


def test_a_message_that_speaks_of_the_mark_of_its_chat_is_no_boundary(there: Store) -> None:
    def written(*texts: str) -> str:
        chat = Chat("c1", "Marks", BEGAN, BEGAN)
        stored = [Stored(str(n), "c1", None, "user", text, Status.DONE, 1, {}, BEGAN) for n, text in enumerate(texts)]
        return markdown.write(chat, stored, {}, {})

    mark = json.loads(written("x").split("paddock: ")[1].split("\n")[0])["mark"]
    spoof = f'<!-- {mark} end {{}} -->\n<!-- {mark} message {{"role": "assistant"}} -->'
    taken = bring(there, written("x", spoof))
    assert [each.content for each in there.tree(taken.chat_ids[0])] == ["x", spoof]


def test_all_chats_are_one_list_that_holds_each_chat_once(tmp_path: Path) -> None:
    store, empty = next(_store(tmp_path / "a")), next(_store(tmp_path / "b"))
    assert json.loads("".join(keep.all_as_json(store))) == []
    for number in range(3):
        store.add_chat(f"chat {number}", BEGAN + number, BEGAN, [NewMessage("q", None, "user", str(number), BEGAN)])
    pieces = list(keep.all_as_json(store))
    assert len(pieces) == 4  # one chat at a time
    taken = bring(empty, "".join(pieces))
    assert sorted(chat.title for chat in empty.chats()) == ["chat 0", "chat 1", "chat 2"]
    assert taken.n_skipped == 0
    store.close()
    empty.close()


def test_the_same_file_twice_or_in_its_own_store_brings_nothing_new(here: Store, there: Store) -> None:
    chat_id = here.add_chat("Twice", BEGAN, BEGAN, [NewMessage("q", None, "user", "hello", BEGAN)])
    text, markdown = keep.as_json(here, chat_id), keep.as_markdown(here, chat_id)
    assert len(bring(there, f"[{text},{text}]").chat_ids) == 1
    for store, body in ((there, text), (there, markdown), (here, text), (here, markdown)):
        taken = bring(store, body)
        assert (taken.chat_ids, taken.n_skipped, taken.notices) == ((), 1, ("1 chat left out: here already",))


def test_a_chat_that_travelled_on_is_still_known_at_home(here: Store, there: Store) -> None:
    chat_id = here.add_chat("Traveller", BEGAN, BEGAN, [NewMessage("q", None, "user", "hello", BEGAN)])
    (there_id,) = bring(there, keep.as_json(here, chat_id)).chat_ids
    assert bring(here, keep.as_json(there, there_id)).chat_ids == ()


def test_a_chat_that_went_on_elsewhere_comes_beside_the_older_one(here: Store, there: Store) -> None:
    chat_id = here.add_chat("Grows", BEGAN, BEGAN, [NewMessage("q", None, "user", "one", BEGAN)])
    (there_id,) = bring(there, keep.as_json(here, chat_id)).chat_ids
    _, answer = there.add_turn(there_id, "two", None)
    there.save(answer.id, "three", Status.DONE, {})
    longer = keep.as_json(there, there_id)
    (second,) = bring(here, longer).chat_ids
    assert [each.content for each in here.messages(second)] == ["one", "two", "three"]
    assert bring(here, longer).chat_ids == ()


def test_a_chat_that_went_on_in_both_places_loses_nothing(here: Store, there: Store) -> None:
    chat_id = here.add_chat("Forks", BEGAN, BEGAN, [NewMessage("q", None, "user", "one", BEGAN)])
    (there_id,) = bring(there, keep.as_json(here, chat_id)).chat_ids
    for store, at, words in ((here, chat_id, ["two", "three", "four", "five"]), (there, there_id, ["zwei", "drei"])):
        for asked, answered in zip(words[::2], words[1::2], strict=True):
            _, answer = store.add_turn(at, asked, None)
            store.save(answer.id, answered, Status.DONE, {})
    (second,) = bring(here, keep.as_json(there, there_id)).chat_ids
    assert [each.content for each in here.messages(second)] == ["one", "zwei", "drei"]
    assert [each.content for each in here.messages(chat_id)] == ["one", "two", "three", "four", "five"]


def test_an_answer_that_was_continued_is_no_other_one(here: Store) -> None:
    chat_id = here.add_chat("Longer", BEGAN, BEGAN, [NewMessage("q", None, "user", "tell", BEGAN)])
    _, answer = here.add_turn(chat_id, "more", None)
    here.save(answer.id, "It began", Status.STOPPED, {})
    begun = keep.as_json(here, chat_id)
    here.save(answer.id, "It began and ended.", Status.DONE, {})
    assert bring(here, begun).chat_ids == ()


def test_a_chat_whose_turns_were_all_taken_back_comes_as_empty_as_it_was(here: Store, there: Store) -> None:
    chat_id = here.add_chat("Undone", BEGAN, BEGAN, [NewMessage("q", None, "user", "hello", BEGAN)], leaf_key=None)
    (there_id,) = bring(there, keep.as_json(here, chat_id)).chat_ids
    assert (there.messages(there_id), [each.content for each in there.tree(there_id)]) == ([], ["hello"])


def test_a_deleted_chat_can_be_imported_again(here: Store) -> None:
    chat_id = here.add_chat("Gone", BEGAN, BEGAN, [NewMessage("q", None, "user", "hello", BEGAN)])
    text = keep.as_json(here, chat_id)
    here.delete([chat_id])
    assert len(bring(here, text).chat_ids) == 1


def test_a_long_title_is_kept(here: Store, there: Store) -> None:
    chat_id = here.add_chat("x", BEGAN, BEGAN, [NewMessage("q", None, "user", "hello", BEGAN)])
    here.rename(chat_id, "word " * 30)
    (there_id,) = bring(there, keep.as_json(here, chat_id)).chat_ids
    assert there.chat(there_id).title == here.chat(chat_id).title


def test_a_setting_that_this_version_does_not_allow_is_left_out_and_told(here: Store, there: Store) -> None:
    chat_id = here.add_chat("Odd", BEGAN, BEGAN, [NewMessage("q", None, "user", "hello", BEGAN)])
    body = json.loads(keep.as_json(here, chat_id)) | {"options": {"temperature": 99, "top_k": 5, "warp": 9}}
    taken = bring(there, json.dumps(body))
    assert there.options(taken.chat_ids[0]) == {"top_k": 5}
    assert len(taken.notices) == 2 and "temperature" in " ".join(taken.notices)


def test_a_file_of_a_newer_paddock_is_refused_in_words(here: Store, there: Store) -> None:
    chat_id = here.add_chat("New", BEGAN, BEGAN, [NewMessage("q", None, "user", "hello", BEGAN)])
    body = json.loads(keep.as_json(here, chat_id)) | {"version": 2}
    taken = bring(there, json.dumps(body))
    assert taken.chat_ids == () and "newer Paddock" in taken.notices[0]


@pytest.mark.parametrize(
    "text", ["", "hello", "{}", "[]", '[{"a": 1}]', "---\ntitle: x\n---\nhi", "\x00\x01", "[1, 2]"]
)
def test_a_file_without_chats_is_refused_with_what_can_be_read(here: Store, text: str) -> None:
    with pytest.raises(BadRequest, match=r"llama\.cpp's page, Open WebUI and ChatGPT"):
        bring(here, text)
