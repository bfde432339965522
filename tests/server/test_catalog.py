"""What the catalog holds, refuses and recommends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llmserver.errors import BadSettings
from llmserver.library import catalog, machine
from llmserver.library.cli import main
from llmserver.library.machine import Memory

GIB = 1024**3
CARD_GIB = {"4GB": 4, "6GB": 6, "8GB": 8, "12GB": 12, "24GB": 24}

ENTRY = {
    "name": '"one"',
    "title": '"One"',
    "repo": '"owner/one-GGUF"',
    "file": '"one.gguf"',
    "size_bytes": "1000",
    "n_ctx_train": "4096",
    "license": '"MIT"',
    "parameters": '"1B"',
    "tier": '"cpu"',
    "note": '"A note."',
}


def written(folder: Path, **changes: str | None) -> Path:
    """Write a catalog of one entry with these TOML values changed, None leaving the key out."""
    values = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    path = folder / "catalog.toml"
    path.write_text("[[model]]\n" + "\n".join(f"{key} = {value}" for key, value in values.items()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shipped() -> catalog.Catalog:
    return catalog.load()


def test_shipped_catalog_has_a_model_for_every_tier_and_one_demonstration(shipped: catalog.Catalog) -> None:
    assert {model.tier for model in shipped.models} == set(catalog.TIERS)
    assert [model.name for model in shipped.models if model.demo] == ["smollm2-135m"]


def test_every_shipped_model_fits_the_card_of_its_tier(shipped: catalog.Catalog) -> None:
    too_large = [
        model.name
        for model in shipped.models
        if model.tier != "cpu" and model.needed_bytes() > CARD_GIB[model.tier] * GIB
    ]
    assert too_large == []


def test_every_shipped_hub_model_is_pinned_and_checked(shipped: catalog.Catalog) -> None:
    loose = [model.name for model in shipped.models if model.repo and not (model.revision and model.sha256)]
    assert loose == []


def test_readme_names_every_model_of_the_catalog(shipped: catalog.Catalog) -> None:
    text = (catalog.MODELS_DIR / "README.md").read_text(encoding="utf-8")
    assert [model.name for model in shipped.models if f"`{model.name}`" not in text] == []


@pytest.mark.parametrize(
    ("memory", "name"),
    [
        (Memory(64 * GIB, 24 * GIB), "gemma-4-26b-a4b"),
        (Memory(64 * GIB, 12 * GIB), "ministral-3-14b"),
        (Memory(64 * GIB, 8 * GIB), "qwen3.5-9b"),
        (Memory(64 * GIB, 6 * GIB), "gemma-4-e4b"),
        (Memory(64 * GIB, 2 * GIB), "qwen3.5-2b"),
        (Memory(256 * GIB), "gemma-4-e2b"),
        (Memory(7 * GIB), "qwen3.5-4b"),
        (Memory(3 * GIB), "qwen3.5-0.8b"),
        (Memory(1 * GIB), "smollm2-135m"),
        (Memory(32 * GIB, is_unified=True), "gpt-oss-20b"),
    ],
)
def test_recommendation_is_the_largest_model_that_fits(shipped: catalog.Catalog, memory: Memory, name: str) -> None:
    assert shipped.recommend(memory).name == name


def test_unknown_name_gets_the_nearest_ones(shipped: catalog.Catalog) -> None:
    with pytest.raises(BadSettings, match=r"'Qwen3-4b-instruct'.*qwen3-4b"):
        shipped.find("Qwen3-4b-instruct")


def test_unknown_key_is_refused_with_key_and_entry(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"model 1 \(one\): unknown key 'licence'"):
        catalog.load(written(tmp_path, licence='"MIT"'))


def test_unknown_key_of_the_pypi_table_is_refused(tmp_path: Path) -> None:
    table = '{ package = "p", version = "1", sha256 = "", size_bytes = 1, index = "x" }'
    with pytest.raises(BadSettings, match=r"pypi: unknown key 'index'"):
        catalog.load(written(tmp_path, repo=None, pypi=table))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("title", None, "title is missing"),
        ("title", '""', "title is missing"),
        ("size_bytes", '"1000"', "size_bytes must be of type int, not str"),
        ("size_bytes", "0", "must be above zero"),
        ("tier", '"5GB"', "'5GB' is not one of cpu, 4GB"),
        ("file", '"../one.gguf"', "not the plain name"),
        ("sha256", '"ABC"', "64 lower-case hexadecimal digits"),
        ("repo", None, "needs either repo or"),
    ],
)
def test_wrong_value_is_refused_with_its_key(tmp_path: Path, key: str, value: str | None, reason: str) -> None:
    with pytest.raises(BadSettings, match=reason):
        catalog.load(written(tmp_path, **{key: value}))


def test_same_name_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(2 * (path.read_text(encoding="utf-8") + "\n"), encoding="utf-8")
    with pytest.raises(BadSettings, match="'one' stands there twice"):
        catalog.load(path)


def test_broken_toml_is_one_plain_error(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text("[[model]\n", encoding="utf-8")
    with pytest.raises(BadSettings, match="not valid TOML"):
        catalog.load(path)


def test_demonstration_model_is_known_by_name_through_a_link_and_by_size(
    shipped: catalog.Catalog, tmp_path: Path
) -> None:
    demo = shipped.find("smollm2-135m")
    named = tmp_path / demo.file
    named.write_bytes(b"GGUF")
    link = tmp_path / "default.gguf"
    link.symlink_to(named.name)
    renamed = tmp_path / "mine.gguf"
    with renamed.open("wb") as file:
        file.truncate(demo.size_bytes)
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    assert [shipped.demo_for(path) for path in (named, link, renamed)] == [demo] * 3
    assert shipped.demo_for(other) is None
    assert shipped.demo_for(tmp_path / "none.gguf") is None


def nvidia_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_largest_of_several_cards_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, "echo 6144; echo 24564; echo '[N/A]'", monkeypatch)
    assert machine.look().vram_bytes == 24564 * 1024**2


def test_driver_that_fails_counts_as_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, "echo 6144; exit 9", monkeypatch)
    memory = machine.look()
    assert memory.vram_bytes == 0
    assert memory.ram_bytes > GIB // 4


def test_recommend_as_json_follows_the_card_unless_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nvidia_smi(tmp_path, "echo 8192", monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert main(["recommend", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    expected = {"name": "qwen3.5-9b", "size_bytes": 5680522464, "title": "Qwen3.5 9B", "hub_in_reach": False}
    assert answer == expected
    assert main(["recommend", "--json", "--cpu-only"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] != "qwen3.5-9b"
