"""The unit files and their installer, checked with systemd's own tools; nothing is started."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.system.standin import REPO, install, make_checkout, public_python

SERVICES = ("llmserver.service", "chatbot.service")
UNITS = (*SERVICES, "paddock.target")
MAX_EXPOSURE = 3.0

needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def settings_of(unit: Path) -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            settings.setdefault(key, []).append(value)
    return settings


def words_of(unit: str, key: str) -> list[str]:
    return " ".join(settings_of(REPO / "systemd" / unit).get(key, [])).split()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    python = public_python()
    if python is None:
        pytest.skip("no Python outside the home folders, which the installer rightly refuses")
    return make_checkout(tmp_path / "check out", python)


@pytest.fixture
def installed(checkout: Path, tmp_path: Path) -> Path:
    root = tmp_path / "root"
    done = install(checkout, "--system", "--root", str(root))
    assert done.returncode == 0, done.stderr
    return root


def verify(root: Path, folder: str, *manager: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze verify on the units below root, next to the distribution's own units."""
    kind = "user" if manager else "system"
    for library in ("/usr/lib/systemd", "/lib/systemd"):
        if Path(library, kind).is_dir():
            shutil.copytree(f"{library}/{kind}", root / f"usr/lib/systemd/{kind}", symlinks=True)
            if not (root / "lib").exists():
                (root / "lib").symlink_to("usr/lib")
            break
    units = [f"{folder}/{name}" for name in UNITS] if manager else list(UNITS)
    root_option = [] if manager else [f"--root={root}"]
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *manager, *root_option, *units],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(root)},
    )


@needs_analyze
def test_verify_finds_nothing_in_the_installed_units(installed: Path) -> None:
    # verify resolves links below the root only, so the interpreter of the venv stands there as a file.
    for link in (installed / "opt/paddock/.venv/bin").iterdir():
        if link.is_symlink():
            link.unlink()
            link.write_text("#!/bin/sh\n")
            link.chmod(0o755)
    done = verify(installed, "")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_analyze
