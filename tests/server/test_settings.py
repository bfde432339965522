"""Where a setting comes from, which of two wins, and how a wrong one is refused. No model, no socket."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llmserver import __main__ as command_line
from llmserver.cpu import physical_cores
from llmserver.errors import BadSettings
from llmserver.settings import DEFAULT_MODEL, ServerOptions, ServeSettings, describe, load

KEY = "sekret-8c1f"
YAML_FILE = """
host: 127.0.0.1
port: 9005
models:
  - model: weights/one.gguf
    n_ctx: 1024
  - model: weights/two.gguf
    model_alias: second
"""


@pytest.fixture(autouse=True)
def no_settings_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library would read from a developer's environment."""
    for name in list(os.environ):
        if name in {env for _, env, _, _ in describe(ServerOptions)} | {"N_CTX", "N_THREADS", "MODEL_ALIAS", "MODELS"}:
            monkeypatch.delenv(name)


def config(folder: Path, text: str, name: str = "server.json") -> str:
    """A config file with this text; its path."""
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def refusal(*flags: str) -> str:
    """The one line that these flags are refused with."""
    with pytest.raises(BadSettings) as caught:
        load(flags)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_defaults_are_safe_and_fit_this_machine() -> None:
    found = load([])
    server, (model,) = found.server, found.models
    assert (server.host, server.port, server.api_key, server.interrupt_requests) == ("127.0.0.1", 8000, None, False)
    assert (model.model, model.n_ctx, model.logits_all, model.chat_format) == (str(DEFAULT_MODEL), 4096, False, None)
    assert model.n_threads == model.n_threads_batch == physical_cores()


# name, (default, in the file, in the environment, as a flag)
LAYERS = [
    ("port", "PORT", (8000, 8001, 8002, 8003)),
    ("root_path", "ROOT_PATH", ("", "/file", "/environment", "/flag")),
    ("drain_timeout_s", "LLMSERVER_DRAIN_TIMEOUT_S", (3, 4, 5, 6)),
    ("log_level", "LLMSERVER_LOG_LEVEL", ("info", "debug", "warning", "error")),
    ("allowed_hosts", "LLMSERVER_ALLOWED_HOSTS", ([], ["file"], ["environment"], ["flag"])),
]


@pytest.mark.parametrize(("name", "env", "values"), LAYERS, ids=[name for name, _, _ in LAYERS])
def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    name: str, env: str, values: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default, in_file, in_environment, as_flag = values
    file = ["--config_file", config(tmp_path, json.dumps({name: in_file, "models": [{"model": "x.gguf"}]}))]
    flag = [f"--{name}", *(map(str, as_flag) if isinstance(as_flag, list) else [str(as_flag)])]

    def found(*flags: str) -> object:
        return getattr(load(flags).server, name)

    assert found() == default
    assert found(*file) == in_file
    monkeypatch.setenv(env, json.dumps(in_environment) if isinstance(in_environment, list) else str(in_environment))
    assert found() == in_environment
    assert found(*file) == in_environment
    assert found(*flag) == as_flag
    assert found(*file, *flag) == as_flag


def test_a_model_flag_beats_the_environment() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("N_CTX", "1024")
        assert load([]).models[0].n_ctx == 1024
        assert load(["--n_ctx", "512"]).models[0].n_ctx == 512


