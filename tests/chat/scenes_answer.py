"""The states of a conversation, from the first page to the end of an answer."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.chat.page import Tab
from tests.chat.stage import DARK, LIGHT, TALL, WIDE, Stage, ended, scene
from tests.fakes import Cut, Gate, Reason, Refuse, prompt_progress, queue_position
from tests.processes import free_port

PLAIN = (
    "A file is read line by line without loading all of it:\n\n"
    '```python\nfrom pathlib import Path\n\nwith Path("horses.txt").open() as lines:\n'
    "    for number, line in enumerate(lines, 1):\n        print(number, line.rstrip())\n```\n\n"
    "`rstrip` takes the end of the line away. For a file of several gigabytes this needs no more "
    "memory than its longest line."
)
RICH = """## What a horse eats

Three rules decide **most** of it:

1. Hay first, grain last.
2. Small meals, _often_.
3. Water at all times.

| Feed | kg a day | Energy |
|---|--:|--:|
| Hay | 8.0 | 64 MJ |
| Oats | 1.5 | 17 MJ |
| Carrots | 0.5 | 1 MJ |

The need for energy grows with the weight $m$:

$$E = 0.6 \\cdot m^{0.75}$$

```python
def energy(weight_kg: float) -> float:
    '''Megajoules a day.'''
    return 0.6 * weight_kg**0.75
```

> Ask a vet before a change of feed.

- [x] weigh the hay
- [ ] look at the teeth
"""
LONG = "\n\n".join(
    f"### Step {n}\n\nBrush the coat from the neck to the tail, then the legs. " * 1 + "Take your time. " * 12
    for n in range(1, 25)
)


@scene("The first page, before anything was said.", WIDE, LIGHT, DARK)
def empty(stage: Stage) -> Tab:
    stage.serve(kept=False)
    tab = stage.open()
    expect(tab.find("nav .none")).to_be_visible()
    return tab


@scene("The first start without a model server: what is missing and what happens next.")
def no_model(stage: Stage) -> Tab:
    stage.serve(url=f"http://127.0.0.1:{free_port()}/v1", kept=False)
    tab = stage.open()
    expect(tab.strip).to_contain_text("The model is away")
    return tab


@scene("The model is being loaded; a message can be sent already.")
def loading(stage: Stage) -> Tab:
    stage.model.state = "loading"
    tab = stage.open()
    expect(tab.strip).to_contain_text("being loaded")
    tab.say("How do I read a file line by line in Python?")
    tab.is_at("waiting")
    return tab


@scene("The model reads the conversation, and says how far it is.")
def reading(stage: Stage) -> Tab:
    tab = stage.asked("Sum up the report.", prompt_progress(430, 1000), Gate(), "x", status="reading")
    expect(tab.answer().locator(".stage")).to_contain_text("43 %")
    return tab


@scene("The model answers others first.")
def queued(stage: Stage) -> Tab:
    tab = stage.asked("Sum up the report.", queue_position(2), Gate(), "x", status="reading")
    expect(tab.answer().locator(".stage")).to_contain_text("2 before you")
    return tab


@scene("A second message waits for the answer before it and can be taken back.")
def waiting_in_line(stage: Stage) -> Tab:
    tab = stage.asked("How do I read a file line by line?", PLAIN, Gate(), "x", status="streaming")
    tab.say("And how do I write one?")
    tab.is_at("queued")
    return tab


@scene("An answer on its way.", WIDE, LIGHT, DARK)
def streaming(stage: Stage) -> Tab:
    tab = stage.asked("How do I read a file line by line in Python?", PLAIN[:330], Gate(), "x", status="streaming")
    expect(tab.answer()).to_contain_text("rstrip")
    return tab


@scene("The thoughts of a model that reasons, open while it thinks.")
def thinking(stage: Stage) -> Tab:
    said = "The person wants to read a file.\n\n- `readlines` loads all of it\n- iterating does not"
    tab = stage.asked("How do I read a file line by line?", Reason(said), Gate(), "x", status="streaming")
    tab.answer().locator("summary").click()
    expect(tab.answer().locator(".thoughts")).to_contain_text("iterating")
    return tab


@scene("A finished answer with its statistics and what can be done with it.", WIDE, LIGHT, DARK)
def done(stage: Stage) -> Tab:
    return stage.asked("How do I read a file line by line in Python?", *ended(PLAIN))


@scene("An answer that was stopped and can go on.")
def stopped(stage: Stage) -> Tab:
    tab = stage.asked(
        "Tell me of the first horses.", "The first horses were no larger than a fox", Gate(), "x", status="streaming"
    )
    tab.button("Stop").click()
    tab.is_at("stopped")
    return tab


@scene("The model server broke off: what had arrived is kept.")
def error(stage: Stage) -> Tab:
    return stage.asked("Tell me of the first horses.", "The first horses were no larger than", Cut(), status="error")


@scene("The model is too busy: when to try again.")
def busy(stage: Stage) -> Tab:
    refusal = Refuse(429, "queue_full", "the model is busy with 8 other requests; try again in 300 seconds", 300)
    return stage.asked("Tell me of the first horses.", refusal, status="error")


@scene("The chat server was killed in the middle; Continue goes on in the same message.")
def interrupted(stage: Stage) -> Tab:
    port = free_port()
    server = stage.serve(port=port)
    tab = stage.asked(
        "Tell me of the first horses.", "The first horses were no larger than a fox. ", Gate(), status="streaming"
    )
    tab.page.wait_for_timeout(1000)  # until the text is saved
    server.kill()
    stage.serve(port=port)
    tab.is_at("interrupted")
    expect(tab.strip).to_be_hidden()
    return tab


@scene("The second of three versions of an answer.")
def branches(stage: Stage) -> Tab:
    tab = stage.asked("A name for a grey mare?", *ended("Mist."))
    for name in ("Slate, as the stone.", "Ash."):
        stage.model.scripts = [ended(name)]
        tab.button("Answer again").click()
        expect(tab.answer()).to_contain_text(name)
        tab.is_at("done")
    tab.page.keyboard.press("Alt+ArrowLeft")
    expect(tab.answer()).to_contain_text("Slate")
    return tab


@scene("A message is changed and sent again.")
def editing(stage: Stage) -> Tab:
    tab = stage.asked("How do I read a file line by line in Python?", *ended(PLAIN))
    tab.input.press("ArrowUp")
    tab.page.get_by_label("Your message").fill("How do I read a CSV file line by line in Python?")
    return tab


@scene("A message was taken back; what was said is still there, with its versions.")
def taken_back(stage: Stage) -> Tab:
    tab = editing(stage)
    tab.button("Send again").click()
    expect(tab.find(".said .place")).to_have_text("2/2")
    tab.is_at("done")
    tab.say("/undo")
    expect(tab.find("#further")).to_be_visible()
    return tab


@scene("Code, a table, a formula and a list.", TALL, LIGHT, DARK)
def rich(stage: Stage) -> Tab:
    tab = stage.asked("What does a horse eat?", *ended(RICH))
    expect(tab.answer().locator(".katex, math").first).to_be_attached()
    expect(tab.answer().locator("[class^=hljs]").first).to_be_attached()
    return tab


@scene("A long answer, read from its beginning while it goes on below.")
def long_answer(stage: Stage) -> Tab:
    tab = stage.asked("How do I groom a horse?", LONG, Gate(), "x", status="streaming")
    tab.find("#scroller").hover()
    tab.page.mouse.wheel(0, -9000)
    expect(tab.find("#latest")).to_be_visible()
    return tab
