"""The real model server and the real web chat, installed as services of a real systemd."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import MODEL, copy_tree
from tests.system.conftest import Machine
from tests.system.standin import public_python

pytestmark = [pytest.mark.systemd, pytest.mark.model]

_NOT_NEEDED = ("__editable__*", "playwright*", "mypy*", "ruff*", "shellcheck*", "pip*", "setuptools*", "__pycache__")


def make_real_checkout(folder: Path) -> Path:
    """A checkout as setup.sh leaves it, with a venv of a Python that the service user may run."""
    python = public_python()
    version = "import sys; print(sys.version_info[:2])"
    same = python and subprocess.run([python, "-c", version], capture_output=True, text=True).stdout.strip()
    if same != str(sys.version_info[:2]):
        pytest.skip(f"no Python {sys.version_info[0]}.{sys.version_info[1]} outside the home folders")
    copy_tree(folder)
    subprocess.run([str(python), "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    site = next((folder / ".venv" / "lib").glob("python3*")) / "site-packages"
    ignored = shutil.ignore_patterns(*_NOT_NEEDED)
    shutil.copytree(sysconfig.get_path("purelib"), site, dirs_exist_ok=True, ignore=ignored)
    shutil.copy2(MODEL, folder / "models" / MODEL.name)
    (folder / "models" / "default.gguf").symlink_to(MODEL.name)
    return folder


@pytest.fixture(scope="module")
def installed(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine.copy(make_real_checkout(tmp_path_factory.mktemp("real")), "/srv/real")
    installer = "PADDOCK_HOME=/srv/real bash /srv/real/systemd/install.sh --system"
    done = machine.run(installer)
    assert done.returncode == 0, done.stdout + done.stderr
    yield machine
    machine.run(f"{installer} --uninstall")
    machine.run("rm -rf /etc/paddock /var/lib/paddock")


def ask(machine: Machine) -> dict[str, object]:
    body = json.dumps({"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8})
    url = "http://127.0.0.1:8000/v1/chat/completions"
    return dict(json.loads(machine.must(f"curl -sf {url} -H 'Content-Type: application/json' -d '{body}'")))


def test_both_are_active_and_answer_from_inside_their_sandbox(installed: Machine) -> None:
    assert installed.must("systemctl is-active llmserver chatbot paddock.target").split() == ["active"] * 3
    assert json.loads(installed.must("curl -sf http://127.0.0.1:8000/health"))["status"] == "ok"
    assert ask(installed)["usage"]
    assert "<textarea" in installed.must("curl -sf http://127.0.0.1:5000/")
    installed.until("curl -sf http://127.0.0.1:5000/health | grep -q ready")
    assert installed.must("stat -c '%U' /var/lib/paddock/chat.db") == "paddock"


def test_a_killed_model_server_is_back_by_itself_and_the_page_never_left(installed: Machine) -> None:
    (page,) = installed.show("chatbot", "MainPID")
    (server,) = installed.show("llmserver", "MainPID")
    installed.must("systemctl kill -s KILL llmserver")
    installed.until(
        f'[ "$(systemctl show llmserver -p MainPID --value)" != {server} ]'
        " && [ $(systemctl is-active llmserver) = active ] && curl -sf http://127.0.0.1:8000/health"
    )
    assert ask(installed)["usage"]
    assert installed.show("chatbot", "MainPID") == [page]


def test_a_stop_is_clean(installed: Machine) -> None:
    installed.must("systemctl stop paddock.target llmserver chatbot")
    for unit in ("llmserver", "chatbot"):
        assert installed.show(unit, "ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]
        assert "Traceback" not in installed.log(unit)
