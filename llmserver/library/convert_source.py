"""Decide what a Hugging Face folder is and what of it may be converted. Reads settings and headers, runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from llmserver.errors import BadSettings, ModelFileBroken, ModelFileMissing
from llmserver.library import convert_weights
from llmserver.library.convert_weights import WeightFile

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "adapter_model.safetensors"
_CARD = "README.md"
_MAX_JSON_BYTES = 64_000_000
_PLAIN_NAME = re.compile(r"[\w+][\w.+-]*\.safetensors")
_NUMBERED = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors")
_PART = re.compile(r"\d+_\w+|additional_chat_templates")  # 1_Pooling of sentence-transformers is one
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.*", "*vocab*.txt", "*.tiktoken", "s*.model")
_SEEN = (".json", ".jinja", ".model", ".txt", ".tiktoken")
"""What the converter may see beside the weights: no Python, no pickle."""
_SAFE_WAY = (
    "pickle runs whatever code its author put in, so it is not read here: get the safetensors files of the model, or, "
    "if you trust it, load it in Python and call save_pretrained()"
)


@dataclass(frozen=True)
class Checkpoint:
    """A model as transformers saves it."""

    folder: Path
    name: str
    architectures: tuple[str, ...]
    """What config.json names; empty for the few that name none."""
    files: tuple[WeightFile, ...]

    def paths(self) -> dict[str, Path]:
        """Return where each weight file is, by its name."""
        return {file.name: file.path for file in self.files}


@dataclass(frozen=True)
class Adapter:
    """A LoRA as PEFT saves it; what it adds to a weight is B times A times alpha over the rank."""

    folder: Path
    name: str
    base: str
    """Where it says that its base model is: a folder or a name on the hub."""
    alpha: float
    is_rank_stabilized: bool
    is_turned: bool
    """The weights that it changes have inputs as rows, as GPT-2's (fan_in_fan_out)."""
    file: WeightFile

    def scale(self, rank: int) -> float:
        """Return the factor of B times A (PEFT, LoraLayer.update_layer)."""
        return self.alpha / (sqrt(rank) if self.is_rank_stabilized else rank)


def is_adapter(folder: Path) -> bool:
    """Say whether a folder holds a PEFT adapter and no model."""
    return (folder / "adapter_config.json").is_file() and not any(folder.glob("model*.safetensors"))


def checkpoint(folder: Path) -> Checkpoint:
    """Return the model of a folder. Raises BadSettings, ModelFileMissing or ModelFileBroken with what to do."""
    config = _config(folder)
    files = tuple(convert_weights.read(folder / name) for name in _names(folder))
    if not any(any(folder.glob(name)) for name in _VOCABULARIES):
        raise BadSettings(
            f"{folder} has no tokenizer: copy tokenizer.json (or tokenizer.model) and tokenizer_config.json of the "
            "model that it was trained from there"
        )
    return Checkpoint(folder.resolve(), name_of(folder), architectures(config), files)


