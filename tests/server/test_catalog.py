"""What the catalog holds and refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmserver.errors import BadSettings
from llmserver.library import catalog

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


def test_every_shipped_hub_model_is_pinned_and_checked(shipped: catalog.Catalog) -> None:
    loose = [model.name for model in shipped.models if model.repo and not (model.revision and model.sha256)]
    assert loose == []


def test_what_the_catalog_says_of_a_cache_is_what_its_comment_works_out() -> None:
    """heads x values x 2 and the like stand there so that a figure can be checked against the model's own page."""
    lines = re.findall(r"^(?:kv_token|state)_bytes = ([\d_]+) # ([^;\n]+)", catalog.CATALOG_FILE.read_text(), re.M)
    assert len(lines) > len(catalog.load().models)
    for figure, worked in lines:
        assert re.fullmatch(r"[\d x()+and]+", worked)
        assert int(figure) == sum(eval(part.replace("x", "*")) for part in worked.split(" and "))  # noqa: S307


def test_readme_names_every_model_of_the_catalog(shipped: catalog.Catalog) -> None:
    text = (catalog.MODELS_DIR / "README.md").read_text(encoding="utf-8")
    assert [model.name for model in shipped.models if f"`{model.name}`" not in text] == []


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
        ("kv_token_bytes", "-1", "must not be below zero"),
        ("active", '"2B"', 'active and parameters must be like "3.6B"'),
        ("active", '"some"', 'active and parameters must be like "3.6B"'),
        ("n_expert", "8", "n_expert_used must be above zero and below n_expert"),
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
