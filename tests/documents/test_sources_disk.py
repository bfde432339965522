"""Folders and repositories list their documents, without following what leads out of them or running what they hold."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rag.errors import DocumentRefused, SourceFailed
from rag.ingest import Ingest
from rag.sources import Readable
from rag.sources.folder import FileItem, Folder
from rag.sources.git import Repository
from rag.sources.kinds import checked_address
from tests.documents.shelf import WordEmbedder, library


def read(name: str, data: bytes, *, content_type: str = "", url: str = "") -> Readable:
    """A file of text; the tests of extraction read real ones."""
    if b"\0" in data:
        raise DocumentRefused(f"{name} is no text")
    return Readable(data.decode(), "text")


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    root = tmp_path / "farm"
    for name, text in {
        "llama.md": "A llama hums.",
        "deep/er/horse.txt": "A horse runs.",
        "picture.png": "no text",
        ".hidden/secret.txt": "hidden",
        ".env": "KEY=1",
        "node_modules/x.md": "not ours",
        "with space & ümlaut.md": "Grüße",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_folder_is_its_documents_at_any_depth(farm: Path) -> None:
    items = list(Folder(farm, read).items())
    assert [each.name for each in items] == ["deep/er/horse.txt", "llama.md", "with space & ümlaut.md"]
    document = items[2].read()
    assert (document.title, document.text) == ("with space & ümlaut.md", "Grüße")
    assert document.uri == (farm / "with space & ümlaut.md").as_uri()


def test_patterns_choose_and_a_file_is_a_source_too(farm: Path) -> None:
    assert [each.name for each in Folder(farm, read, ("*.TXT",)).items()] == ["deep/er/horse.txt"]
    assert [each.name for each in Folder(farm / "llama.md", read).items()] == ["llama.md"]


def test_what_editors_put_beside_a_file_is_no_document(farm: Path) -> None:
    for name in ("llama.md~", "llama.md.~1~", "llama.md.bak", "#llama.md#", "~$llama.docx", "llama.md.swp", "a.tmp"):
        (farm / name).write_text("What it said before.")
    assert [each.name for each in Folder(farm, read, ("llama*", "*.docx", "#*")).items()] == [
        "llama.md",
        "llama.md.bak",
        "llama.md.swp",
    ]
    assert len(list(Folder(farm, read).items())) == 3
    assert [each.name for each in Folder(farm / "llama.md~", read).items()] == ["llama.md~"]


def test_links_lead_nowhere_and_pipes_do_not_hold_up(farm: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("outside")
    (farm / "link.txt").symlink_to(tmp_path / "outside.txt")
    (farm / "loop").symlink_to(farm)
    os.mkfifo(farm / "pipe.txt")
    assert len(list(Folder(farm, read).items())) == 3
    [item] = Folder(farm / "llama.md", read).items()
    (farm / "llama.md").unlink()
    os.mkfifo(farm / "llama.md")
    with pytest.raises(DocumentRefused, match="no plain file"):
        item.read()


def test_a_file_over_the_limit_names_both_sizes(farm: Path) -> None:
    [item] = Folder(farm / "llama.md", read, max_bytes=5).items()
    with pytest.raises(DocumentRefused, match="MB are the most"):
        item.sha256()


def test_no_such_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="No such file"):
        list(Folder(tmp_path / "nothing", read).items())


@pytest.mark.parametrize("second", ["A llama hums.", "A llama eats hay."])
def test_what_is_written_while_a_file_is_read_comes_with_the_next_refresh(tmp_path: Path, second: str) -> None:
    path, third = tmp_path / "llama.md", "A llama sleeps standing."

    class Busy(FileItem):
        """A file that somebody writes as soon as its bytes are read."""

        def sha256(self) -> str:
            found = super().sha256()
            path.write_text(third)
            return found

    index = library(tmp_path)
    ingest = Ingest(index, WordEmbedder())
    index.add_shelf("owner", "farm")
    path.write_text("A llama hums.")
    ingest.take(1, Folder(path, read).items())
    path.write_text(second)
    os.utime(path, ns=(1, 1))
    ingest.take(1, [Busy(path, path.name, read)])
    assert index.document(index.documents(1)[0].id)[1].text == second
    assert ingest.take(1, Folder(path, read).items()).n_changed == 1
    assert index.document(index.documents(1)[0].id)[1].text == third


def test_a_refresh_opens_only_files_that_were_written(farm: Path, tmp_path: Path) -> None:
    index = library(tmp_path)
    index.add_shelf("owner", "farm")
    opened: list[str] = []

    def noting(name: str, data: bytes, **_: str) -> Readable:
        opened.append(name)
        return read(name, data)

    ingest = Ingest(index, WordEmbedder())
    assert ingest.take(1, Folder(farm, noting).items()).n_new == 3
    opened.clear()
    (farm / "llama.md").write_text("A llama spits.")
    (farm / "deep/er/horse.txt").touch()
    report = ingest.take(1, Folder(farm, noting).items())
    assert (report.n_same, report.n_changed, opened) == (2, 1, ["llama.md"])
    index.close()


def git(*words: str, place: Path) -> str:
    named = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *named, *words], cwd=place, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(farm: Path) -> Path:
    git("init", "-q", "-b", "main", place=farm)
    git("add", "llama.md", "deep", ".hidden", ".env", "node_modules", place=farm)
    git("commit", "-q", "-m", "first", place=farm)
    return farm


def test_a_repository_is_its_committed_files(repository: Path, tmp_path: Path) -> None:
    (repository / "llama.md").write_text("not committed")
    items = list(Repository(str(repository), tmp_path / "copy", read).items())
    assert [each.path for each in items] == ["deep/er/horse.txt", "llama.md"]
    document = items[1].read()
    assert document.text == "A llama hums."
    assert document.meta["commit"] == git("rev-parse", "HEAD", place=repository)


def test_a_new_commit_costs_what_it_changed(repository: Path, tmp_path: Path) -> None:
    index = library(tmp_path)
    index.add_shelf("owner", "farm")
    ingest = Ingest(index, WordEmbedder())
    source = Repository(str(repository), tmp_path / "copy", read)
    assert ingest.take(1, source.items()).n_new == 2
    (repository / "llama.md").write_text("A llama spits.")
    git("commit", "-q", "-a", "-m", "second", place=repository)
    report = ingest.take(1, source.items())
    assert (report.n_same, report.n_changed) == (1, 1)
    index.close()


def test_files_whose_names_are_no_text_are_each_a_document(repository: Path, tmp_path: Path) -> None:
    for name in (b"caf\xe9.txt", b"caf\xe8.txt"):
        (repository / os.fsdecode(name)).write_bytes(name)
    git("add", ".", place=repository)
    git("commit", "-q", "-m", "latin", place=repository)
    index = library(tmp_path)
    index.add_shelf("owner", "farm")
    source = Repository(str(repository), tmp_path / "copy", lambda name, data, **_: Readable(repr(data), name))
    Ingest(index, WordEmbedder()).take(1, source.items())
    for letter in ("e8", "e9"):
        [kept] = index.listed(1, "", 10, f"caf\\x{letter}.txt")
        document = index.document(kept.id)[1]
        assert document.title == f"caf\\x{letter}.txt"
        assert document.text == repr(b"caf" + bytes.fromhex(letter) + b".txt")
        assert document.meta["link"].endswith(f"/caf%{letter.upper()}.txt")
    index.close()


def test_links_in_a_repository_and_its_hooks_are_not_followed(repository: Path, tmp_path: Path) -> None:
    (repository / "passwd.txt").symlink_to("/etc/passwd")
    hook = repository / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    git("add", "passwd.txt", place=repository)
    git("commit", "-q", "-m", "link", place=repository)
    paths = [each.path for each in Repository(str(repository), tmp_path / "copy", read).items()]
    assert "passwd.txt" not in paths
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "address",
    [
        *("ext::sh -c touch% /tmp/x", "ssh://example.org/x", "git://example.org/x", "http://example.org/x"),
        *("--upload-pack=touch", "https://anna:secret@example.org/x", "file:///etc", "/no/such/folder"),
    ],
)
def test_addresses_that_run_or_leak_are_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed):
        list(Repository(address, tmp_path / "copy", read).items())


def test_an_address_with_a_space_is_refused_before_anything_is_fetched() -> None:
    with pytest.raises(SourceFailed, match="a space is spelled %20"):
        checked_address("git", "https://example.org/odd name.git")


def test_a_branch_that_is_no_name_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="no name of a branch"):
        list(Repository(str(repository), tmp_path / "copy", read, branch="--exec=x").items())
    with pytest.raises(SourceFailed, match="has no branch or tag nothing: give one that it has"):
        list(Repository(str(repository), tmp_path / "copy", read, branch="nothing").items())


def test_a_repository_without_a_commit_says_what_to_do(tmp_path: Path) -> None:
    git("init", "-q", "-b", "main", "empty", place=tmp_path)
    with pytest.raises(SourceFailed, match=r"has no commit yet, .*: commit something, or name a branch"):
        list(Repository(str(tmp_path / "empty"), tmp_path / "copy", read).items())


def test_with_the_network_off_no_repository_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="--network true"):
        list(Repository("https://example.org/x", tmp_path / "copy", read).items())


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b/blob/c0/x%20y.py#L7"),
        ("https://gitlab.com/a/b", "https://gitlab.com/a/b/-/blob/c0/x%20y.py#L7"),
        ("https://codeberg.org/a/b/", "https://codeberg.org/a/b/src/commit/c0/x%20y.py#L7"),
    ],
)
def test_a_link_leads_to_the_line_of_the_commit(address: str, link: str, tmp_path: Path) -> None:
    assert Repository(address, tmp_path, read).link("c0", "x y.py", 7) == link
