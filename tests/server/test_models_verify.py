"""What `models verify` finds out about files that are here, and the exit status it leaves with."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from llmserver.library import catalog
from llmserver.library.catalog import Catalog
from llmserver.library.cli import main
from tests.server.tiny_gguf import filling, write_llama

GGUF = filling(4000, seed=1)
FILE = "tiny.gguf"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog whose one model is the tiny file, named "tiny"."""
    entry = replace(
        catalog.load().models[1],
        name="tiny",
        file=FILE,
        size_bytes=len(GGUF),
        sha256=hashlib.sha256(GGUF).hexdigest(),
    )
    monkeypatch.setattr(catalog, "load", lambda: Catalog((entry,)))


@pytest.fixture
def verify(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    def run(*words: str) -> tuple[int, list[str]]:
        status = main(["--models-dir", str(here), "verify", *words])
        return status, capsys.readouterr().out.splitlines()

    return run


Verify = Callable[..., tuple[int, list[str]]]


def test_sound_models_get_a_line_each_and_status_0(here: Path, verify: Verify) -> None:
    (here / "one.gguf").write_bytes(GGUF)
    write_llama(here / "many.gguf", n_tensors_a_part=4)
    (here / "default.gguf").symlink_to("one.gguf")
    status, lines = verify()
    assert status == 0
    assert [line.split(", ")[0] for line in lines] == ["many-00001-of-00003.gguf: ok", "one.gguf: ok"]


def test_file_cut_short_is_bad_beside_a_sound_one(here: Path, verify: Verify) -> None:
    (here / "bad.gguf").write_bytes(GGUF[:-1000])
    (here / "good.gguf").write_bytes(GGUF)
    status, (bad, good) = verify()
    assert status == 1
    assert bad.startswith("bad.gguf: is cut short")
    assert good.startswith("good.gguf: ok")


def test_split_model_without_one_part_is_bad_whichever_part_is_named(here: Path, verify: Verify) -> None:
    first, second, third = write_llama(here / "many.gguf", n_tensors_a_part=4)
    second.unlink()
    for words in ([], [str(first)], [third.name]):
        status, (line,) = verify(*words)
        assert status == 1
        assert line.startswith("many-00001-of-00003.gguf: ")
        assert second.name in line


@pytest.mark.usefixtures("known")
def test_checksum_of_the_catalog_counts_unless_quick(here: Path, verify: Verify) -> None:
    (here / FILE).write_bytes(GGUF)
    assert verify("tiny") == (0, [f"{FILE}: ok, header, sizes and checksum right"])
    (here / FILE).write_bytes(GGUF[:-1] + bytes([GGUF[-1] ^ 1]))
    status, (line,) = verify("tiny")
    assert status == 1
    assert "sha256" in line
    assert f"models rm {FILE}" in line
    assert "models pull tiny" in line
    status, (line,) = verify("--quick", FILE)
    assert (status, line) == (0, f"{FILE}: ok, header and sizes right; checksum not looked at")


@pytest.mark.usefixtures("known")
def test_size_of_the_catalog_counts_also_when_quick(here: Path, verify: Verify) -> None:
    (here / FILE).write_bytes(GGUF + b"\0" * 32)
    status, (line,) = verify("--quick")
    assert status == 1
    assert f"{len(GGUF) + 32:,} bytes, the catalog expects {len(GGUF):,}" in line


@pytest.mark.usefixtures("known")
def test_model_that_is_not_here_is_bad_and_the_others_are_still_checked(here: Path, verify: Verify) -> None:
    (here / "one.gguf").write_bytes(GGUF)
    status, (missing, one) = verify("tiny", "one.gguf")
    assert status == 1
    assert "tiny is not here yet" in missing
    assert one.startswith("one.gguf: ok")


def test_link_that_leads_nowhere_is_bad(here: Path, verify: Verify) -> None:
    (here / "default.gguf").symlink_to("gone.gguf")
    status, (line,) = verify()
    assert status == 1
    assert line.startswith("default.gguf: no model file")


def test_unknown_name_is_a_wrong_argument(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models-dir", str(here), "verify", "qwen3.5-4c"]) == 2
    assert "did you mean qwen3.5-4b" in capsys.readouterr().err


def test_empty_folder_has_nothing_bad(verify: Verify) -> None:
    assert verify() == (0, [])


def test_folder_is_no_model(verify: Verify) -> None:
    status, (line,) = verify(".")
    assert status == 1
    assert "is a folder" in line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("large_bytes", "shows"), [(1000, True), (1_000_000, False)])
def test_large_files_show_progress_on_a_terminal(
    here: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch, large_bytes: int, shows: bool
) -> None:
    monkeypatch.setattr("llmserver.library.terminal._LARGE_BYTES", large_bytes)
    monkeypatch.setattr("llmserver.library.verify._CHUNK_BYTES", len(GGUF) // 2)
    monkeypatch.setattr("sys.stderr", Terminal())
    (here / FILE).write_bytes(GGUF)
    assert verify()[0] == 0
    told = sys.stderr
    assert isinstance(told, Terminal)
    assert (f"{FILE}: checksum 50 %" in told.getvalue()) == shows
