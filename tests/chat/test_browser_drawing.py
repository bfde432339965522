"""How often an answer is drawn: what nobody can read along more seldom than what is read, never twice in a frame."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chat.measure_page import Pace
from tests.chat.page import Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser

N_TOKENS = 600
# Notes when the answer is changed, and how many frames there were; each change is one drawing.
WATCH = """() => {
  window.drawn = []; window.frames = 0;
  const count = () => { frames++; requestAnimationFrame(count); };
  count();
  const watch = new MutationObserver(() => document.querySelector(".answer .text") && drawn.push(performance.now()));
  watch.observe(document.querySelector("#messages"), {subtree: true, childList: true, characterData: true});
}"""


@pytest.mark.parametrize(("rate", "most_a_second"), [(400, 25), (100, 61)])
def test_an_answer_is_drawn_as_often_as_it_can_be_read(
    model: FakeServer, chat: Process, tabs: Tabs, rate: int, most_a_second: int
) -> None:
    script: list[Any] = []
    for at in range(N_TOKENS):
        script += [Pace(at / rate), f"{at} "] if at % 4 == 0 else [f"{at} "]
    model.scripts = [[*script, Finish()]]
    tab = tabs.open(chat)
    tab.page.evaluate(WATCH)
    tab.say("go")
    tab.is_at("done")
    n_drawn, seconds, n_frames = tab.page.evaluate("() => [drawn.length, (drawn.at(-1) - drawn[0]) / 1000, frames]")
    assert 5 < n_drawn <= min(most_a_second * seconds + 5, n_frames + 5)
    assert tab.answer().locator(".body").inner_text().split() == [str(n) for n in range(N_TOKENS)]
