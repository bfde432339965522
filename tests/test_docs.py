"""What is written is true: pages made from code are current, links lead somewhere, the bundle matches its source."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chatbot
import llmserver

REPO = Path(__file__).resolve().parent.parent
WEB = REPO / "chatbot" / "web"
BUILD = WEB / "static" / "build"
REBUILD = "run: cd chatbot/web && npm ci && npm run build"
PAGES = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob("models/*.md"), *REPO.glob("systemd/*.md")])


def test_pages_made_from_code_are_current() -> None:
    checked = subprocess.run([sys.executable, "docs/build.py", "--check"], cwd=REPO, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_local_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def test_the_bundle_is_built_from_the_source_that_is_here() -> None:
    digest = hashlib.sha256()
    for path in (*sorted((WEB / "static" / "src").iterdir()), WEB / "package-lock.json", WEB / "build.mjs"):
        digest.update(path.read_bytes())
    assert (BUILD / "source.sha256").read_text().strip() == digest.hexdigest(), REBUILD


def test_the_bundle_is_what_was_built() -> None:
    named = dict(reversed(line.split("  ")) for line in (BUILD / "built.sha256").read_text().splitlines())
    here = {path.name: path for path in BUILD.iterdir() if path.suffix in (".js", ".css")}
    assert named == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in here.items()}, REBUILD


@pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="builds the page: cd chatbot/web && npm ci")
def test_the_bundle_is_what_the_source_builds(tmp_path: Path) -> None:
    done = subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=WEB, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.iterdir():
        if path.suffix in (".js", ".css"):
            assert path.read_bytes() == (BUILD / path.name).read_bytes(), f"{path.name}: {REBUILD}"


def test_the_licence_of_each_bundled_package_is_shipped() -> None:
    licences = (BUILD / "LICENSES.txt").read_text()
    for name, version in json.loads((WEB / "package.json").read_text())["dependencies"].items():
        assert f"{name} {version} (" in licences
    assert "no licence file" not in licences


def test_each_dependency_is_named_in_a_decision() -> None:
    """With its licence, its size and who keeps it: tables of docs/decisions."""
    told = "".join(path.read_text(encoding="utf-8") for path in (REPO / "docs" / "decisions").glob("*.md")).lower()
    packages = json.loads((WEB / "package.json").read_text())
    needed = {*packages["dependencies"], *packages["devDependencies"]}
    for name in ("requirements.txt", "requirements-dev.txt"):
        needed |= set(re.findall(r"^([\w.-]+)", (REPO / name).read_text(), re.M))
    assert len(needed) > 40
    names = re.compile(r"[a-z][a-z0-9_.-]*[a-z0-9]").findall(told)
    assert sorted(name for name in needed if name.lower().replace("_", "-") not in names) == []


def test_first_load_stays_within_its_budget() -> None:
    import gzip

    sent = sum(len(gzip.compress((BUILD / name).read_bytes())) for name in ("chat.js", "chat.css"))
    assert sent <= 120_000


def test_readme_tells_the_two_commands_and_ci_runs_the_second() -> None:
    readme = (REPO / "README.md").read_text(encoding="utf-8")
    assert "./setup.sh\n" in readme or "./setup.sh " in readme
    assert "./setup.sh test" in readme
    assert (REPO / ".ci" / "run").read_text().strip().endswith("./setup.sh test")


def test_every_option_of_setup_is_in_its_help() -> None:
    script = (REPO / "setup.sh").read_text()
    shown = subprocess.run(["bash", "setup.sh", "help"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    for option in re.findall(r"^ +(--[a-z-]+)(?: \| --[a-z-]+)*\)", script, re.M):
        assert option in shown


def test_every_package_is_installed() -> None:
    listed = re.search(r"^packages = \[(.*)\]$", (REPO / "pyproject.toml").read_text(), re.MULTILINE)
    assert listed
    folders = {
        str(path.parent.relative_to(REPO)).replace("/", ".")
        for top in ("llmserver", "chatbot", "rag")
        for path in (REPO / top).rglob("*.py")
        if "node_modules" not in path.parts
    }
    assert set(re.findall(r'"([\w.]+)"', listed[1])) == folders


def test_both_packages_and_the_changelog_name_one_version() -> None:
    assert llmserver.__version__ == chatbot.__version__
    release, dev, _ = llmserver.__version__.partition(".dev")
    newest = re.search("^## (.+)$", (REPO / "docs" / "changelog.md").read_text(encoding="utf-8"), re.M)
    assert newest and newest[1] == (f"{release} (unreleased)" if dev else release)


def test_every_socket_event_is_documented() -> None:
    api = (REPO / "docs" / "http-api.md").read_text(encoding="utf-8")
    sources = [(REPO / "chatbot/web" / name).read_text() for name in ("sockets.py", "admin.py", "library.py")]
    handler = r'^ {8}"(\w+)": (?:lambda |office\.|desk\.|LiveView|\w+,$)'
    handled = [name for source in sources for name in re.findall(handler, source, re.M)]
    assert {"open", "send", "search", "hello", "account", "alert", "library", "find"} <= set(handled)
    for name in handled:
        assert f"`{name}`" in api, name


# They never leave over HTTP.
ON_THE_COMMAND_LINE = {"startup_error", "output_lost", "download_error", "command_failed", "cannot_plan"}


def test_every_error_code_is_documented() -> None:
    api = (REPO / "docs" / "http-api.md").read_text(encoding="utf-8")
    for source in ("llmserver/errors.py", "chatbot/errors.py", "rag/errors.py"):
        for code in re.findall(r'^    code = "(\w+)"', (REPO / source).read_text(), re.M):
            if code not in ON_THE_COMMAND_LINE:
                assert f"`{code}`" in api, code
