"""What can be set, with one default each: llama_cpp.server's own settings under their own names, and ours.

A value comes from the config file, else the environment, else a flag; the later one wins. Knows nothing of
HTTP or of loading models.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Optional

import llama_cpp
from llama_cpp.server import cli as stock_cli
from llama_cpp.server import settings as stock
from pydantic import AliasChoices, BaseModel, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsError

from llmserver.cpu import physical_cores
from llmserver.errors import BadSettings
from llmserver.keyfile import read_keys

MODELS_DIR = Path(__file__).resolve().parent.parent / "models"
DEFAULT_MODEL = MODELS_DIR / "default.gguf"
# Their defaults differ from machine to machine, so the documentation names none.
_OF_THE_MACHINE = {"n_threads", "n_threads_batch", "n_gpu_layers", "use_mmap", "cache_ram_mib", "models_ram_mib"}


def _own(name: str, default: Any, description: str, **limits: Any) -> Any:
    """A setting of Paddock's own: flag --name, environment LLMSERVER_NAME, key name in the file."""
    names = AliasChoices(name, f"LLMSERVER_{name.upper()}")
    return Field(default=default, validation_alias=names, description=description, **limits)


class _Environment(EnvSettingsSource):
    """The environment, where a setting of our own has its LLMSERVER_ name only: LOG_LEVEL may be anybody's."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        if isinstance(field.validation_alias, AliasChoices):
            return self.env_vars.get(f"llmserver_{field_name}"), field_name, False
        return super().get_field_value(field, field_name)


def _eighth_of_ram_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (8 * 1024 * 1024)


class ModelOptions(stock.ModelSettings):
    """llama_cpp.server's model settings with defaults for a small machine at home."""

    model: str = Field(default=str(DEFAULT_MODEL), description="Path of the GGUF file to serve.")
    n_gpu_layers: int = Field(
        default=-1 if llama_cpp.llama_supports_gpu_offload() else 0,
        ge=-1,
        description="Layers on the GPU; -1 is all of them, the default of a build with GPU support.",
    )
    n_ctx: int = Field(default=4096, ge=0, description="Context size in tokens; 0 takes the model's own.")
    n_threads: int = Field(
        default=physical_cores(), ge=1, description="Threads while tokens are generated; physical cores by default."
    )
    n_threads_batch: int = Field(
        default=physical_cores(), ge=1, description="Threads while a prompt is read; physical cores by default."
    )
    logits_all: bool = Field(default=False, description="Keep logits of every prompt token (n_ctx x n_vocab floats).")
    use_mlock: bool = Field(default=False, description="Pin the weights in RAM; needs a raised memlock limit.")
    verbose: bool = Field(default=False, description="Print llama.cpp's own log.")
    flash_attn: Optional[bool] = Field(  # type: ignore[assignment]  # noqa: UP045 - their flags know this spelling
        default=None, description="Flash attention; left out, where the backend has it (stock engine: off)."
    )
    n_parallel: int = _own("n_parallel", 8, "Requests of this model that are computed at once.", ge=1, le=64)
    n_cpu_ffn: int = _own(
        "n_cpu_ffn",
        0,
        "Layers on the card, from the first one on, whose feed-forward weights or experts stay in RAM.",
        ge=0,
    )
    card_mib: int = _own(
        "card_mib", 0, "Most MiB of each card that a plan may count on; 0 is all that are free when it loads.", ge=0
    )
    card_gbs: float = _own(
        "card_gbs", 0.0, "GB/s at which cards and workers read their memory; 0 measures it before a plan.", ge=0
    )
    trial_load: bool = _own(
        "trial_load",
        True,
        "Try a setup that puts layers on a card in a process of its own, once, before the server loads it.",
    )
    rpc_timeout_s: int = _own(
        "rpc_timeout_s",
        300,
        "Seconds of silence after which a worker counts as dead; more than it takes for a batch.",
        ge=1,
    )
    step_target_ms: int = _own(
        "step_target_ms",
        100,
        "Milliseconds that one step may take while answers flow: how much of a prompt is read between two tokens.",
        ge=5,
        le=10_000,
    )
    prompt_share: float = _own(
        "prompt_share",
        0.9,
        "Part of a step that may go to prompts even past step_target_ms, so that a slow machine gets on with them; "
        "less is smoother for who reads, later for who waits.",
        ge=0.0,
        le=0.98,
    )
    cache_ram_mib: int = _own(
        "cache_ram_mib",
        _eighth_of_ram_mib(),
        "MiB of host RAM for conversations that left the KV cache, so that they are not read again; 0 is none. "
        "By default an eighth of the machine's RAM.",
        ge=0,
    )
    swa_full: bool = _own(
        "swa_full", False, "Keep all of a sliding window model's cache: more memory, conversations cut anywhere."
    )
    pooling: str = _own(
        "pooling",
        "auto",
        "What an embedding model makes of its tokens: auto (the model's own), mean, cls, last, rank (a reranker).",
        pattern="^(auto|mean|cls|last|rank)$",
    )
    adapters: list[str] = _own(
        "adapters", [], "LoRA adapters of this model, NAME=PATH or NAME=PATH=SCALE; a request asks for model:NAME."
    )
    ttl_s: int = _own("ttl_s", 0, "Seconds without a request after which the model is unloaded; 0 is never.", ge=0)


