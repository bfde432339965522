"""A systemd of its own, booted once for the tests that need one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import REPO
from tests.system.standin import public_python

Done = subprocess.CompletedProcess[str]


class Machine:
    """A booted systemd, and commands run beside it."""

    def __init__(self, first_pid: str) -> None:
        self.first_pid = first_pid

    def run(self, command: str) -> Done:
        return subprocess.run(
            ["nsenter", "-t", self.first_pid, "-a", "bash", "-c", command], capture_output=True, text=True, timeout=120
        )

    def must(self, command: str) -> str:
        done = self.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def copy(self, folder: Path, target: str) -> None:
        """Copy a folder of this machine into the other, where this one's /tmp need not be seen."""
        packed = subprocess.run(["tar", "-C", folder, "-c", "."], capture_output=True, check=True).stdout
        unpack = f"mkdir -p '{target}' && tar -C '{target}' --no-same-owner -x"
        subprocess.run(["nsenter", "-t", self.first_pid, "-a", "bash", "-c", unpack], input=packed, check=True)

    def show(self, unit: str, *names: str) -> list[str]:
        return [self.must(f"systemctl show {unit} -p {name} --value") for name in names]

    def log(self, unit: str) -> str:
        return self.must(f"journalctl --sync; journalctl -u {unit} -o cat --no-pager")

    def until(self, command: str) -> None:
        """Wait until a command succeeds in the machine."""
        self.must(f"for _ in $(seq 200); do if {command}; then exit 0; fi; sleep 0.1; done; exit 1")


def why_not() -> str | None:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a private systemd needs root on Linux"
    for tool in ("unshare", "nsenter", "systemctl", "systemd-run", "dbus-daemon", "ip"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if public_python() is None:
        return "no Python outside the home folders"
    return None


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    boot = subprocess.Popen(
        ["bash", str(REPO / "tests/system/private_systemd.sh"), str(tmp_path_factory.mktemp("boot"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert boot.stdout and boot.stderr
    booted = Machine(boot.stdout.readline().strip())
    wait = "timeout 20 bash -c 'until systemctl is-system-running --wait; do sleep 0.1; done'"
    ready = bool(booted.first_pid) and booted.run(wait).stdout.split()[-1:] == ["running"]
    try:
        if not ready:
            if boot.poll() is None and booted.first_pid:
                subprocess.run(["kill", "-9", booted.first_pid], check=False)
            pytest.skip(f"this machine does not let a private systemd boot: {boot.communicate(timeout=10)[1].strip()}")
        yield booted
    finally:
        if boot.poll() is None:
            subprocess.run(["kill", "-9", booted.first_pid], check=False)
            boot.wait(timeout=10)