@pytest.mark.parametrize(
    ("env", "value", "field", "expected"),
    [
        ("MODEL", "a/b.gguf", "model", "a/b.gguf"),
        ("MODEL_ALIAS", "mine", "model_alias", "mine"),
        ("N_CTX", "1024", "n_ctx", 1024),
        ("N_GPU_LAYERS", "7", "n_gpu_layers", 7),
        ("N_THREADS", "3", "n_threads", 3),
        ("N_THREADS_BATCH", "5", "n_threads_batch", 5),
        ("CHAT_FORMAT", "chatml", "chat_format", "chatml"),
        ("TENSOR_SPLIT", "[0.5, 0.5]", "tensor_split", [0.5, 0.5]),
        ("n_batch", "64", "n_batch", 64),
    ],
)
def test_the_librarys_own_environment_names_set_the_model(
    env: str, value: str, field: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(env, value)
    assert getattr(load([]).models[0], field) == expected


@pytest.mark.parametrize(
    ("env", "value", "field", "expected"),
    [
        ("HOST", "127.0.0.2", "host", "127.0.0.2"),
        ("PORT", "8123", "port", 8123),
        ("API_KEY", KEY, "api_key", KEY),
        ("INTERRUPT_REQUESTS", "true", "interrupt_requests", True),
    ],
)
def test_the_librarys_own_environment_names_set_the_server(
    env: str, value: str, field: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(env, value)
    assert getattr(load([]).server, field) == expected


@pytest.mark.parametrize("name", ["LOG_LEVEL", "DRAIN_TIMEOUT_S", "ALLOWED_HOSTS"])
def test_our_own_settings_are_not_read_from_names_that_may_be_anybodys(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "WARNING")
    assert load([]).server == ServerOptions()


def check_two_models(found: ServeSettings) -> None:
    assert (found.server.host, found.server.port) == ("127.0.0.1", 9005)
    assert [(m.model, m.model_alias, m.n_ctx) for m in found.models] == [
        ("weights/one.gguf", "one", 1024),
        ("weights/two.gguf", "second", 4096),
    ]


@pytest.mark.parametrize("name", ["server.yaml", "server.yml", "server.json"])
def test_the_librarys_config_file_works_in_both_forms_with_several_models(tmp_path: Path, name: str) -> None:
    import yaml

    text = json.dumps(yaml.safe_load(YAML_FILE)) if name.endswith("json") else YAML_FILE
    check_two_models(load(["--config_file", config(tmp_path, text, name)]))


def test_the_config_file_may_be_named_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIG_FILE", config(tmp_path, YAML_FILE, "server.yaml"))
    check_two_models(load([]))


def test_without_an_alias_a_model_is_known_by_its_files_name_and_never_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "Real-Name.Q4.gguf").touch()
    (tmp_path / "default.gguf").symlink_to(tmp_path / "Real-Name.Q4.gguf")
    assert load(["--model", str(tmp_path / "default.gguf")]).models[0].model_alias == "Real-Name.Q4"
    assert load(["--model", "not/there.gguf"]).models[0].model_alias == "there"
    assert load(["--model", "x.gguf", "--model_alias", "gpt"]).models[0].model_alias == "gpt"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"n_cctx": 5, "models": [{"model": "x"}]}', "n_cctx"),
        ('{"models": [{"model": "x"}, {"model": "y", "n_cctx": 5}]}', "models.1.n_cctx"),
        ('{"port": "high", "models": [{"model": "x"}]}', "port"),
        ('{"port": 99999, "models": [{"model": "x"}]}', "99999"),
        ('{"models": [{"model": "x", "n_ctx": -1}]}', "models.0.n_ctx"),
        ('{"models": []}', "models"),
        ('{"models": "x.gguf"}', "models"),
        ('{"models": ["x.gguf"]}', "models"),
        ("{}", "models"),
        ("[1, 2]", "object"),
        ("{nope", "line 1"),
        ("", "line 1"),
    ],
)
def test_what_is_wrong_in_a_config_file_is_named_in_one_line(tmp_path: Path, text: str, names: str) -> None:
    assert names in refusal("--config_file", config(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "names"), [("host: [}", "line 1"), ("a: b: c", "line 1"), ("n_cctx: 1\nmodels: [{model: x}]", "n_cctx")]
)
def test_what_is_wrong_in_a_yaml_file_is_named_in_one_line(tmp_path: Path, text: str, names: str) -> None:
    assert names in refusal("--config_file", config(tmp_path, text, "server.yaml"))


