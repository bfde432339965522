"""The benchmark reads packages, takes the answers' headings away, asks, and says which bars are met."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from pathlib import Path

import pytest

from rag.bench import cli, corpus, home, speed
from rag.bench.made import Made
from rag.bench.questions import found, headings
from rag.documents import Document
from tests.fakes import FakeServer

PAGE = "<html><head><title>{title}</title></head><body><main><h1>{title}</h1>{body}</main></body></html>"
FAQ = (
    "<ul><li><a href='#a'>Why do llamas hum?</a></li></ul>"
    "<h2>1.1. Why do llamas hum?</h2><p>Llamas hum to talk with their young ones, quietly and often.</p>"
    "<h3>How loud is it?</h3><p>Hardly louder than a bee that flies by, says the farmer.</p>"
    "<h2>Shearing</h2><p>It is done in spring, with big scissors and much patience.</p>"
)


def package(folder: Path, name: str, pages: dict[str, str]) -> None:
    """A Debian package with these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, text in pages.items():
            info = tarfile.TarInfo(f"./{path}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(packed.getvalue())}
    made = b"!<arch>\n"
    for part, data in parts.items():
        made += f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    (folder / f"{name}_1.0_all.deb").write_bytes(made)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    horses = "<h2>What do horses eat?</h2><p>Horses eat hay, oats and now and then an apple from the garden.</p>"
    doc = "usr/share/doc"
    package(
        folder,
        "python3.11-doc",
        {
            f"{doc}/python/faq/llamas.html": PAGE.format(title="Llamas", body=FAQ),
            f"{doc}/python/genindex.html": PAGE.format(title="Index", body="<p>llamas, 7</p>"),
        },
    )
    package(
        folder,
        "debian-faq",
        {
            f"{doc}/debian/FAQ/horses.en.html": PAGE.format(title="Horses", body=horses),
            f"{doc}/debian/FAQ/horses.fr.html": PAGE.format(
                title="Chevaux", body="<p>Les chevaux mangent du foin.</p>"
            ),
        },
    )
    package(folder, "git-doc", {f"{doc}/git/gate.html": PAGE.format(title="Gate", body="<p>The gate is green.</p>")})
    return folder


def test_pages_in_english_come_out_of_packages(packages: Path) -> None:
    names = [each.path.rsplit("/", 1)[1] for each in corpus.files(packages)]
    assert names == ["llamas.html", "horses.en.html", "gate.html"]


def test_a_damaged_package_and_none_are_said(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [git] = packages.glob("git-doc*")
    git.write_bytes(b"!<arch>\n")
    with pytest.raises(corpus.RagError, match=r"git-doc.* has no data\.tar\.xz"):
        corpus.files(packages)
    git.unlink()
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(corpus.RagError, match=r"git-doc.*--corpus"):
        corpus.files(packages)


def test_questions_lose_their_headings_everywhere_and_keep_their_sections() -> None:
    first = "# Llamas\n\n- Why do llamas hum?\n\n## 1.1. Why do llamas hum?\n\nTo talk.\n\n"
    text = first + "### Loud?\n\nNo.\n\n## Wool\n\nWarm.\n"
    page, asked = found("p", Document("u", "Llamas", text, "html", "0"), headings([text]))
    assert "hum" not in page.text
    assert [(each.text, page.text[each.start : each.end]) for each in asked] == [
        ("Why do llamas hum?", "## \n\nTo talk.\n\n### \n\nNo.\n\n"),
        ("Loud?", "### \n\nNo.\n\n"),
    ]


def test_the_benchmark_asks_and_says_what_it_found(packages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer() as server:
        server.embeds = True
        asked = ["bench", "--url", server.url, "--corpus", str(packages), "--only", "quality,rates"]
        cli.main([*asked, "--json"])
        said = json.loads(capsys.readouterr().out)
        assert said["hits"]["words"]["n_questions"] == 3
        assert 0 < said["hits"]["merged"]["hit_1"] <= said["hits"]["merged"]["hit_5"] <= 1
        assert said["refused"]["unanswerable"] > 0.5
        assert said["n_chunks"] >= 3
        assert said["rates"]["ingest"] > 0
        n_texts = len(server.embedded)
        code = cli.main([*asked[:-1], "quality"])
        told = capsys.readouterr().out
        assert "hit@5" in told
        assert code == int("MISSED" in told)
        again = [text for text in server.embedded[n_texts:] if "gate is green" in text]
        assert all(text.count("\n") < 2 for text in again), "the library is kept: sentences are asked, and no chunk"


def test_no_server_is_said(packages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "--url", "http://127.0.0.1:1/v1", "--corpus", str(packages), "--only", "quality"]
    assert cli.main(asked) == 2
    assert "nobody answers at http://127.0.0.1:1/v1" in capsys.readouterr().err


def test_searches_and_memory_are_measured_without_a_server(tmp_path: Path) -> None:
    waits = speed.searches(tmp_path, 150)
    assert waits.n_chunks == 150
    assert 0 < waits.p50_ms <= waits.p95_ms
    held = speed.memory(tmp_path, 3, 12)
    assert (held.few, held.many) == (3, 12)
    assert held.few_mb > 1


def test_made_texts_are_the_same_each_time_and_have_common_words() -> None:
    one, other = Made().words(3_000), Made().words(3_000)
    assert one == other
    assert one.count(max(set(one), key=one.count)) > 50
    assert len(set(one)) > 500


def test_small_libraries_of_a_household_are_asked_without_any_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for language in home.LANGUAGES:
        told = home.read(language)
        uris = {each.uri for each in told.documents}
        assert {each.uri for each in told.questions} == {*uris, ""}
        assert {(bool(each.uri), each.is_held_out) for each in told.questions} == {
            (a, b) for a in (0, 1) for b in (0, 1)
        }
        held_out = {each.uri for each in told.questions if each.is_held_out}
        assert held_out & {each.uri for each in told.questions if not each.is_held_out} == {""}, (
            "notes are held out whole"
        )
    with FakeServer() as server:
        server.embeds = True
        cli.main(["bench", "--url", server.url, "--corpus", str(tmp_path), "--only", "home", "--json"])
    said = json.loads(capsys.readouterr().out)["home"]
    assert list(said) == ["en, tuned on", "en, held out", "de, tuned on", "de, held out"]
    assert all(each["n_answerable"] == 20 and each["n_unanswerable"] == 12 for each in said.values())
