"""Sources of a chat that comes from a file: links where they are here, else it is said that they are not."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from rag.again import digest_of
from tests.chat.browser import Browser as Sockets
from tests.chat.page import Tabs
from tests.chat.readers import put_on_shelf
from tests.chat.shelves import BREAD
from tests.chat.test_transfer_web import PADDOCK, own, upload
from tests.fakes import FakeServer
from tests.processes import Process

pytestmark = pytest.mark.browser


def test_sources_of_an_imported_chat_are_links_where_the_documents_are_here(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    page = Sockets(library_chat.url)
    shelf = page.call("shelf_add", {"name": "imported"})["shelf"]["id"]
    document_id = put_on_shelf(library_chat, "", "bread.md", shelf, BREAD).body["document_id"]
    text = page.call("document", {"document_id": document_id})["text"]
    here = {"n": 1, "document_id": 99, "title": "Bread", "uri": "file:bread.md", "start": 0, "end": len(text)}
    sources = [
        {**here, "text": text, "digest": digest_of(text)},
        {**here, "n": 2, "title": "Butter", "uri": "file:butter.md", "text": "Churn.", "digest": digest_of("Churn.")},
    ]
    marks = [{"n": n, "confirmed": True, "quote": ""} for n in (1, 2)]
    library = {"shelves": ["imported"], "depth": "quick", "sources": sources, "marks": marks}
    chat = own("from-elsewhere", "Brought with sources")
    answer = {"id": "a", "parent": "m", "role": "assistant", "content": "Knead [1]. Churn [2].", "created_at": 1e9 + 1}
    chat["messages"].append({**answer, "meta": {"library": library}})
    assert upload(library_chat.url, json.dumps(chat).encode(), **PADDOCK)[0] == 200

    tab = tabs.open(library_chat)
    tab.page.get_by_role("link", name="Brought with sources").click()
    rows = tab.answer().locator(".sources li")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).get_by_role("link", name="Bread")).to_be_visible()
    expect(rows.nth(1)).to_contain_text("this document is not in the library here")
    expect(rows.nth(1).get_by_role("link")).to_have_count(0)
    rows.nth(0).get_by_role("link", name="Bread").click()
    expect(tab.find("#library mark")).to_contain_text("Knead 500 g of flour")
    assert tab.errors == []