class ServerOptions(stock.ServerSettings):
    """llama_cpp.server's server settings and Paddock's own."""

    host: str = Field(
        default="127.0.0.1", description="Listen address. Any but loopback needs --api_key or --api_key_file."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Listen port; 0 takes a free one.")
    interrupt_requests: bool = Field(default=False, description="Let a new request cut a running stream off.")
    engine: str = _own(
        "engine",
        "batched",
        "batched computes many requests at once; stock is llama_cpp.server's own app, one at a time.",
        pattern="^(batched|stock)$",
    )
    embedding_model: str = _own(
        "embedding_model",
        "auto",
        "Embedding model that is served beside the others, on the processor, loaded when it is first asked: a name of "
        "the catalog, a path, off, or auto: the best of the catalog that is in models/, unless a model here embeds. "
        "Further ones that are in models/, and a reranker, can be asked by their names.",
        min_length=1,
    )
    max_queue: int = _own("max_queue", 64, "Requests of a model that may wait; the next one gets 429.", ge=0)
    max_wait_s: int = _own("max_wait_s", 120, "Seconds that a request may wait for its turn before 503.", ge=1)
    models_ram_mib: int = _own(
        "models_ram_mib",
        6 * _eighth_of_ram_mib(),
        "MiB that loaded models may take together; by default three quarters of the RAM. Idle ones make room.",
        ge=1,
    )
    api_key_file: Optional[str] = _own(  # noqa: UP045
        "api_key_file", None, "File of API keys, one a line: each is accepted, and waiting requests of keys take turns."
    )
    drain_timeout_s: int = _own(
        "drain_timeout_s", 3, "Seconds that answers in flight may still take after SIGTERM.", ge=0, le=3600
    )
    allowed_hosts: list[str] = _own(
        "allowed_hosts", [], "Host names, besides loopback ones and the listen address, that requests may name."
    )
    log_level: str = _own(
        "log_level", "info", "Least severe line: debug, info, warning, error.", pattern="^(debug|info|warning|error)$"
    )

    @field_validator("api_key")
    @classmethod
    def _empty_is_none(cls, key: str | None) -> str | None:
        """An empty key, as API_KEY="" in an environment file leaves it, protects nothing."""
        return key or None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed in, else the environment."""
        return init_settings, _Environment(settings_cls)


class Options(ServerOptions, ModelOptions):
    """Every flag of `python -m llmserver`."""


class ConfigFile(ServerOptions):
    """llama_cpp.server's config file: server keys and a list of models."""

    models: list[ModelOptions] = Field(default=[], description="One entry a model; the first is the default.")


@dataclass(frozen=True)
class ServeSettings:
    """What `serve` runs with: one server and one or more models."""

    server: ServerOptions
    models: tuple[ModelOptions, ...]
    file_keys: tuple[str, ...] = field(default=(), repr=False)
    companions: tuple[str, ...] = ()
    """The models that are served beside the others and must not be in their way."""

    @property
    def api_keys(self) -> tuple[str, ...]:
        """Every key that is accepted; none where no key is needed."""
        return tuple(filter(None, (self.server.api_key, *self.file_keys)))


class _Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line instead of the usage of eighty flags."""

    def error(self, message: str) -> NoReturn:
        """Raise BadSettings instead of leaving."""
        raise BadSettings(f"{message}: see python -m llmserver --help")


def parser() -> argparse.ArgumentParser:
    """The command line of `python -m llmserver`, made from the settings above."""
    out = _Parser(
        prog="python -m llmserver",
        description="Serve a GGUF model over the OpenAI API. Other commands: models (list, recommend, pull, use).",
        epilog="Each flag is also an environment variable: llama_cpp.server's under their own names in capitals "
        "(MODEL, N_CTX, ...), Paddock's own with LLMSERVER_ before them. See docs/configuration.md.",
        allow_abbrev=False,
    )
    stock_cli.add_args_from_model(out, Options)
    out.add_argument("--config_file", help="JSON or YAML file of settings and models (environment: CONFIG_FILE).")
    return out


def load(argv: Sequence[str]) -> ServeSettings:
    """Read flags, environment and config file. Raises BadSettings with one line that names the culprit."""
    known, unknown = parser().parse_known_args(argv)
    if unknown:  # its value stays out of the message: it may be a key
        raise BadSettings(f"unknown flag {unknown[0].split('=')[0]}: see python -m llmserver --help")
    flags = {k: v for k, v in vars(known).items() if v is not None}
    config_file = flags.pop("config_file", None) or os.environ.get("CONFIG_FILE")
    try:
        found = _from_file(Path(config_file), flags) if config_file else _from_flags(flags)
    except ValidationError as bad:
        raise BadSettings(_one_line(bad)) from bad
    except SettingsError as bad:
        raise BadSettings(f"{bad}: lists and objects are written as JSON there") from bad
    if found.server.api_key_file is not None:
        found = replace(found, file_keys=read_keys(Path(found.server.api_key_file)))
    _refuse_open_door(found)
    return found


def _from_flags(flags: dict[str, Any]) -> ServeSettings:
    return ServeSettings(_pick(ServerOptions, flags), (_named(_pick(ModelOptions, flags)),))


def _from_file(path: Path, flags: dict[str, Any]) -> ServeSettings:
    """The file gives the models; server keys may still be overridden by environment and flags."""
    misplaced = sorted(set(flags) - set(ServerOptions.model_fields))
    if misplaced:
        raise BadSettings(f"--{misplaced[0]} cannot be combined with a config file: put it under models in {path}")
    content = _read_config(path)
    entries = content.pop("models", [])
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise BadSettings(f"{path} names no model: add a models list with at least one entry like {{model: PATH}}")
    models = ConfigFile.model_validate({"models": entries}).models
    ConfigFile.model_validate(content)
    environment = ServerOptions().model_dump(exclude_unset=True)
    return ServeSettings(ServerOptions.model_validate(content | environment | flags), tuple(map(_named, models)))


def _pick(model: type[BaseSettings], flags: dict[str, Any]) -> Any:
    return model(**{k: v for k, v in flags.items() if k in model.model_fields})


def _named(model: ModelOptions) -> ModelOptions:
    """A model without an alias is known by its file's name, never by its path."""
    if model.model_alias:
        return model
    return model.model_copy(update={"model_alias": Path(model.model).resolve().stem})


def _read_config(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = _parse_yaml(text) if path.suffix in {".yaml", ".yml"} else json.loads(text)
    except OSError as why:
        raise BadSettings(f"cannot read the config file {path}: {why.strerror}") from why
    except ValueError as why:
        raise BadSettings(f"{path} is not valid: {' '.join(str(why).split())}") from why
    if not isinstance(content, dict):
        raise BadSettings(f"{path} must hold one object of settings")
    return content


def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as why:
        mark = getattr(why, "problem_mark", None)  # the whole text quotes the line, which may hold the key
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"{getattr(why, 'problem', None) or 'not YAML'}{where}") from why


def _one_line(bad: ValidationError) -> str:
    first = bad.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "settings"
    more = f" (and {bad.error_count() - 1} more)" if bad.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown setting {where}: see docs/configuration.md for the known ones{more}"
    plain = "api_key" not in first["loc"] and isinstance(first["input"], (str, int, float))
    got = f", got {first['input']!r}" if plain else ""
    return f"{where}: {first['msg']}{got}{more}"


def _refuse_open_door(settings: ServeSettings) -> None:
    host = settings.server.host
    if not settings.api_keys and not is_loopback(host):
        raise BadSettings(
            f"listening on {host} lets others in: set a key with API_KEY in the environment or keys with "
            "--api_key_file, or keep 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def describe(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """(flag, environment name, default, help) of each setting, for the generated documentation."""
    rows = []
    for name, found in model.model_fields.items():
        alias = found.validation_alias
        env = str(alias.choices[1]) if isinstance(alias, AliasChoices) else name.upper()
        is_fixed = name not in _OF_THE_MACHINE and found.default is not None
        default = json.dumps(found.default, default=str) if is_fixed else ""
        if name == "model":
            default = '"models/default.gguf"'
        rows.append((f"--{name}", env, default, found.description or "as in llama_cpp.server"))
    return rows