def architectures(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes that a config.json asks for: its own, and that of its text part."""
    inner = config.get("text_config")
    both = (config, inner if isinstance(inner, dict) else {})
    found = [name for one in both for name in one.get("architectures") or () if isinstance(name, str)]
    return tuple(dict.fromkeys(found))


def adapter(folder: Path) -> Adapter:
    """Return the LoRA of a folder; the errors are those of `checkpoint`."""
    if not (folder / "adapter_config.json").is_file():
        raise BadSettings(f"{folder} holds no PEFT adapter: adapter_config.json is not there")
    config = load(folder / "adapter_config.json")
    kind = config.get("peft_type")
    if kind != "LORA":
        raise BadSettings(f"{folder} holds an adapter of the kind {kind}: only LORA can be imported")
    alpha = config.get("lora_alpha")
    if not isinstance(alpha, int | float) or not isfinite(alpha):
        raise ModelFileBroken(f"{folder / 'adapter_config.json'} has no lora_alpha, the adapter's strength")
    if config.get("alpha_pattern") or config.get("use_dora"):
        raise BadSettings(f"{folder} gives its layers strengths of their own (alpha_pattern, DoRA): {MERGE_IN_PYTHON}")
    if not (folder / _WEIGHTS).exists():
        if (folder / "adapter_model.bin").exists():
            raise BadSettings(f"{folder} holds its weights only as pickle (adapter_model.bin); {_SAFE_WAY}")
        raise ModelFileMissing(f"{folder / _WEIGHTS} is not there: an adapter is that file and adapter_config.json")
    file = convert_weights.read(folder / _WEIGHTS)
    return Adapter(
        folder=folder.resolve(),
        name=name_of(folder),
        base=str(config.get("base_model_name_or_path") or ""),
        alpha=float(alpha),
        is_rank_stabilized=bool(config.get("use_rslora")),
        is_turned=bool(config.get("fan_in_fan_out")),
        file=file,
    )


MERGE_IN_PYTHON = "merge it in Python with PEFT's merge_and_unload() and save_pretrained(), then import that folder"


def name_of(folder: Path) -> str:
    """Return what to call the model of a folder: the folder's name, in the hub's cache the repository's."""
    folder = folder.resolve()
    repository = folder.parent.parent.name
    is_cached = folder.parent.name == "snapshots" and repository.startswith("models--")
    return plain(repository.rsplit("--", 1)[-1] if is_cached else folder.name)


def plain(name: str) -> str:
    """Return the name with nothing in it that a file name should not have."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.")[:120] or "model"


def load(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file."""
    found = _read_json(path)
    if not isinstance(found, dict):
        raise ModelFileBroken(f"{path} is damaged: it holds no JSON object; download it again")
    return found


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelFileBroken(f"{path} has more than {_MAX_JSON_BYTES // 1_000_000} MB: no such file is that large")
        return json.loads(path.read_bytes())
    except OSError as why:
        raise ModelFileBroken(f"{path} cannot be read: {why.strerror or why}") from why
    except (ValueError, RecursionError) as why:
        raise ModelFileBroken(f"{path} is damaged: it is not JSON; download it again") from why


def _config(folder: Path) -> dict[str, Any]:
    """Return config.json, or say what the folder is instead of a checkpoint."""
    if folder.is_file():
        advice = (
            "serve it, or make it smaller with `models quantize`" if folder.suffix == ".gguf" else "name its folder"
        )
        raise BadSettings(f"{folder} is a file, not a checkpoint's folder: {advice}")
    if not folder.is_dir():
        raise ModelFileMissing(f"no folder {folder}: name one with config.json, *.safetensors and a tokenizer")
    if (folder / "config.json").is_file():
        return load(folder / "config.json")
    if any(folder.glob("*.gguf")):
        raise BadSettings(f"{folder} holds GGUF files already: serve one, there is nothing to import")
    if (folder / "params.json").is_file():
        raise BadSettings(f"{folder} is in its maker's own form (params.json): get the model in Hugging Face's form")
    raise BadSettings(f"{folder} has no config.json: name a folder as transformers saves it, with config.json in it")


def _names(folder: Path) -> list[str]:
    """Return the names of the weight files, or say why there are none that may be read."""
    names = sorted(path.name for path in folder.glob("model*.safetensors"))
    if (folder / _INDEX).is_file():
        parts = load(folder / _INDEX).get("weight_map")
        if not isinstance(parts, dict) or not parts:
            raise ModelFileBroken(f"{folder / _INDEX} is damaged: it has no weight_map; download it again")
        names = sorted({str(part) for part in parts.values()})
    if not names:
        raise BadSettings(_nothing_to_read(folder))
    if odd := [name for name in names if not _PLAIN_NAME.fullmatch(name)]:
        raise ModelFileBroken(f"{folder} asks for weights in {odd[0]!r}, which is no plain name of a safetensors file")
    wanted = max([len(names), *(int(found[2]) for name in names if (found := _NUMBERED.fullmatch(name)))])
    here = [name for name in names if (folder / name).is_file()]
    if len(here) < wanted:
        missing = next((name for name in names if name not in here), "")
        which = f", {missing} for one is not" if missing else ""
        raise ModelFileMissing(f"{len(here)} of {wanted} weight files are in {folder}{which}: download it again")
    return names


def _nothing_to_read(folder: Path) -> str:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        return f"{folder} holds its weights only as pickle ({pickles[0]}); {_SAFE_WAY}"
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others:
        return f"{folder} has {others[0]} and no model*.safetensors: get the model in the form that transformers saves"
    return f"{folder} has no weights: model.safetensors, or its parts, must lie beside config.json"


def stage(source: Path, place: Path, files: Mapping[str, Path]) -> None:
    """Fill a folder with what the converter may see: these weights, vocabularies, and settings that ask for no code.

    What transformers would follow to a checkpoint's own Python, `auto_map`, is left out, and so is the Python itself.
    """
    place.mkdir(parents=True)
    for name, path in files.items():
        (place / name).symlink_to(path)
    for folder in (source, *sorted(path for path in source.iterdir() if path.is_dir() and _PART.fullmatch(path.name))):
        target = place / folder.relative_to(source)
        target.mkdir(exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name.endswith("config.json"):
                (target / path.name).write_text(json.dumps(without_code(_read_json(path))), encoding="utf-8")
            elif path.is_file() and (path.suffix in _SEEN or path.name == _CARD) and _fits(path.name, files):
                (target / path.name).symlink_to(path.resolve())


def _fits(name: str, files: Mapping[str, Path]) -> bool:
    """Say whether a list of weight files, if this is one, lists those that are staged."""
    return not name.endswith(".index.json") or (bool(files) and name == _INDEX)


def stage_adapter(source: Adapter, place: Path) -> None:
    """Fill a folder with an adapter as the converter takes it: a LoRA file's factor is always alpha over the rank."""
    ranks = {
        tensor.shape[0] for tensor in source.file.tensors if tensor.name.endswith(".lora_A.weight") and tensor.shape
    }
    if source.is_rank_stabilized and len(ranks) != 1:
        raise BadSettings(f"{source.name} is rank-stabilized and has ranks of several sizes: {MERGE_IN_PYTHON}")
    alpha = source.alpha * sqrt(ranks.pop()) if source.is_rank_stabilized else source.alpha
    place.mkdir(parents=True)
    (place / _WEIGHTS).symlink_to(source.file.path)
    (place / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": alpha}), encoding="utf-8")
    if (source.folder / _CARD).is_file():
        (place / _CARD).symlink_to(source.folder / _CARD)


def without_code(value: Any) -> Any:
    """Return the settings without the entries that name Python to be run."""
    if isinstance(value, dict):
        return {name: without_code(inner) for name, inner in value.items() if name != "auto_map"}
    if isinstance(value, list):  # sentence-transformers' data_config.json is one
        return [without_code(inner) for inner in value]
    return value
