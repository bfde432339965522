"""What one user has in the library, and what another may try who wants it."""

from __future__ import annotations

from typing import Any

from tests.chat.browser import Browser
from tests.chat.residents import ask
from tests.processes import Process

MARK = "aubergine"  # in all that belongs to the one whom nobody may read
NO_NUMBER = 987_654  # nobody's


def shelves(web: Process, page: Browser, cookie: str) -> dict[str, int]:
    """What the victim has in the library: a shelf, one that was deleted, and one that all may read."""
    ids: dict[str, int] = {}
    for name, is_shared, text in (("own", False, MARK), ("gone", False, MARK), ("shared", True, "radish")):
        shelf = page.call("shelf_add", {"name": f"{text} {name}", "is_shared": is_shared})["shelf"]["id"]
        source = {"shelf_id": shelf, "kind": "page", "address": f"http://127.0.0.1:9/{text}", "options": {}}
        ids[f"{name}_source"] = page.call("source_add", source)["source"]["id"]
        put = put_on_shelf(web, cookie, f"{text}.txt", shelf, f"All of {text}.")
        assert put.status == 200, put
        ids |= {f"{name}_shelf": shelf, f"{name}_document": put.body["document_id"]}
    page.until(lambda: len([b for n, b in page.heard if n == "library_run" and b["source"]["state"] == "ok"]) == 3)
    page.call("shelf_delete", {"shelf_id": ids["gone_shelf"]})
    return ids


def put_on_shelf(web: Process, cookie: str, name: str, shelf_id: int, text: str) -> Any:
    form = f'--xx\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{text}\r\n--xx--\r\n'
    address = f"{web.url}/library/{shelf_id}/files"
    return ask(address, form.encode(), cookie, Content_Type="multipart/form-data; boundary=xx")


def on_shelves(ids: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The same for the events of the library, and for what is another's and shared what would change it."""
    own = [{"shelf_id": ids["own_shelf"]}, {"shelf_id": ids["gone_shelf"]}]
    shared = {"shelf_id": ids["shared_shelf"]}
    sources = [{"source_id": ids[f"{each}_source"]} for each in ("own", "gone", "shared")]
    documents = [{"document_ids": [ids[f"{each}_document"]]} for each in ("own", "gone", "shared")]
    return {
        "library": [{}],
        "shelf_add": [{"name": "mine", "is_shared": False}],
        "shelf_change": [{**each, **what} for each in (*own, shared) for what in ({"name": "x"}, {"is_shared": True})],
        "shelf_delete": [*own, shared],
        "shelf_restore": [*own, shared],
        "shelf": [*own, {**own[0], "text": MARK}],
        "source_add": [{**each, "kind": "page", "address": "http://127.0.0.1:9/"} for each in (*own, shared)],
        "source_refresh": sources,
        "source_stop": sources,
        "source_remove": sources,
        "source_failures": sources[:2],
        "document_delete": documents,
        "document_restore": documents,
        "find": [{"text": MARK, "shelf_ids": [ids[each]]} for each in ("own_shelf", "gone_shelf")]
        + [{"text": MARK, "shelf_ids": [ids["shared_shelf"], ids["own_shelf"]]}],
        "document": [{"document_id": ids[each]} for each in ("own_document", "gone_document")],
        "mentions": [{"text": MARK}, {"text": MARK[:4]}, {"text": "", "chat_id": ids["chat"]}],
    }
