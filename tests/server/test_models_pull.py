"""Pulling what is not one open file: split models and repositories behind a licence. The hub is a small one here."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmserver.library.cli import main
from tests.hub import COMMIT, TOKEN, FakeHub, in_reach, names
from tests.server.tiny_gguf import write_llama

REPO = "owner/big-GGUF"


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, bytes]:
    """A model in four files, as the hub has them in a folder."""
    folder = tmp_path / "made"
    folder.mkdir()
    paths = write_llama(folder / "big.gguf", n_tensors_a_part=3)
    assert [path.name for path in paths] == [f"big-0000{number}-of-00004.gguf" for number in (1, 2, 3, 4)]
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, parts: dict[str, bytes]) -> Iterator[FakeHub]:
    with in_reach(monkeypatch) as fake:
        fake.repos[REPO] = {f"F16/{name}": content for name, content in parts.items()}
        yield fake


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def pull(here: Path, number: int = 1) -> int:
    return main(["--models-dir", str(here), "pull", f"{REPO}:F16/big-0000{number}-of-00004.gguf"])


def test_any_part_brings_the_whole_model_and_the_first_is_its_path(
    hub: FakeHub, here: Path, parts: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull(here, number=3) == 0
    assert capsys.readouterr().out == f"{here / 'big-00001-of-00004.gguf'}\n"
    assert {path.name: path.read_bytes() for path in here.iterdir()} == parts


def test_all_parts_are_of_one_commit(hub: FakeHub, here: Path) -> None:
    pull(here)
    asked = [request.path for request in hub.seen if request.method == "HEAD" and "/resolve/" in request.path]
    assert asked[0].startswith(f"/{REPO}/resolve/main/")
    assert len(asked) == 4
    assert all(path.startswith(f"/{REPO}/resolve/{COMMIT}/") for path in asked[1:])


def test_parts_that_are_here_already_are_not_fetched_again(hub: FakeHub, here: Path, parts: dict[str, bytes]) -> None:
    hub.cuts = [10**9, 10**9]  # two parts arrive, then the storage is gone
    hub.is_storage_down = True
    assert pull(here) == 1
    there = [name for name in names(here) if name.endswith(".gguf")]
    assert there == list(parts)[:2]
    hub.is_storage_down = False
    n_before = len(hub.downloads())
    assert pull(here) == 0
    assert len(hub.downloads()) - n_before == 2
    assert names(here) == list(parts)


def test_missing_part_is_named_before_anything_is_downloaded(
    hub: FakeHub, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del hub.repos[REPO]["F16/big-00004-of-00004.gguf"]
    assert pull(here) == 1
    assert f"{REPO} has no file F16/big-00004-of-00004.gguf" in capsys.readouterr().err
    assert names(here) == []
    assert hub.downloads() == []


def test_parts_that_do_not_belong_together_are_said_to_make_no_model(
    hub: FakeHub, here: Path, parts: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repos[REPO]["F16/big-00002-of-00004.gguf"] = parts["big-00003-of-00004.gguf"]
    assert pull(here) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "make no model" in told.err
    assert "models rm big-00001-of-00004.gguf" in told.err


def test_disk_that_holds_one_part_but_not_all_is_refused_at_once_with_both_numbers(
    hub: FakeHub, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.announced_size = 3_000_000_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000_000))
    assert pull(here) == 1
    assert "needs 12,000 MB, 5,000 MB free" in capsys.readouterr().err
    assert hub.downloads() == []


def test_gated_repository_tells_where_to_accept_and_what_to_set(
    hub: FakeHub, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.gated.add(REPO)
    assert pull(here) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"accept the licence at {hub.url}/{REPO}" in line
    assert "HF_TOKEN" in line
    assert names(here) == []


def test_token_that_does_not_open_a_gated_repository_is_told_from_none(
    hub: FakeHub, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.gated.add(REPO)
    monkeypatch.setenv("HF_TOKEN", "not-the-right-one")
    assert pull(here) == 1
    assert "the token in HF_TOKEN does not open it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "token", "says"),
    [
        (401, "stale", "does not know the token in HF_TOKEN"),
        (401, "", "accept the licence at"),
        (403, "narrow", "does not open it: accept the licence at"),
    ],
)
def test_refusal_without_a_reason_still_tells_what_to_do(
    hub: FakeHub,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    token: str,
    says: str,
) -> None:
    hub.refusal = status
    monkeypatch.setenv("HF_TOKEN", token)
    assert pull(here) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("token", [TOKEN, f"{TOKEN}\n", "wrong-and-secret", "geheim-\u00e4", "two\nlines"])
def test_token_is_shown_nowhere(
    hub: FakeHub,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    token: str,
) -> None:
    hub.gated.add(REPO)
    monkeypatch.setenv("HF_TOKEN", token)
    with caplog.at_level(logging.DEBUG):
        status = pull(here)
    told = capfd.readouterr()
    assert status == (0 if token.strip() == TOKEN else 1)
    assert token.strip() not in told.out + told.err + caplog.text
