"""Settings of both chats: one default each, and clear words for a wrong value."""

from __future__ import annotations

import argparse

import pytest

from chatbot.errors import BadSettings
from chatbot.settings import ChatSettings, WebSettings, add_flags, parse


def test_a_flag_beats_the_environment_and_the_environment_beats_the_default() -> None:
    assert parse(WebSettings, {}, {}).port == 5000
    assert parse(WebSettings, {}, {"CHATBOT_PORT": "5001"}).port == 5001
    assert parse(WebSettings, {"port": "5002"}, {"CHATBOT_PORT": "5001"}).port == 5002


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        ({"port": "abc"}, {}, r"--port must be a whole number from 1 to 65535, got 'abc'"),
        ({"port": "0"}, {}, r"--port must be a whole number from 1 to 65535, got 0"),
        ({}, {"CHATBOT_TEMPERATURE": "9"}, r"CHATBOT_TEMPERATURE must be a number from 0 to 2, got 9"),
        ({}, {"CHATBOT_TEMPERATURE": "nan"}, r"CHATBOT_TEMPERATURE must be a number from 0 to 2, got nan"),
        ({}, {"CHATBOT_PROT": "5001"}, r"unknown setting CHATBOT_PROT.*docs/configuration.md"),
        (
            {},
            {"CHATBOT_LOG_LEVEL": "loud"},
            r"CHATBOT_LOG_LEVEL must be one of debug, info, warning, error, got 'loud'",
        ),
        ({"context_rule": "forget"}, {}, r"--context_rule must be one of fold, window, all, got 'forget'"),
        ({"thinking": "hard"}, {}, r"--thinking must be empty or one of off, low, medium, high, got 'hard'"),
        ({"seed": "x"}, {}, r"--seed must be a whole number from -1 to 2147483647, got 'x'"),
        ({}, {"CHATBOT_TOP_P": "1.5"}, r"CHATBOT_TOP_P must be a number from 0 to 1, got 1.5"),
        ({"url": "localhost:8000"}, {}, r"--url must begin with http:// or https://, got 'localhost:8000'"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_may_be(flags: dict[str, str], environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        parse(WebSettings, flags, environ)


def test_what_nobody_sets_is_left_to_the_model_server() -> None:
    chosen = {"system_prompt": "You are a helpful assistant.", "temperature": 0.7, "max_tokens": 1024}
    assert ChatSettings().options().wire() == {**chosen, "context_rule": "fold"}
    assert parse(ChatSettings, {}, {"CHATBOT_TOP_P": ""}) == ChatSettings()
    assert parse(ChatSettings, {"top_p": "0.5"}, {"CHATBOT_SEED": "-1"}).options().wire() == {
        **{**chosen, "context_rule": "fold"},
        **{"top_p": 0.5, "seed": -1},
    }


def test_every_setting_can_be_given_as_a_flag_also_a_negative_number() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, ChatSettings)
    found = parser.parse_intermixed_args(["--seed", "-1", "--presence_penalty", "-0.5", "--thinking", ""])
    settings = parse(ChatSettings, vars(found), {})
    assert (settings.seed, settings.presence_penalty, settings.thinking) == (-1, -0.5, "")
    assert "the model server's" in parser.format_help()


def test_settings_of_the_web_chat_do_not_disturb_the_terminal_chat() -> None:
    assert parse(ChatSettings, {}, {"CHATBOT_PORT": "5001"}) == ChatSettings()


def test_a_key_has_no_flag_since_others_can_read_a_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, WebSettings)
    with pytest.raises(SystemExit):
        parser.parse_args(["--api_key", "secret"])
    assert parse(ChatSettings, {}, {"CHATBOT_API_KEY": "secret"}).api_key == "secret"


def test_a_settings_object_can_be_shown_without_its_key() -> None:
    assert "secret" not in repr(parse(WebSettings, {}, {"CHATBOT_API_KEY": "secret"}))


def test_the_database_lies_in_the_given_folder() -> None:
    assert str(parse(WebSettings, {"data_dir": "/x/y"}, {}).database()) == "/x/y/chat.db"
