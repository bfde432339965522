"""Settings of llama_cpp.server that the batched engine does without: said aloud, or refused, never just ignored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from llama_cpp.server import settings as stock

from llmserver import compat, settings
from llmserver.errors import BadSettings


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--draft_model", "prompt-lookup-decoding"),
        ("--clip_model_path", "clip.gguf"),
        ("--lora_path", "lora.gguf"),
    ],
)
def test_a_setting_that_would_change_answers_is_refused_with_what_to_do(flag: str, value: str) -> None:
    with pytest.raises(BadSettings, match=f"{flag} has no effect"):
        compat.check(settings.load([flag, value]))


@pytest.mark.parametrize(
    ("flag", "value"), [("--interrupt_requests", "true"), ("--logits_all", "true"), ("--cache", "true")]
)
def test_a_needless_setting_is_said_aloud_and_does_not_stop_the_start(flag: str, value: str) -> None:
    (said,) = compat.check(settings.load([flag, value]))
    assert said.startswith(f"{flag} has no effect on the batched engine: ")


def test_the_defaults_say_nothing() -> None:
    assert compat.check(settings.load([])) == []


def test_every_name_is_a_setting_of_llama_cpp_server() -> None:
    known = {*stock.ModelSettings.model_fields, *stock.ServerSettings.model_fields}
    assert {*compat._CANNOT, *compat._NEEDLESS} <= known


def test_two_models_of_one_name_are_refused_before_one_hides_the_other(tmp_path: Path) -> None:
    config = tmp_path / "models.json"
    config.write_text(json.dumps({"models": [{"model": "a/one.gguf"}, {"model": "b/one.gguf"}]}))
    with pytest.raises(BadSettings, match="2 models go by the name one: give each a model_alias"):
        compat.check(settings.load(["--config_file", str(config)]))


def test_a_chat_format_that_nobody_knows_is_refused_at_the_start() -> None:
    with pytest.raises(BadSettings, match=r"functionary is not known: use .*chatml"):
        compat.check(settings.load(["--chat_format", "functionary"]))