def test_verify_finds_nothing_in_the_units_of_a_user(checkout: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = install(checkout, "--user", "--root", str(root), HOME="/home/me", XDG_CONFIG_HOME="/home/me/.config")
    assert done.returncode == 0, done.stderr
    done = verify(root, f"{root}/home/me/.config/systemd/user", "--user")
    ours = [line for line in done.stderr.splitlines() if "llmserver" in line or "chatbot" in line or "paddock" in line]
    assert (done.returncode, ours) == (0, [])


@needs_analyze
@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_stays_low(unit: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=30", "--no-pager", str(REPO / "systemd" / unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MAX_EXPOSURE
    assert done.returncode == 0


def test_chatbot_follows_the_model_server_and_lives_without_it() -> None:
    assert "llmserver.service" in words_of("chatbot.service", "After")
    for key in ("Requires", "BindsTo", "Requisite", "PartOf"):
        assert "llmserver.service" not in words_of("chatbot.service", key)
    assert not {"Requires", "BindsTo", "Requisite"} & set(settings_of(REPO / "systemd/paddock.target"))


def test_stop_timeout_is_longer_than_the_longest_answer() -> None:
    (timeout_s,) = words_of("llmserver.service", "TimeoutStopSec")
    text = (REPO / "systemd/llmserver.service").read_text()
    example = REPO / "systemd/llmserver.env.example"
    if example.exists():
        text += example.read_text()
    drains = re.findall(r"^(?:#\s*)?(?:Environment=)?LLMSERVER_DRAIN_TIMEOUT_S=[\"']?([0-9.]+)", text, re.MULTILINE)
    assert drains
    assert int(timeout_s) > max(float(value) for value in drains)


@pytest.mark.parametrize("unit", SERVICES)
def test_a_failing_service_restarts_a_limited_number_of_times(unit: str) -> None:
    settings = settings_of(REPO / "systemd" / unit)
    assert settings["Type"] == ["notify"]
    assert settings["Restart"] == ["on-failure"]
    assert settings["RestartPreventExitStatus"] == ["2"]
    assert int(settings["StartLimitBurst"][0]) <= 5
    assert "StartLimitIntervalSec" in settings


def test_system_installation_is_complete_and_readable_for_the_service(installed: Path) -> None:
    program = installed / "opt/paddock"
    for name in ("llmserver/__main__.py", "chatbot/__main__.py", "systemd/install.sh", "setup.sh", "pyproject.toml"):
        assert (program / name).is_file(), name
    assert os.readlink(program / "models/default.gguf") == "tiny.gguf"
    assert (program / "models/default.gguf").stat().st_size == 1004
    for name in UNITS:
        assert (installed / "etc/systemd/system" / name).read_text() == (REPO / "systemd" / name).read_text()
    unreadable = [
        path
        for path in program.rglob("*")
        if not path.is_symlink() and not path.stat().st_mode & (stat.S_IXOTH if path.is_dir() else stat.S_IROTH)
    ]
    assert unreadable == []


def test_copied_venv_runs_from_its_own_place(installed: Path, checkout: Path) -> None:
    program = installed / "opt/paddock"
    done = subprocess.run(
        [program / ".venv/bin/python", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True
    )
    assert done.stdout.strip() == str(program / ".venv")
    assert (program / ".venv/bin/chat").read_text().startswith("#!/opt/paddock/.venv/bin/python\n")
    assert str(checkout) not in (program / ".venv/bin/activate").read_text()


def test_second_installation_keeps_settings_and_takes_the_new_program(installed: Path, checkout: Path) -> None:
    settings = installed / "etc/paddock/llmserver.env"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640
    settings.write_text("MODEL=/srv/mine.gguf\n")
    (checkout / "llmserver/added.py").write_text("x = 1\n")
    (checkout / "llmserver/part.py").unlink()
    (checkout / "models/other.gguf").write_bytes(b"GGUF")
    (checkout / "models/default.gguf").unlink()
    (checkout / "models/default.gguf").symlink_to(checkout / "models/other.gguf")
    done = install(checkout, "--system", "--root", str(installed))
    assert done.returncode == 0, done.stderr
    assert settings.read_text() == "MODEL=/srv/mine.gguf\n"
    assert f"keeping {settings}" in done.stdout
    program = installed / "opt/paddock"
    assert (program / "llmserver/added.py").exists()
    assert not (program / "llmserver/part.py").exists()
    assert os.readlink(program / "models/default.gguf") == "other.gguf"
    assert not (program / ".next").exists()


def test_models_for_the_library_go_along(checkout: Path, tmp_path: Path) -> None:
    shutil.copy(REPO / "models/catalog.toml", checkout / "models/catalog.toml")
    wanted = {"all-minilm-l6-v2-Q8_0.gguf", "bge-reranker-v2-m3-Q8_0.gguf"}
    for name in (*wanted, "Qwen3.5-9B-Q4_K_M.gguf"):  # another chat model stays where it is
        (checkout / "models" / name).write_bytes(b"GGUF")
    (checkout / "rag").mkdir()
    (checkout / "rag/__init__.py").write_text("")
    assert install(checkout, "--system", "--root", str(tmp_path / "root")).returncode == 0
    program = tmp_path / "root/opt/paddock"
    assert {path.name for path in program.glob("models/*.gguf")} == {*wanted, "tiny.gguf", "default.gguf"}
    assert (program / "rag/__init__.py").exists()  # the page asks it


def test_weights_that_only_their_owner_may_read_are_copied_not_linked(checkout: Path, tmp_path: Path) -> None:
    weights = checkout / "models/tiny.gguf"
    weights.chmod(0o600)
    assert install(checkout, "--system", "--root", str(tmp_path / "root")).returncode == 0
    assert stat.S_IMODE(weights.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "root/opt/paddock/models/tiny.gguf").stat().st_mode) == 0o644


def test_uninstall_removes_the_program_and_keeps_chats_and_settings(installed: Path, checkout: Path) -> None:
    chats = installed / "var/lib/paddock/chats.db"
    chats.parent.mkdir(parents=True)
    chats.write_text("")
    (installed / "opt/paddock/models/own.gguf").write_text("")
    for _ in range(2):
        done = install(checkout, "--system", "--root", str(installed), "--uninstall")
        assert done.returncode == 0, done.stderr
        assert str(chats.parent) in done.stdout
    assert chats.exists()
    assert (installed / "etc/paddock/llmserver.env").exists()
    left = [path.name for path in (installed / "opt/paddock").rglob("*") if path.is_file()]
    assert left == ["own.gguf"]
    assert list((installed / "etc/systemd/system").iterdir()) == []


def test_user_units_run_the_checkout_in_place(checkout: Path, tmp_path: Path) -> None:
    done = install(checkout, "--user", "--root", str(tmp_path), HOME="/home/me", XDG_CONFIG_HOME="/home/me/.config")
    assert done.returncode == 0, done.stderr
    units = tmp_path / "home/me/.config/systemd/user"
    for name in SERVICES:
        settings = settings_of(units / name)
        assert settings["WorkingDirectory"] == [str(checkout)]
        assert settings["ExecStart"][0].startswith(f'"{checkout}/.venv/bin/python" -m ')
        assert not {"User", "Group", "CapabilityBoundingSet", "ProtectSystem", "DevicePolicy"} & set(settings)
        assert settings["NoNewPrivileges"] == ["yes"]
        assert "/opt/paddock" not in (units / name).read_text()
    assert "CHATBOT_DATA_DIR=%h/.local/share/paddock" in settings_of(units / "chatbot.service")["Environment"]
    assert settings_of(units / "paddock.target")["WantedBy"] == ["default.target"]
    assert (tmp_path / "home/me/.local/share/paddock").is_dir()
    assert not (tmp_path / "opt").exists()


def test_interpreter_inside_a_home_folder_is_refused_with_a_way_out(checkout: Path, tmp_path: Path) -> None:
    fake = checkout / ".venv/bin/python"
    fake.unlink()
    fake.write_text("#!/bin/sh\necho /home/me/.pyenv/bin/python3.11 /home/me/.pyenv\n")
    fake.chmod(0o755)
    done = install(checkout, "--system", "--root", str(tmp_path / "root"))
    assert done.returncode == 1
    assert "/home/me/.pyenv/bin/python3.11" in done.stderr
    assert "--user" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs this machine: it would really install")
def test_without_systemd_one_line_says_so(checkout: Path) -> None:
    done = install(checkout, "--system")
    assert done.returncode == 1
    assert "./setup.sh" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("options", [[], ["--everywhere"], ["--system", "--root"]])
def test_wrong_options_are_refused(checkout: Path, options: list[str]) -> None:
    done = install(checkout, *options)
    assert done.returncode == 1
    assert "service:" in done.stderr
