"""The states where several people share a house: the door, accounts, administration, a message to all; and pictures."""

from __future__ import annotations

import threading

from playwright.sync_api import expect

from tests.chat.browser import Browser
from tests.chat.household import PASSWORD, guest, logged_in
from tests.chat.page import Tab
from tests.chat.scenes_around import ANSWER, QUESTION, choose
from tests.chat.stage import DARK, LIGHT, PHONE, SMALL, TALL, WIDE, Stage, ended, scene
from tests.processes import REPO, Process

SUMMARY = "Everything runs on the processor. A conversation may be 8,192 tokens long, about 6,100 words."
METRICS = """# TYPE llmserver_generated_tokens_total counter
llmserver_generated_tokens_total{{model="fake-model"}} {tokens}
# TYPE llmserver_prompt_tokens_total counter
llmserver_prompt_tokens_total{{model="fake-model"}} {prompt}
# TYPE llmserver_requests_total counter
llmserver_requests_total{{model="fake-model",outcome="stop"}} 218
# TYPE llmserver_requests_running gauge
llmserver_requests_running{{model="fake-model"}} 2
# TYPE llmserver_requests_waiting gauge
llmserver_requests_waiting{{model="fake-model"}} 1
# TYPE llmserver_kv_cells gauge
llmserver_kv_cells{{model="fake-model"}} 8192
# TYPE llmserver_kv_cells_used gauge
llmserver_kv_cells_used{{model="fake-model"}} {cells}
# TYPE llmserver_resident_bytes gauge
llmserver_resident_bytes 5312000000
"""
SEND_BOTH = """(texts) => {
    const input = document.getElementById("input");
    for (const text of texts) { input.value = text; input.form.requestSubmit(); }
}"""
ROUND_S = 2.2  # as often as the page of the administrator asks
SIGN = REPO / "chatbot" / "web" / "static" / "icon-512.png"


def a_house(stage: Stage) -> Process:
    """A chat server with accounts; the chats of earlier days are its first administrator's."""
    return stage.serve("--accounts", "always", CHATBOT_ADMIN_PASSWORD=PASSWORD)


@scene("The door.", WIDE, LIGHT, DARK)
def login(stage: Stage) -> Tab:
    a_house(stage)
    return stage.open("/login")


@scene("A wrong password.")
def login_wrong(stage: Stage) -> Tab:
    tab = login(stage)
    tab.page.get_by_label("Name").fill("admin")
    tab.page.get_by_label("Password", exact=True).fill("not my password")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("alert")).to_be_visible()
    return tab


@scene("Joining with a code.")
def join(stage: Stage) -> Tab:
    a_house(stage)
    return stage.open("/join")


@scene("The door in a window of 320 dots.", SMALL)
def login_small(stage: Stage) -> Tab:
    return login(stage)


@scene("The own account: sessions, password, what is used.")
def account(stage: Stage) -> Tab:
    house = a_house(stage)
    tab = stage.open(cookie=logged_in(house, "admin"))
    choose(tab, "admin", "Account")
    expect(tab.page.get_by_role("heading", name="Where you are logged in")).to_be_visible()
    return tab


@scene("A message that was refused stays in sight; the one before it is back to be changed.", WIDE, LIGHT, DARK)
def not_sent(stage: Stage) -> Tab:
    house = a_house(stage)
    chief = Browser(house.url, Cookie=logged_in(house, "admin"))
    cookie = guest(chief, house, "Ada")
    ada = next(each["id"] for each in chief.call("admin")["users"] if each["name"] == "Ada")
    chief.call("limits", {"user_id": ada, "limits": {"messages_per_day": 1, "answers_at_once": 0, "storage_mb": 0}})
    chief.client.disconnect()
    stage.model.scripts = [ended(ANSWER)]
    tab = stage.open(cookie=cookie)
    tab.input.fill(QUESTION)
    tab.button("Send").click()
    tab.is_at("done")
    tab.page.evaluate(SEND_BOTH, ["And how much in winter, when it works every day?", "Does it need oats then?"])
    expect(tab.find(".refusal").filter(has_text="Not sent")).to_be_visible()
    return tab


def administration(stage: Stage) -> Tab:
    """The administrator's page with some users and numbers that move."""
    stage.model.plan = {"models": [{"name": "fake-model", "summary": SUMMARY, "file_bytes": 4_683_074_240}]}
    stage.model.metrics = METRICS.format(tokens=10_000, prompt=90_000, cells=2_900)
    house = a_house(stage)
    cookie = logged_in(house, "admin")
    chief = Browser(house.url, Cookie=cookie)
    for name in ("Ada", "Grace"):
        guest(chief, house, name)
    chief.call("invite", {"is_admin": False, "note": "the new neighbour"})
    chief.client.disconnect()
    tab = stage.open("/admin", cookie=cookie)
    expect(tab.find("#users")).to_contain_text("Grace")
    for n in range(1, 4):
        stage.model.metrics = METRICS.format(tokens=10_000 + 90 * n, prompt=90_000 + 400 * n, cells=2_900 + 30 * n)
        threading.Event().wait(ROUND_S)
    return tab


@scene("The administrator's page: what happens now, users and their limits.", TALL, LIGHT, DARK)
def admin(stage: Stage) -> Tab:
    return administration(stage)


@scene("The administrator's page on a phone.", PHONE)
def admin_phone(stage: Stage) -> Tab:
    return administration(stage)


@scene("A message from the administrator to all.")
def alert(stage: Stage) -> Tab:
    house = a_house(stage)
    cookie = logged_in(house, "admin")
    tab = stage.open(cookie=cookie)
    expect(tab.button("admin")).to_be_visible()
    chief = Browser(house.url, Cookie=cookie)
    chief.call("alert", {"text": "The server restarts at 18:00 for a larger model."})
    chief.client.disconnect()
    expect(tab.find(".alert")).to_be_visible()
    return tab


def with_picture(stage: Stage) -> Tab:
    """The page with a picture in the composer."""
    stage.model.capabilities = ["chat", "completion", "vision"]
    tab = stage.open()
    tab.find("#picker").set_input_files(str(SIGN))
    expect(tab.find(".chip .thumb")).to_have_count(1)
    tab.input.fill("What is on this sign?")
    return tab


@scene("A picture that goes with the next message.")
def picture(stage: Stage) -> Tab:
    return with_picture(stage)


@scene("A picture in its message, and an answer to it.")
def picture_sent(stage: Stage) -> Tab:
    tab = with_picture(stage)
    stage.model.scripts = [ended("A fence of three posts and two rails, white on green: the sign of a paddock.")]
    tab.button("Send").click()
    tab.is_at("done")
    return tab


@scene("A picture, larger.")
def picture_larger(stage: Stage) -> Tab:
    tab = picture_sent(stage)
    tab.find(".said img").click()
    expect(tab.page.get_by_role("dialog", name=SIGN.name)).to_be_visible()
    return tab
