"""Pictures in files of chats: they leave and come back byte for byte, or it is said that they did not."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatbot.core.store import NewFile, NewMessage, Store, Stored, StoredFile
from chatbot.core.transfer import detect, keep
from tests.chat import samples

PNG = samples.png(40, 30)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
MAX_BYTES = 10_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "a.db")
    yield opened
    opened.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "b.db")
    yield opened
    opened.close()


def taken(store: Store, file: bytes) -> tuple[list[Stored], list[StoredFile]]:
    """The messages and files of the one chat in a file."""
    [chat_id] = keep.take(store, detect.read(io.BytesIO(file), MAX_BYTES)).chat_ids
    messages = store.messages(chat_id)
    files = store.files_of([each.id for each in messages])
    return messages, [file for each in messages for file in files.get(each.id, ())]


def kept(store: Store) -> str:
    picture = NewFile('a <b>"heron".png', "image", "", media_type="image/png", data=PNG)
    said = NewMessage("1", None, "user", "", files=(picture, NewFile("a.txt", "text", "inside")))
    return store.add_chat("herons", 1e9, 1e9, [said, NewMessage("2", "1", "assistant", "A heron.")])


def test_own_export_brings_a_picture_back_byte_for_byte(store: Store, other: Store) -> None:
    messages, files = taken(other, keep.as_json(store, kept(store)).encode())
    assert [each.content for each in messages] == ["", "A heron."]
    assert [(f.name, f.kind, f.media_type, f.data) for f in files] == [
        ('a <b>"heron".png', "image", "image/png", PNG),
        ("a.txt", "text", "", None),
    ]


@pytest.mark.parametrize("data", [None, "no base64!", base64.b64encode(b"<script>").decode(), 7])
def test_own_export_with_a_damaged_picture_says_so_in_its_message(store: Store, other: Store, data: object) -> None:
    found = json.loads(keep.as_json(store, kept(store)))
    found["messages"][0]["files"][0]["data"] = data
    messages, files = taken(other, json.dumps(found).encode())
    assert [f.name for f in files] == ["a.txt"]
    assert messages[0].content == '[a <b>"heron".png: a picture that was not imported]'


def test_markdown_names_the_picture_and_an_import_of_it_says_what_is_missing(store: Store, other: Store) -> None:
    written = keep.as_markdown(store, kept(store))
    assert '\n[picture a &lt;b>"heron".png]\n' in written
    messages, files = taken(other, written.encode())
    assert [f.name for f in files] == ["a.txt"]
    assert "a picture that was not imported" in messages[0].content


def test_open_webui_pictures_in_the_file_are_taken_and_others_are_named(store: Store) -> None:
    files = [{"type": "image", "url": URL}, {"type": "image", "name": "far.png", "url": "/api/v1/files/1/content"}]
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": URL}}]
    said = {"id": "m", "parentId": None, "role": "user", "content": parts, "timestamp": 1, "files": files}
    chat = {"id": "c", "chat": {"history": {"messages": {"m": said}, "currentId": "m"}}}
    [message], found = taken(store, json.dumps([chat]).encode())
    assert [(f.name, f.data) for f in found] == [("picture.png", PNG), ("picture.png", PNG)]
    assert message.content == "Look\n\n[far.png: a picture or other file that was not imported]"


def test_llama_cpp_picture_is_taken(store: Store) -> None:
    extra = [{"type": "imageFile", "name": "heron.png", "base64Url": URL}, {"type": "imageFile", "name": "torn.png"}]
    said = {"id": "1", "convId": "c", "role": "user", "content": "Look", "timestamp": 1, "extra": extra}
    [message], files = taken(store, json.dumps({"conv": {"id": "c", "name": "x"}, "messages": [said]}).encode())
    assert [(f.name, f.data) for f in files] == [("heron.png", PNG)]
    assert message.content == "Look\n\n[torn.png: a picture or other file that was not imported]"


def chatgpt(*pointers: str) -> list[dict[str, Any]]:
    parts = [{"content_type": "image_asset_pointer", "asset_pointer": pointer} for pointer in pointers]
    message = {
        "author": {"role": "user"},
        "create_time": 1,
        "content": {"content_type": "multimodal_text", "parts": [*parts, "Look"]},
        "metadata": {"attachments": [{"id": "file-Ab1", "name": "heron.png"}]},
    }
    return [{"id": "c", "title": "x", "mapping": {"a": {"id": "a", "parent": None, "message": message}}}]


@pytest.mark.parametrize(
    ("pointer", "path", "name"),
    [
        ("file-service://file-Ab1", "file-Ab1-IMG_1.png", "heron.png"),
        ("sediment://file_00ab", "user-1/file_00ab-sanitized.dat", "picture.png"),
    ],
)
def test_chatgpt_picture_is_taken_out_of_the_archive(store: Store, pointer: str, path: str, name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("conversations.json", json.dumps(chatgpt(pointer, "file-service://file-gone")))
        archive.writestr(path, PNG)
    [message], files = taken(store, packed.getvalue())
    assert [(f.name, f.media_type, f.data) for f in files] == [(name, "image/png", PNG)]
    assert "[a picture that was not imported]\n\nLook" in message.content  # the other one


def test_chatgpt_picture_that_lies_nowhere_is_told(store: Store) -> None:
    [message], files = taken(store, json.dumps(chatgpt("file-service://file-Ab1")).encode())
    assert files == []
    assert "[a picture that was not imported]" in message.content
    assert "[heron.png: a file that was not imported]" in message.content


def test_pictures_of_an_archive_together_are_bounded(store: Store) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", json.dumps(chatgpt("file-service://file-Ab1")))
        archive.writestr("file-Ab1-a.png", PNG + bytes(MAX_BYTES))
    [_], files = taken(store, packed.getvalue())
    assert files == []
