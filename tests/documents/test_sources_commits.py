"""Repositories as they are met: files in any encoding, hashes of either kind, folders that are none."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from shutil import which

import pytest

from rag.errors import SourceFailed, SourceStopped
from rag.extract import read
from rag.links import link_of
from rag.sources.git import Repository
from rag.sources.kinds import checked_address
from tests.documents.test_sources_disk import git

TEXT = "\n\nDie Pforte schließt um sechs.\r\nDer Stall öffnet um fünf.\n"


def committed(root: Path, *words: str, **files: bytes) -> Path:
    """A repository with these files."""
    root.mkdir()
    git("init", "-q", "-b", "main", *words, place=root)
    for name, data in files.items():
        (root / f"{name}.txt").write_bytes(data)
    git("add", ".", place=root)
    git("commit", "-q", "-m", "first", place=root)
    return root


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_a_link_leads_to_the_line_in_whatever_encoding_a_file_is(tmp_path: Path, encoding: str) -> None:
    root = committed(tmp_path / "farm", hours=TEXT.encode(encoding))
    [item] = Repository(str(root), tmp_path / "copy", read).items()
    document = item.read()
    on_the_web = Repository("https://github.com/a/b", tmp_path, read).link("c0", "hours.txt")
    document = replace(document, meta={**document.meta, "link": on_the_web})
    assert link_of(document, document.text.index("Der Stall")) == f"{on_the_web}#L4"


def test_a_file_whose_text_is_not_the_file_as_it_is_has_no_line(tmp_path: Path) -> None:
    root = committed(tmp_path / "farm", page=b"<!doctype html><p>A llama hums in the paddock.</p>")
    [item] = Repository(str(root), tmp_path / "copy", read).items()
    assert "first_line" not in item.read().meta


def test_a_tag_with_words_of_its_own_leads_to_its_commit(tmp_path: Path) -> None:
    root = committed(tmp_path / "farm", llama=b"A llama hums.")
    git("tag", "-a", "-m", "the first", "v1", place=root)
    [item] = Repository(str(root), tmp_path / "copy", read, branch="v1").items()
    assert item.read().meta["commit"] == git("rev-parse", "HEAD", place=root)


def test_a_run_that_shall_stop_does_not_tidy_up_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, log = committed(tmp_path / "farm", llama=b"A llama hums."), tmp_path / "log"
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *" gc "*) echo gc >>{log}; exec sleep 15;; esac\nexec {which("git")} "$@"\n'
    )
    slow.chmod(0o755)
    source = Repository(str(root), tmp_path / "copy", read, is_cancelled=log.exists)
    source.items()
    git("commit", "-q", "--allow-empty", "-m", "second", place=root)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    with pytest.raises(SourceStopped):
        source.items()


def test_a_repository_of_the_longer_hashes_is_read_and_refreshed(tmp_path: Path) -> None:
    root = committed(tmp_path / "farm", "--object-format=sha256", llama=b"A llama hums.")
    source = Repository(str(root), tmp_path / "copy", read)
    for _ in range(2):
        [item] = source.items()
        assert item.read().text == "A llama hums."
        assert len(item.read().meta["commit"]) == 64


def test_a_repository_that_begins_anew_with_longer_hashes_is_read(tmp_path: Path) -> None:
    source = Repository(str(tmp_path / "farm"), tmp_path / "copy", read)
    for number, words in enumerate(((), ("--object-format=sha256",), ())):
        committed(tmp_path / "farm", *words, llama=b"A llama hums %d." % number)
        [item] = source.items()
        assert item.read().text == f"A llama hums {number}."
        (tmp_path / "farm").rename(tmp_path / f"old {number}")


def test_a_folder_in_a_repository_is_told_from_one(tmp_path: Path) -> None:
    root = committed(tmp_path / "farm", llama=b"A llama hums.")
    (root / "docs").mkdir()
    with pytest.raises(SourceFailed, match=rf"docs is a folder and no git repository: it lies in {root}: give that"):
        checked_address("git", str(root / "docs"))
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceFailed, match="plain is a folder and no git repository: add it as a folder"):
        checked_address("git", str(tmp_path / "plain"))


def test_what_git_complains_of_is_told_by_its_cause(tmp_path: Path) -> None:
    root = tmp_path / "farm"
    root.mkdir()
    (root / "HEAD").write_text("no repository")
    with pytest.raises(SourceFailed, match="does not appear to be a git repository"):
        list(Repository(str(root), tmp_path / "copy", read).items())
