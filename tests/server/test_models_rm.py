"""What `models rm` removes, and above all what it does not."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from llmserver.library import catalog
from llmserver.library.cli import main

MODEL = "one.gguf"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / MODEL).write_bytes(b"x" * 1234)
    (folder / "other.gguf").write_bytes(b"y")
    return folder


def rm(here: Path, *words: str) -> int:
    return main(["--models-dir", str(here), "rm", *words])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_goes_and_the_room_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rm(here, MODEL) == 0
    assert capsys.readouterr().out == f"{MODEL}: 1 file removed, 1,234 bytes (0 MB) free\n"
    assert names(here) == ["other.gguf"]


def test_catalog_name_and_path_mean_the_file(here: Path) -> None:
    entry = catalog.load().find("qwen3.5-0.8b")
    (here / entry.file).write_bytes(b"z")
    assert rm(here, entry.name) == 0
    assert rm(here, str(here / MODEL)) == 0
    assert names(here) == ["other.gguf"]


def test_any_part_takes_the_whole_split_model_and_its_halves(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("big-00001-of-00003.gguf", "big-00003-of-00003.gguf", "big-00001-of-00002.gguf"):
        (here / name).write_bytes(b"z" * 10)
    (here / ".big-00002-of-00003.gguf.0123456789abcdef.part").write_bytes(b"z" * 5)
    assert rm(here, "big-00003-of-00003.gguf") == 0
    assert capsys.readouterr().out.startswith("big-00001-of-00003.gguf: 3 files removed, 25 bytes")
    assert names(here) == ["big-00001-of-00002.gguf", MODEL, "other.gguf"]


def test_half_of_a_download_goes_where_there_is_no_file_yet(here: Path) -> None:
    (here / ".new.gguf.0123456789abcdef.part").write_bytes(b"z")
    (here / ".new.gguf.gguf.0123456789abcdef.part").write_bytes(b"another model's")
    assert rm(here, "new.gguf") == 0
    assert names(here) == [".new.gguf.gguf.0123456789abcdef.part", MODEL, "other.gguf"]


def test_download_that_runs_is_not_disturbed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (here / f".{MODEL}.0123456789abcdef.part").open("ab") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        assert rm(here, MODEL) == 2
    assert "another process is writing one.gguf" in capsys.readouterr().err
    assert (here / MODEL).exists()


@pytest.mark.parametrize("name", [MODEL, "default.gguf"])
def test_default_model_needs_force_and_takes_its_link_along(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (here / "default.gguf").symlink_to(MODEL)
    assert rm(here, name) == 2
    assert "one.gguf is the default model" in capsys.readouterr().err
    assert names(here) == ["default.gguf", MODEL, "other.gguf"]
    assert rm(here, "--force", name) == 0
    assert names(here) == ["other.gguf"]


def test_nothing_outside_the_folder_is_touched(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "mine.gguf"
    outside.write_bytes(b"mine")
    beside = tmp_path / "models-too"
    beside.mkdir()
    (beside / "a.gguf").write_bytes(b"mine too")
    (here / "link.gguf").symlink_to(outside)
    (here / "folder").symlink_to(beside)
    ways = [outside, here / ".." / "mine.gguf", "../mine.gguf", "link.gguf", here / "link.gguf"]
    for way in [*ways, beside / "a.gguf", here / "folder" / "a.gguf", "folder/a.gguf"]:
        assert rm(here, "--force", str(way)) == 2, way
        assert "this command removes nothing there" in capsys.readouterr().err
    assert outside.read_bytes() == b"mine"
    assert (beside / "a.gguf").read_bytes() == b"mine too"


def test_bare_name_never_means_a_file_of_the_current_folder(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.gguf").write_bytes(b"mine")
    monkeypatch.chdir(tmp_path)
    assert rm(here, "mine.gguf") == 2
    assert (tmp_path / "mine.gguf").exists()


@pytest.mark.parametrize("name", ["./catalog.toml", "folder.gguf", ".", "./", "catalog.toml"])
def test_what_is_no_model_file_stays(here: Path, name: str) -> None:
    (here / "catalog.toml").write_text("precious")
    (here / "folder.gguf").mkdir()
    assert rm(here, "--force", name) == 2
    assert names(here) == ["catalog.toml", "folder.gguf", MODEL, "other.gguf"]


def test_model_that_is_not_here_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rm(here, "none.gguf") == 2
    assert "none.gguf is not in" in capsys.readouterr().err
    assert rm(here, "qwen3.5-4c") == 2
    assert "did you mean" in capsys.readouterr().err


def test_file_that_another_name_keeps_frees_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.link(here / MODEL, here / "second.gguf")
    assert rm(here, MODEL) == 0
    assert "1 file removed, 0 bytes" in capsys.readouterr().out
