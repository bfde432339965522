"""Never lose a token: an answer that a full disk does not take says so, and is kept once there is room."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tabs, stored
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running, until

pytestmark = pytest.mark.browser


def limit_files(server: Process, n_bytes: int) -> None:
    """Let no file of a server grow beyond this, as on a disk that is full."""
    for child in server.children():
        resource.prlimit(child, resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


def test_end_of_an_answer_that_no_disk_takes_is_told_and_saved_once_there_is_room(
    model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    hold = Gate()
    model.scripts = [["start", hold, " and the rest", Finish()]]
    with running(chatbot(model.url, tmp_path)) as chat:
        tab = tabs.open(chat)
        tab.say("say it")
        tab.reads("start")
        chat_id = tab.chat_id()
        until(lambda: stored(tmp_path, chat_id)[-1] == ("assistant", "start", "streaming"), "what came first")
        limit_files(chat, 1)
        hold.open()
        tab.is_at("done")
        expect(tab.answer()).to_contain_text("This answer is not saved yet")
        expect(tab.answer()).to_contain_text("Make room on that disk, or see what else is wrong with it")
        assert stored(tmp_path, chat_id)[-1][1:] == ("start", "streaming")
        late = tabs.open(chat, f"/c/{chat_id}")
        expect(late.answer()).to_contain_text("This answer is not saved yet")
        limit_files(chat, resource.RLIM_INFINITY)
        for each in (tab, late):
            expect(each.answer()).not_to_contain_text("not saved yet")
            each.reads("start and the rest")
        assert stored(tmp_path, chat_id)[-1][1:] == ("start and the rest", "done")
