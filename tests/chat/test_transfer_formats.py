"""What other programs write, in the shapes in which they write it, becomes chats with their branches."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from chatbot.core.store import NewMessage
from chatbot.core.transfer import detect
from chatbot.core.transfer.values import ImportedChat, Skipped

MS = 1_763_000_000_000


def read(data: str | bytes) -> list[ImportedChat | Skipped]:
    raw = data.encode() if isinstance(data, str) else data
    return list(detect.read(io.BytesIO(raw), 10_000_000))


def one(data: Any) -> ImportedChat:
    """The only chat of a file."""
    (chat,) = read(data if isinstance(data, str | bytes) else json.dumps(data))
    assert isinstance(chat, ImportedChat), chat
    return chat


def said(chat: ImportedChat) -> list[tuple[str, str, str | None]]:
    """Role, text and the parent's text of each message."""
    texts = {each.key: each.content for each in chat.messages}
    return [(each.role, each.content, texts.get(each.parent_key or "")) for each in chat.messages]


def shown(chat: ImportedChat) -> list[str]:
    """The texts of the branch that is shown."""
    by_key = {each.key: each for each in chat.messages}
    at: NewMessage | None = by_key[chat.leaf_key or ""]
    texts: list[str] = []
    while at is not None:
        texts.insert(0, at.content)
        at = by_key.get(at.parent_key or "")
    return texts


def zipped(**files: str | bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return target.getvalue()


def llama_message(key: str, parent: str | None, role: str, text: str, at: int, **more: Any) -> dict[str, Any]:
    made = {"id": key, "convId": "c1", "type": "text", "timestamp": MS + at, "role": role, "content": text}
    return made | {"parent": parent, "children": []} | more


LLAMA_CONV = {"id": "c1", "name": "Two answers", "currNode": "a2", "lastModified": MS + 99, "pinned": True}
LLAMA_MESSAGES = [
    llama_message("r", None, "system", "", 0, type="root"),
    llama_message("s", "r", "system", "Be brief.", 1, type="system"),
    llama_message("u1", "s", "user", "Hi", 2, extra=[{"type": "textFile", "name": "n.txt", "content": "notes"}]),
    llama_message("a1", "u1", "assistant", "Hello", 3, model="m.gguf"),
    llama_message("a2", "u1", "assistant", "Hey", 4, reasoningContent="greet", toolCalls=[{"id": "t"}]),
    llama_message("u2", "a1", "user", "Look", 5, extra=[{"type": "imageFile", "name": "p.png", "base64Url": "x"}]),
]


def llama_lines(conv: dict[str, Any] = LLAMA_CONV, messages: list[dict[str, Any]] = LLAMA_MESSAGES) -> str:
    records = [{"harness": "llama.app", "type": "session", **conv}]
    return "\n".join(map(json.dumps, [*records, *({"message": each, "type": "message"} for each in messages)]))


@pytest.mark.parametrize(
    "data",
    [
        llama_lines(),
        llama_lines().replace("\n", "\r\n") + "\r\n\r\n",
        json.dumps({"conv": LLAMA_CONV, "messages": LLAMA_MESSAGES}),
        "\ufeff" + json.dumps([{"conv": LLAMA_CONV, "messages": LLAMA_MESSAGES}], indent=2),
        zipped(a__jsonl=llama_lines(), readme__txt="not read"),
    ],
    ids=["lines", "lines of Windows", "one object", "a list", "a zip"],
)
def test_llama_cpp_export_comes_with_branches_times_reasoning_files_and_system_prompt(data: str | bytes) -> None:
    chat = one(data)
    assert said(chat) == [
        ("user", "Hi", None),
        ("assistant", "Hello", "Hi"),
        ("assistant", "Hey", "Hi"),
        ("user", "Look\n\n[p.png: a picture or other file that was not imported]", "Hello"),
    ]
    assert shown(chat) == ["Hi", "Hey"]
    assert (chat.title, chat.pinned, chat.options) == ("Two answers", True, {"system_prompt": "Be brief."})
    assert (chat.created_at, chat.updated_at) == (MS / 1000, (MS + 99) / 1000)
    assert chat.messages[0].files[0].text == "notes"
    assert (chat.messages[2].reasoning, chat.messages[1].meta) == ("greet", {"model": "m.gguf"})
    assert chat.messages[3].created_at == (MS + 5) / 1000


def test_llama_cpp_answer_with_tools_in_between_is_one_message() -> None:
    messages = [
        llama_message("u", None, "user", "Sum?", 1),
        llama_message("a", "u", "assistant", "Let me compute.", 2, reasoningContent="use a tool"),
        llama_message("t", "a", "tool", "42", 3, toolCallId="x"),
        llama_message("b", "t", "assistant", "It is 42.", 4),
    ]
    chat = one({"conv": {**LLAMA_CONV, "currNode": "b"}, "messages": messages})
    text = "Let me compute.\n\n**Result of a tool**\n\n```\n42\n```\n\nIt is 42."
    assert said(chat) == [("user", "Sum?", None), ("assistant", text, "Sum?")]
    assert shown(chat) == ["Sum?", text]


def test_several_llama_cpp_chats_in_one_file_of_lines_stay_apart() -> None:
    second = [llama_message("x", None, "user", "Other", 9) | {"convId": "c2"}]
    chats = read(llama_lines() + "\n" + llama_lines({**LLAMA_CONV, "id": "c2", "currNode": ""}, second))
    assert [isinstance(each, ImportedChat) and len(each.messages) for each in chats] == [4, 1]


def webui_message(key: str, parent: str | None, role: str, text: Any, at: int, **more: Any) -> dict[str, Any]:
    made = {
        "id": key,
        "parentId": parent,
        "childrenIds": [],
        "role": role,
        "content": text,
        "timestamp": MS // 1000 + at,
    }
    return made | more


def test_open_webui_export_comes_with_branches_reasoning_files_and_tags() -> None:
    thought = '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>\n'
    messages = [
        webui_message("u", None, "user", "Hi", 1, files=[{"name": "a.md", "file": {"data": {"content": "# A"}}}]),
        webui_message("a", "u", "assistant", f"{thought}> 1 &lt; 2\n> so\n</details>\nHello", 2, model="llama3"),
        webui_message("b", "u", "assistant", "Hey", 3, files=[{"type": "image", "url": "/x.png"}]),
    ]
    history = {"messages": {each["id"]: each for each in messages}, "currentId": "a"}
    chat = one(
        [
            {
                "id": "w1",
                "title": "Greeting",
                "chat": {"history": history, "messages": [], "models": ["llama3"], "params": {"system": "Be kind."}},
                "created_at": MS // 1000,
                "updated_at": MS // 1000 + 9,
                "pinned": True,
                "archived": True,
                "meta": {"tags": ["home", "a"]},
            }
        ]
    )
    note = "[a picture or other file that was not imported]"
    assert said(chat) == [("user", "Hi", None), ("assistant", "Hello", "Hi"), ("assistant", f"Hey\n\n{note}", "Hi")]
    assert shown(chat) == ["Hi", "Hello"]
    assert (chat.messages[1].reasoning, chat.messages[0].files[0].text) == ("1 < 2\nso", "# A")
    assert (chat.tags, chat.pinned, chat.options) == (("home", "a", "archived"), True, {"system_prompt": "Be kind."})
    assert (chat.source_key, chat.created_at, chat.updated_at) == ("openwebui:w1", MS / 1000, MS / 1000 + 9)


def test_an_old_open_webui_chat_without_a_tree_is_read_from_its_list() -> None:
    chat = one(
        {"id": "w2", "chat": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}}
    )
    assert said(chat) == [("user", "a", None), ("assistant", "b", "a")]


