"""The units under a real systemd in namespaces of its own: installed, started, killed, stopped, removed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.conftest import Done, Machine
from tests.system.standin import make_checkout, public_python

pytestmark = pytest.mark.systemd


@pytest.fixture(scope="module")
def checkout(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("checkout") / "paddock"
    make_checkout(folder, public_python() or "")
    machine.copy(folder, "/srv/paddock")
    return "/srv/paddock"


def service(machine: Machine, checkout: str, *options: str) -> Done:
    return machine.run(f"PADDOCK_HOME={checkout} {checkout}/systemd/install.sh --system {' '.join(options)}")


@pytest.fixture
def running(machine: Machine, checkout: str) -> Iterator[Machine]:
    """Freshly installed services with an empty journal; removed afterwards."""
    machine.must("journalctl --rotate && journalctl --vacuum-time=1us")
    done = service(machine, checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "http://localhost:5000" in done.stdout
    assert "http://localhost:8000/v1" in done.stdout
    yield machine
    service(machine, checkout, "--uninstall")
    machine.must("rm -rf /etc/paddock /var/lib/paddock /etc/systemd/system/*.service.d")


def probes(log: str) -> dict[str, str]:
    lines = [line.split() for line in log.splitlines() if line.startswith("probe ")]
    return {words[1]: words[2] for words in lines}


def test_both_start_in_order_behind_their_sandbox(running: Machine) -> None:
    server_ready, server_user = running.show("llmserver", "ActiveEnterTimestampMonotonic", "User")
    (chat_began,) = running.show("chatbot", "InactiveExitTimestampMonotonic")
    assert int(chat_began) >= int(server_ready)
    assert server_user == "paddock"
    assert running.must("systemctl is-enabled paddock.target") == "enabled"
    server = probes(running.log("llmserver"))
    chat = probes(running.log("chatbot"))
    for found in (server, chat):
        assert {found[name] for name in ("memory", "callback", "state")} == {"allowed"}, found
        assert {found[name] for name in ("program", "etc", "homes", "outside", "kmsg")} == {"refused"}, found
        assert found["umask"] == "0o77"
    assert server["affinity"] == "allowed"
    assert running.must("stat -c '%U %a' /var/lib/paddock /var/lib/paddock/written") == "paddock 700\npaddock 600"
    assert running.must("stat -c '%U:%G %a' /etc/paddock/chatbot.env") == "root:paddock 640"


def test_installing_again_restarts_both_and_keeps_settings(running: Machine, checkout: str) -> None:
    before = running.show("llmserver", "MainPID")
    running.must("echo 'PORT=8000' > /etc/paddock/llmserver.env")
    done = service(running, checkout)
    assert done.returncode == 0, done.stderr
    assert running.show("llmserver", "MainPID") != before
    assert running.must("cat /etc/paddock/llmserver.env") == "PORT=8000"


def test_killed_model_server_comes_back_and_the_page_stays(running: Machine) -> None:
    (page,) = running.show("chatbot", "MainPID")
    running.must("systemctl kill -s KILL llmserver")
    running.until('[ "$(systemctl show llmserver -p NRestarts -p ActiveState --value | sort | xargs)" = "1 active" ]')
    assert running.show("chatbot", "MainPID") == [page]


def test_stop_lets_the_answers_finish(running: Machine) -> None:
    # The stop of the target alone returns at once and lets the services end by themselves.
    running.must("systemctl stop paddock.target llmserver chatbot")
    assert running.show("llmserver", "ActiveState", "Result") == ["inactive", "success"]
    assert running.show("chatbot", "ActiveState", "Result") == ["inactive", "success"]
    lines = running.log("'llm*' -u 'chat*'").splitlines()
    page_stopped = [n for n, line in enumerate(lines) if line.startswith("Stopped") and "web chat" in line]
    assert page_stopped
    assert page_stopped[-1] < lines.index("drained", page_stopped[-1])


def test_refusing_model_server_is_not_restarted_and_the_page_runs(running: Machine, checkout: str) -> None:
    running.must("echo PLAY=refuse > /etc/paddock/llmserver.env")
    done = service(running, checkout)
    assert done.returncode == 1
    assert "llmserver" in done.stderr
    assert running.show("llmserver", "ActiveState", "NRestarts", "ExecMainStatus") == ["failed", "0", "2"]
    assert running.show("chatbot", "ActiveState") == ["active"]


def test_crashing_model_server_is_given_up_after_five_starts_and_the_page_runs(running: Machine) -> None:
    running.must("echo PLAY=crash > /etc/paddock/llmserver.env")
    drop_in = "/etc/systemd/system/llmserver.service.d"
    running.must(f"mkdir -p {drop_in} && printf '[Service]\nRestartSec=50ms\n' > {drop_in}/quick.conf")
    running.must("systemctl daemon-reload; systemctl reset-failed; systemctl restart paddock.target")
    running.until('[ "$(systemctl is-failed llmserver)" = failed ]')
    assert running.log("llmserver").count("Main process exited, code=exited, status=1") == 5
    assert running.show("chatbot", "ActiveState") == ["active"]


def test_uninstall_stops_and_removes_but_keeps_data(running: Machine, checkout: str) -> None:
    for _ in range(2):
        done = service(running, checkout, "--uninstall")
        assert done.returncode == 0, done.stderr
        assert "/var/lib/paddock" in done.stdout
    assert running.must("systemctl list-unit-files --no-legend 'paddock*' 'llmserver*' 'chatbot*' || true") == ""
    running.must("[ ! -e /opt/paddock ] && [ -e /var/lib/paddock/written ] && [ -e /etc/paddock/chatbot.env ]")


def test_user_manager_runs_the_checkout_in_place(machine: Machine, checkout: str) -> None:
    machine.must(
        f"useradd --create-home keeper && cp -a {checkout} '/home/keeper/my paddock' && chown -R keeper: /home/keeper"
        " && install -d -o keeper -m 0700 /run/user/$(id -u keeper)"
    )
    as_keeper = "setpriv --reuid keeper --regid keeper --init-groups env -i HOME=/home/keeper USER=keeper PATH=$PATH "
    as_keeper += "XDG_RUNTIME_DIR=/run/user/$(id -u keeper) "
    machine.must(
        "systemd-run -q -u keeper --uid=keeper -p Delegate=yes -E XDG_RUNTIME_DIR=/run/user/$(id -u keeper)"
        " -E HOME=/home/keeper $(ls /usr/lib/systemd/systemd /lib/systemd/systemd | head -1) --user"
    )
    machine.until(f"{as_keeper} systemctl --user show-environment")
    installer = "PADDOCK_HOME='/home/keeper/my paddock' '/home/keeper/my paddock/systemd/install.sh' --user"
    said = machine.must(f"{as_keeper} {installer}")
    assert "enable-linger" in said
    states = machine.must(f"{as_keeper} systemctl --user is-active llmserver chatbot paddock.target")
    assert states.split() == ["active"] * 3
    machine.must("[ -e /home/keeper/.local/share/paddock/written ]")
    machine.must(f"{as_keeper} {installer} --uninstall")
    machine.must("[ -d '/home/keeper/my paddock/llmserver' ] && [ -e /home/keeper/.local/share/paddock/written ]")
    machine.must("[ ! -e /home/keeper/.config/systemd/user/llmserver.service ] && systemctl stop keeper")
