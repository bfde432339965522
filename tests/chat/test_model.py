"""What a server says of its model, and the words that a person gets for it."""

from __future__ import annotations

from typing import Any

import pytest

from chatbot.core.model import About, ModelInfo, read_about, read_info

SUMMARY = "Everything runs on the processor. A conversation may be 8,192 tokens long, about 6,100 words."


@pytest.mark.parametrize(
    ("said", "is_base"),
    [
        ({"capabilities": ["completion"]}, True),
        ({"capabilities": ["completion", "fill_in_the_middle"], "state": "ok"}, True),
        ({"capabilities": ["chat", "completion", "tools"]}, False),
        ({"capabilities": ["embedding"]}, False),
        ({"capabilities": []}, False),
        ({"capabilities": "completion"}, False),
        ({"capabilities": None}, False),
        ({}, False),
        ({"capabilities": ["completion"], "state": "unloaded"}, True),
    ],
)
def test_only_a_model_that_says_so_is_a_base_model(said: dict[str, Any], is_base: bool) -> None:
    assert read_info("m", said).is_base is is_base


def test_what_makes_no_sense_is_not_taken_over() -> None:
    assert read_info("m", {"n_ctx": "many", "capabilities": {"chat": 1}, "demo": None}) == ModelInfo("m")


@pytest.mark.parametrize(
    ("said", "state"),
    [("ok", "ok"), ("loading", "loading"), ("unloaded", "unloaded"), ("failed", "failed"), (None, "ok"), (["x"], "ok")],
)
def test_the_state_of_a_model_is_one_of_four(said: object, state: str) -> None:
    assert read_info("m", {"state": said}).state == state


def test_a_model_reaches_the_page_as_json() -> None:
    told = {"name": "m", "n_ctx": 5, "demo": False, "capabilities": ["chat"], "is_base": False, "state": "ok"}
    assert read_info("m", {"n_ctx": 5, "capabilities": ["chat"]}).wire() == told


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [
        (["chat"], "It can chat."),
        (["chat", "completion", "tools"], "It can chat and call tools."),
        (
            ["chat", "completion", "fill_in_the_middle", "tools", "reasoning"],
            "It can chat, call tools, think before it answers and fill in the middle of a text.",
        ),
        (["completion"], "It is a base model: it continues your text instead of answering."),
        (["telepathy"], ""),
        ([], ""),
    ],
)
def test_abilities_are_told_in_plain_words(capabilities: list[str], said: str) -> None:
    assert read_about(read_info("m", {"capabilities": capabilities}), None).abilities == said


@pytest.mark.parametrize("name", ["llama", "llama:pirate"])
def test_the_plan_of_the_right_model_is_told_also_for_its_adapter(name: str) -> None:
    other = {"name": "other", "summary": "wrong", "file_bytes": 1}
    plan = {"models": [other, {"name": "llama", "summary": SUMMARY, "file_bytes": 98_362_432}]}
    assert read_about(ModelInfo(name), plan) == About(name, SUMMARY, "", "Its file takes 98 MB.")


def test_large_files_are_told_in_gigabytes() -> None:
    plan = {"models": [{"name": "m", "file_bytes": 4_683_074_240}]}
    assert read_about(ModelInfo("m"), plan).size == "Its file takes 4.7 GB."


@pytest.mark.parametrize(
    "plan",
    [
        None,
        [],
        "no",
        {},
        {"error": {"code": "unknown_route"}},
        {"models": None},
        {"models": {"name": "m"}},
        {"models": [None, 3, {}]},
        {"models": [{"name": "other", "summary": "wrong", "file_bytes": 5}]},
        {"models": [{"name": "m", "summary": None, "file_bytes": None}]},
        {"models": [{"name": "m", "summary": 5, "file_bytes": "5"}]},
        {"models": [{"name": "m", "summary": "", "file_bytes": 0}]},
    ],
)
def test_without_a_plan_that_makes_sense_only_what_is_known_is_told(plan: object) -> None:
    assert read_about(ModelInfo("m"), plan) == About("m")
    assert read_about(ModelInfo("m", 4096), plan) == About("m", "A conversation may be 4,096 tokens long.")
    base = read_about(ModelInfo("m", 4096, is_base=True), plan)
    assert base.summary == "A text may be 4,096 tokens long."