def gpt_node(key: str, parent: str | None, role: str, content: Any, at: float | None, **about: Any) -> dict[str, Any]:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    message = {"id": key, "author": {"role": role}, "create_time": at, "content": content, "metadata": about}
    return {"id": key, "message": message, "parent": parent, "children": []}


GPT_NODES = [
    {"id": "root", "message": None, "parent": None, "children": ["sys"]},
    gpt_node("sys", "root", "system", "", None, is_visually_hidden_from_conversation=True),
    gpt_node("ctx", "sys", "user", {"content_type": "user_editable_context", "user_profile": "secret"}, None),
    gpt_node("u", "ctx", "user", {"content_type": "multimodal_text", "parts": [
        {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"}, "What is this?"]}, 100.5),
    gpt_node("t", "u", "assistant", {
        "content_type": "thoughts", "thoughts": [{"summary": "Look", "content": "closely"}]}, 101.0),
    gpt_node("r", "t", "assistant", {"content_type": "reasoning_recap", "content": "Thought for 2s"}, 102.0),
    gpt_node("c", "r", "assistant", {"content_type": "code", "language": "python", "text": "1+1"}, 103.0),
    gpt_node("x", "c", "tool", {"content_type": "execution_output", "text": "2"}, 104.0),
    gpt_node("a", "x", "assistant", "A cat.", 105.0, model_slug="gpt-x"),
    gpt_node("b", "u", "assistant", "A dog.", 106.0),
]  # fmt: skip
GPT_CHAT = {
    "title": "Picture",
    "create_time": 100.0,
    "update_time": 107.0,
    "mapping": {each["id"]: each for each in GPT_NODES},
    "current_node": "a",
    "conversation_id": "g1",
    "is_archived": False,
}
USER_JSON = json.dumps({"id": "user-1", "email": "x@example.com"})
SHARED_JSON = json.dumps([{"id": "s", "conversation_id": "g1", "title": "Picture"}])


@pytest.mark.parametrize(
    "data",
    [
        json.dumps([GPT_CHAT]),
        zipped(
            conversations__json=json.dumps([GPT_CHAT]), user__json=USER_JSON, shared__json=SHARED_JSON, chat__html="<p>"
        ),
    ],
    ids=["json", "zip"],
)
def test_chatgpt_export_comes_without_hidden_nodes_and_an_answer_in_pieces_is_one(data: str | bytes) -> None:
    chat = one(data)
    asked = "[a picture that was not imported]\n\nWhat is this?"
    answer = "```python\n1+1\n```\n\n**Result of a tool**\n\n```\n2\n```\n\nA cat."
    assert said(chat) == [("user", asked, None), ("assistant", answer, asked), ("assistant", "A dog.", asked)]
    assert shown(chat) == [asked, answer]
    assert (chat.messages[1].reasoning, chat.messages[1].meta) == ("Look\n\nclosely", {"model": "gpt-x"})
    assert (chat.created_at, chat.updated_at, chat.source_key) == (100.0, 107.0, "chatgpt:g1")


def test_formats_are_told_apart_by_content_in_one_archive() -> None:
    chats = read(zipped(a__md=llama_lines(), b__json=json.dumps([GPT_CHAT]), dir__c__jsonl="not json at all"))
    assert sorted(each.source_key for each in chats if isinstance(each, ImportedChat)) == ["chatgpt:g1", "llama.cpp:c1"]
    assert len(chats) == 2
