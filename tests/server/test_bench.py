"""`bench` against a scripted server whose times, faults and counts are known, and once against the real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from llmserver.__main__ import main
from llmserver.bench import busy, scenarios
from llmserver.bench.client import Server, meet
from llmserver.bench.scenarios import Run, Trial
from tests.processes import Process, free_port, until

MODEL = "scripted"
N_CTX = 2000
FIELDS = {"model", "messages", "max_tokens", "temperature", "seed", "stream", "stream_options"}
SLACK_S = 0.03  # how much a sleep of the server may seem shorter here


@dataclass(frozen=True)
class Script:
    """How one request is answered: so many chunks of text after a delay, in a rhythm, then an end."""

    n_chunks: int = 3
    delay_s: float = 0.0
    gap_s: float = 0.0
    tail: str = '{"choices": [{"delta": {}, "finish_reason": "length"}]}\n\n{usage}[DONE]\n\n'
    usage: dict[str, Any] = field(default_factory=dict)
    status: int = 200


def refusal(status: int) -> Script:
    return Script(status=status)


CUT_OFF = Script(tail="")


class Scripted:
    """An OpenAI-compatible server in a thread of its own. `answer` chooses the script for a body (None: not JSON)."""

    def __init__(self) -> None:
        self.answer: Callable[[Any], Script] = lambda body: Script()
        self.bodies: list[Any] = []
        self.keys: set[str] = set()
        self.n_left = 0
        self.n_at_once = self.most_at_once = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> list[Any]:
        """The bodies after the greeting."""
        return self.bodies[1:]

    def __enter__(self) -> Scripted:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            named = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            self.keys.add(named.get("authorization", ""))
            content = await reader.readexactly(int(named.get("content-length", 0)))
            answering = asyncio.create_task(self._answer(head.split(" ")[1], content, writer))
            leaving = asyncio.create_task(reader.read())
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            self.n_left += not answering.done()
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        writer.close()

    async def _answer(self, path: str, content: bytes, writer: asyncio.StreamWriter) -> None:
        if path.endswith("/models"):
            return await self._json(writer, 200, {"data": [{"id": MODEL, "meta": {"n_ctx": N_CTX}}]})
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        self.bodies.append(body)
        self.n_at_once += 1
        self.most_at_once = max(self.n_at_once, self.most_at_once)
        try:
            await self._play(self.answer(body), body, writer)
        finally:
            self.n_at_once -= 1

    async def _play(self, script: Script, body: Any, writer: asyncio.StreamWriter) -> None:
        if script.status != 200:
            return await self._json(writer, script.status, {"error": {"message": "as the script says"}})
        await asyncio.sleep(script.delay_s)
        usage = {"prompt_tokens": 50, "completion_tokens": script.n_chunks, **script.usage}
        texts = [f"w{n} of {len(self.bodies)} " for n in range(script.n_chunks)]
        if not body["stream"]:
            choice = {"message": {"content": "".join(texts)}, "finish_reason": "length"}
            return await self._json(writer, 200, {"choices": [choice], "usage": usage})
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n, text in enumerate(texts):
            await asyncio.sleep(script.gap_s if n else 0)
            await self._event(writer, json.dumps({"choices": [{"delta": {"content": text}}]}))
        counts = json.dumps({"choices": [], "usage": usage}) + "\n\n" if "stream_options" in body else ""
        for event in script.tail.replace("{usage}", counts).split("\n\n"):
            if event:
                await self._event(writer, event)
        writer.write(b"0\r\n\r\n")
        return await writer.drain()

    async def _event(self, writer: asyncio.StreamWriter, event: str) -> None:
        content = f"data: {event}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(content), content))
        await writer.drain()

    async def _json(self, writer: asyncio.StreamWriter, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as made:
        yield made


def measured(server: Scripted, name: str, number: int = 1, seed: int = 5, n_concurrent: int | None = None) -> Run:
    """One run of a scenario."""

    async def measure() -> Run:
        met = await meet(Server("A", server.url), None)
        ((full_name, scenario),) = scenarios.chosen([name], n_concurrent).items()
        return await scenarios.run(scenario, Trial(met, seed, number, 16, full_name))

    return asyncio.run(measure())


def values(run: Run) -> dict[str, float | None]:
    return {figure.name: figure.value for figure in run.figures}


def first_words(bodies: Sequence[Any]) -> list[str]:
    return [body["messages"][0]["content"][:30] for body in bodies]


def test_single_measures_the_scripted_times(server: Scripted) -> None:
    server.answer = lambda body: Script(n_chunks=6, delay_s=0.2, gap_s=0.05)
    run = measured(server, "single")
    first_s, rate = values(run)["first token"], values(run)["decode"]
    assert first_s is not None and rate is not None
    assert 0.2 - SLACK_S < first_s < 2
    assert 1 < rate < 5 / (5 * 0.05 - SLACK_S)
    assert server.most_at_once == 1 and len(server.asked) == scenarios.N_SINGLE and not run.problems


def test_tokens_are_counted_by_the_server_where_it_counts_and_by_chunk_where_it_refuses_to(server: Scripted) -> None:
    server.answer = lambda body: Script(usage={"completion_tokens": 40})
    assert {sample.answer.n_tokens for sample in measured(server, "single").samples} == {40}
    server.answer = lambda body: refusal(422) if "stream_options" in body else Script()
    assert {sample.answer.n_tokens for sample in measured(server, "single").samples} == {3}


def test_burst_asks_for_all_streams_at_once(server: Scripted) -> None:
    server.answer = lambda body: Script(n_chunks=5, delay_s=0.3, gap_s=0.02)
    run = measured(server, "burst", n_concurrent=6)
    assert (run.scenario, server.most_at_once, len(run.samples)) == ("burst-6", 6, 6)
    rate = values(run)["all streams"]
    assert rate is not None and 1 < rate < 6 * 5 / (0.3 + 4 * 0.02 - SLACK_S)


def test_turns_go_round_the_conversations_with_the_real_answers(server: Scripted) -> None:
    run = measured(server, "turns")
    firsts = first_words(server.asked)
    assert len(set(firsts)) == scenarios.N_CONVERSATIONS
    assert firsts == firsts[: scenarios.N_CONVERSATIONS] * scenarios.N_TURNS
    assert [len(body["messages"]) for body in server.asked[:: scenarios.N_CONVERSATIONS]] == [1, 3, 5, 7, 9, 11]
    told = server.asked[scenarios.N_CONVERSATIONS]["messages"][1]
    assert told == {"role": "assistant", "content": run.samples[0].answer.text} and told["content"]


def test_no_run_repeats_the_prompts_of_another_and_a_seed_repeats_its_own(server: Scripted) -> None:
    for number, seed in ((1, 5), (2, 5), (1, 6), (1, 5)):
        measured(server, "single", number, seed)
    stories = [body["messages"] for body in server.bodies if body["max_tokens"] == 16]
    one, two, other_seed, again = (stories[at : at + 3] for at in (0, 3, 6, 9))
    assert one == again
    assert len(set(first_words([{"messages": each} for each in one + two + other_seed]))) == 9


def test_mixed_sends_the_long_prompt_while_all_streams_decode_and_sees_the_freeze(server: Scripted) -> None:
    def script(body: Any) -> Script:
        is_long = len(body["messages"][0]["content"].split()) > scenarios.N_LONG_WORDS
        seen.append((is_long, server.n_at_once))
        if is_long:
            return Script(delay_s=0.5)
        # One stream has pauses of 0.25 s, which the reading of the long prompt must overlap.
        return Script(n_chunks=12, gap_s=0.25) if len(seen) == 2 else Script(n_chunks=60, gap_s=0.05)

    seen: list[tuple[bool, int]] = []
    server.answer = script
    found = values(measured(server, "mixed"))
    assert seen[-1] == (True, 1 + scenarios.N_DECODING)
    gap_s, first_s = found["longest gap while the long prompt is read"], found["first token of the long prompt"]
    assert gap_s is not None and 0.25 - SLACK_S < gap_s < 2
    assert first_s is not None and 0.5 - SLACK_S < first_s < 3


def test_many_adds_up_what_the_server_read_again(server: Scripted) -> None:
    server.answer = lambda body: Script(usage={"prompt_tokens_details": {"cached_tokens": 48}})
    run = measured(server, "many")
    assert values(run)["read again in round 2"] == scenarios.N_MANY * (50 + 3 - 48)
    server.answer = lambda body: Script()
    assert values(measured(server, "many"))["read again in round 2"] is None


def test_crowded_runs_busy_processes_beside_the_second_stream_and_ends_them(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    @contextlib.contextmanager
    def watched(n_processes: int) -> Iterator[tuple[int, ...]]:
        with busy.busy(n_processes) as found:
            pids.extend(found)
            yield found

    monkeypatch.setattr(scenarios, "busy", watched)
    run = measured(server, "crowded")
    assert len(set(pids)) == busy.n_cores()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert [sample.kind for sample in run.samples] == ["idle", "busy"]


def test_only_fields_that_strict_servers_know_are_sent(server: Scripted) -> None:
    measured(server, "single")
    assert all(set(body) <= FIELDS and body["temperature"] == 0.7 for body in server.bodies)
    assert len({body["seed"] for body in server.asked}) == scenarios.N_SINGLE


def test_the_command_compares_two_servers_in_alternating_order(
    server: Scripted, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setenv("SOME_KEY", "sekret")
    server.answer = lambda body: order.append("A") or Script(delay_s=0.2)  # type: ignore[func-returns-value]
    with Scripted() as other:
        other.answer = lambda body: order.append("B") or Script(delay_s=0.05)  # type: ignore[func-returns-value]
        file = tmp_path / "out.json"
        flags = ["--scenario", "single", "--runs", "3", "--api-key-env", "SOME_KEY", "--json", str(file), "--seed", "4"]
        assert main(["bench", server.url, "--against", other.url, *flags]) == 0
    assert "".join(order) == "AB" + "AAABBB" + "BBBAAA" + "AAABBB"
    assert server.keys == {"bearer sekret"}
    text = capsys.readouterr().out
    assert "A/B" in text and "seed 4" in text and "sekret" not in text + file.read_text(encoding="utf-8")
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert saved["machine"]["python"] and saved["command"][:4] == ["python", "-m", "llmserver", "bench"]
    (first,) = (each for each in saved["scenarios"]["single"]["figures"] if each["name"] == "first token")
    assert 1.1 < first["ratios"]["A/B"]["median"] < 5 and set(first["summaries"]) == {"A", "B"}
    assert len(saved["scenarios"]["single"]["runs"]) == 6
    assert len(saved["scenarios"]["single"]["runs"][0]["samples"][0]["stamps_s"]) == 3


@pytest.mark.parametrize(("script", "words"), [(CUT_OFF, "1 cut off"), (refusal(500), "1 errors, 0 cut off")])
def test_one_bad_answer_makes_the_command_fail_and_is_shown(
    server: Scripted, capsys: pytest.CaptureFixture[str], script: Script, words: str
) -> None:
    server.answer = lambda body: script if len(server.bodies) == 3 else Script()
    assert main(["bench", server.url, "--scenario", "single", "--runs", "1"]) == 1
    text = capsys.readouterr().out
    assert words in text and "in single run 1" in text


def test_a_server_that_is_away_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    assert main(["bench", url]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert url in err and "is away" in err


def test_a_server_that_goes_away_half_way_is_reported(server: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    other = Scripted()
    with other:
        other.answer = lambda body: server.answer(body)
        url = other.url
        asked = asyncio.run(meet(Server("A", url), None))
    run = asyncio.run(scenarios.run(scenarios.single, Trial(asked, 1, 1, 8, "single")))
    assert len(run.problems) == scenarios.N_SINGLE and "cannot connect" in run.problems[0]
    assert set(values(run).values()) == {None}


@pytest.mark.parametrize(
    "flags", [["not-an-address"], ["--api-key-env", "NO_SUCH_NAME"], ["--json", "/nowhere/x.json"], ["--pid", "1"] * 2]
)
def test_wrong_arguments_are_refused_before_anything_is_measured(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_ends_the_busy_processes_and_reports_what_there_is(server: Scripted) -> None:
    server.answer = lambda body: Script(delay_s=60) if len(server.bodies) == 6 else Script()
    command = ["-m", "llmserver", "bench", server.url, "--runs", "1"]
    bench = Process(*command, "--scenario", "single", "--scenario", "crowded")
    try:
        until(lambda: len(server.bodies) == 6, "the stream beside the busy processes")
        bench.process.send_signal(signal.SIGINT)
        assert bench.wait() == 130
        with pytest.raises(ProcessLookupError):
            os.killpg(bench.process.pid, 0)
    finally:
        bench.kill()
    assert "stopped" in bench.output and "first token" in bench.output


@pytest.mark.model
def test_single_and_burst_measure_the_real_server(
    real_server: Process, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "out.json"
    flags = ["--scenario", "single", "--scenario", "burst", "--concurrency", "2", "--runs", "1", "--tokens", "12"]
    assert main(["bench", f"{real_server.url}/v1", *flags, "--json", str(file)]) == 0, capsys.readouterr().out
    text = capsys.readouterr().out
    assert "SmolLM2" in text and "burst-2" in text and "5 requests, 0 errors, 0 cut off" in text
    for scenario in json.loads(file.read_text(encoding="utf-8"))["scenarios"].values():
        for figure in scenario["figures"]:
            assert figure["summaries"]["A"]["median"] > 0, figure
