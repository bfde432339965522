"""What systemd hears, over a real datagram socket."""

from __future__ import annotations

import sys

import pytest

from llmserver.notify import notify
from tests.server.standins import NotifySocket

STATE = "READY=1\nSTATUS=serving tiny"


@pytest.mark.parametrize(
    "abstract",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")),
    ],
)
def test_a_state_arrives_as_one_exact_datagram(abstract: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with NotifySocket(abstract=abstract) as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        assert notify(STATE)
        assert systemd.listen(5) == STATE
        assert systemd.listen() is None


@pytest.mark.parametrize("value", [None, ""])
def test_without_systemd_nothing_is_sent(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert not notify(STATE)


def test_a_manager_that_went_away_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    with NotifySocket() as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    assert not notify(STATE)


def test_an_address_that_is_none_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/" + "x" * 300)
    assert not notify(STATE)