def test_a_config_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.json" in refusal("--config_file", f"{tmp_path}/none.json")
    assert str(tmp_path) in refusal("--config_file", str(tmp_path))
    (tmp_path / "utf16.json").write_bytes("{}".encode("utf-16"))
    assert "utf16.json" in refusal("--config_file", str(tmp_path / "utf16.json"))


def test_model_flags_beside_a_config_file_are_refused(tmp_path: Path) -> None:
    file = config(tmp_path, YAML_FILE, "server.yaml")
    assert "--n_ctx" in refusal("--config_file", file, "--n_ctx", "99")
    assert "--model" in refusal("--config_file", file, "--model", "x.gguf")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--porrt", "1"], "--porrt"),
        (["--port", "abc"], "--port"),
        (["--port"], "--port"),
        (["--port", "70000"], "port"),
        (["--n_ctx", "-4"], "n_ctx"),
        (["--log_level", "loud"], "log_level"),
        (["--drain_timeout_s", "-1"], "drain_timeout_s"),
        (["--verbose", "maybe"], "--verbose"),
        (["--chat_template_kwargs", "nope"], "--chat_template_kwargs"),
        (["stray"], "stray"),
        (["--n_c", "512"], "--n_c"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line_that_names_it(flags: list[str], names: str) -> None:
    assert names in refusal(*flags)


@pytest.mark.parametrize(
    ("env", "value", "names"),
    [
        ("PORT", "abc", "port"),
        ("LLMSERVER_LOG_LEVEL", "loud", "log_level"),
        ("LLMSERVER_ALLOWED_HOSTS", "a,b", "allowed_hosts"),
    ],
)
def test_a_wrong_environment_variable_is_refused_in_one_line(
    env: str, value: str, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(env, value)
    assert names in refusal()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
@pytest.mark.parametrize("key", [None, ""])
def test_an_address_that_others_reach_needs_a_key(host: str, key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if key is not None:  # as `API_KEY=""` in an environment file leaves it
        monkeypatch.setenv("API_KEY", key)
    assert "API_KEY" in refusal("--host", host)
    assert load(["--host", host, "--api_key", KEY]).server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert load(["--host", host]).server.api_key is None


def test_an_empty_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "")
    assert load([]).server.api_key is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("numeric.json", '{"api_key": ["KEY"], "models": [{"model": "x"}]}'),
        ("nested.json", '{"api_key": {"value": "KEY"}, "models": [{"model": "x"}]}'),
        ("broken.json", '{"api_key": "KEY" "models": []}'),
        ("unknown.json", '{"api_key": "KEY", "n_cctx": 1, "models": [{"model": "x"}]}'),
        ("misspelled.json", '{"api-key": "KEY", "models": [{"model": "x"}]}'),
        ("misplaced.json", '{"models": [{"model": "x", "api_key": "KEY"}]}'),
        ("port.json", '{"api_key": "KEY", "port": "high", "models": [{"model": "x"}]}'),
        ("models.json", '{"api_key": "KEY", "models": {"model": "x"}}'),
        ("list.json", '["KEY"]'),
        ("broken.yaml", 'api_key: "KEY\nmodels: [}'),
        ("broken2.yaml", "api_key: KEY: KEY"),
    ],
)
def test_the_key_is_in_no_refusal_of_a_config_file(
    tmp_path: Path, name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["--config_file", config(tmp_path, text.replace("KEY", KEY), name)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("llmserver: ") and said.err.count("\n") == 1
    assert KEY not in said.err + said.out


@pytest.mark.parametrize("flags", [["--api_kee", KEY], [f"--api_kee={KEY}"], ["--api_key", KEY, "--port", "x"]])
def test_the_key_is_in_no_refusal_of_a_flag(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(flags) == 2
    said = capsys.readouterr()
    assert said.err.startswith("llmserver: ") and said.err.count("\n") == 1
    assert KEY not in said.err + said.out
