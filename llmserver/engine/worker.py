"""The one thread that owns a model, its scheduler and its caches: decide, run, record, hand over, again.

Others leave messages in its inbox and get events through a sink, all of a step at once. It survives whatever a
request does; a bug in the loop itself answers everybody and is reported, so that the process can be started anew.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from llmserver.engine.backend import Backend
from llmserver.engine.plan import Limits, Plan, Result
from llmserver.engine.request import Event, Failed, Finished, Request
from llmserver.engine.scheduler import Scheduler
from llmserver.errors import EngineFailed, LlmServerError, Stopping

log = logging.getLogger("llmserver")
_LOOK_AGAIN_S = 0.05  # when requests wait and nothing can be done for them
Events = Sequence[tuple[int, Event]]
Sink = Callable[[Events], None]


class Observer(Protocol):
    """Hears what the worker does, in its thread: must be quick."""

    def stepped(self, plan: Plan, result: Result) -> None:
        """A step is over."""

    def sent(self, events: Events, now: float) -> None:
        """Events went out; time in seconds of a monotonic clock."""

    def cancelled(self, number: int) -> None:
        """A request that was not answered yet is not wanted any more."""


@dataclass(frozen=True)
class _Submit:
    number: int
    request: Request


@dataclass(frozen=True)
class _Cancel:
    number: int


@dataclass(frozen=True)
class _Call:
    function: Callable[[], Any]
    future: Future[Any]


@dataclass(frozen=True)
class _Stop:
    error: LlmServerError


class Worker:
    """Runs one model. Its public methods may be called from any thread."""

    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        sink: Sink,
        *,
        observers: Sequence[Observer] = (),
        turn: AbstractContextManager[Any] | None = None,
        on_crash: Callable[[], None] = lambda: None,
    ) -> None:
        self.scheduler = Scheduler(backend.traits, limits)
        self._backend, self._sink, self._observers = backend, sink, observers
        self._turn = turn or nullcontext()
        self._on_crash = on_crash
        self._inbox: queue.SimpleQueue[_Submit | _Cancel | _Call | _Stop] = queue.SimpleQueue()
        self._is_stopping, self._frees = False, True
        self._over: LlmServerError | None = None  # what the thread, which has ended, answers
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, number: int, request: Request) -> None:
        """Compute a request; its events come through the sink."""
        self._post(_Submit(number, request))

    def cancel(self, number: int) -> None:
        """Stop computing a request; no further events of it."""
        self._post(_Cancel(number))

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function between two steps, in the engine's thread."""
        future: Future[Any] = Future()
        self._post(_Call(function, future))
        return future

    def stop(self, error: LlmServerError | None = None, *, frees: bool = True) -> None:
        """Answer whoever is left with the error, then end the thread; frees: give the model's memory back too."""
        self._frees = frees
        self._post(_Stop(error or Stopping("the server is stopping")))

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            while not self._is_stopping:
                self._receive()
                if not self._is_stopping:
                    self._step()
            if self._frees:
                self._backend.free()
        except Exception as why:  # the loop's edge: everybody is answered, the process starts anew
            log.critical("the engine's loop failed", exc_info=why)
            error = EngineFailed("the engine failed and is being started again: send the request again in a moment")
            self._over = error
            left = [(n, Failed(error)) for n in (*self.scheduler.running, *self.scheduler.queue)]
            self._sink([*self.scheduler.take_events(), *left])  # some had their answer in this very step
            self._refuse(error)
            self._on_crash()
        else:
            self._refuse(self._over or Stopping("the server is stopping"))

    def _post(self, message: _Submit | _Cancel | _Call | _Stop) -> None:
        self._inbox.put(message)
        if self._over is not None:
            self._refuse(self._over)

    def _refuse(self, error: LlmServerError) -> None:
        """Answer what comes too late for the thread. Any thread may do that."""
        with suppress(queue.Empty):
            while True:
                message = self._inbox.get_nowait()
                if isinstance(message, _Submit):
                    self._sink([(message.number, Failed(error))])
                elif isinstance(message, _Call) and message.future.set_running_or_notify_cancel():
                    message.future.set_exception(error)

    def _receive(self) -> None:
        """Take the messages that are there; wait for one when there is nothing to do."""
        if self.scheduler.is_idle:
            self._take(self._inbox.get())
        with suppress(queue.Empty):
            while not self._is_stopping:
                self._take(self._inbox.get_nowait())

    def _take(self, message: _Submit | _Cancel | _Call | _Stop) -> None:
        if isinstance(message, _Submit):
            try:
                self.scheduler.submit(message.number, message.request, time.perf_counter())
            except LlmServerError as why:
                self._backend.close(message.number)
                self._sink([(message.number, Failed(why))])
        elif isinstance(message, _Cancel):
            self._cancel(message.number)
        elif isinstance(message, _Call):
            _answer(message)
        else:
            self._is_stopping = True
            self.scheduler.fail_all(message.error)
            self._hand_over()
            self._over = message.error

    def _cancel(self, number: int) -> None:
        if number in self.scheduler.running or number in self.scheduler.queue:
            for observer in self._observers:
                observer.cancelled(number)
        self.scheduler.cancel(number)
        self._backend.close(number)

    def _step(self) -> None:
        plan = self.scheduler.plan(time.perf_counter())
        if plan is None:
            self._hand_over()
            if not self.scheduler.is_idle:
                self._wait()
            return
        with self._turn:
            began = time.perf_counter()
            result = self._backend.run(plan)
            seconds = time.perf_counter() - began
        self.scheduler.apply(plan, result, began + seconds)
        self._hand_over()
        for observer in self._observers:
            observer.stepped(plan, result)

    def _wait(self) -> None:
        with suppress(queue.Empty):
            self._take(self._inbox.get(timeout=_LOOK_AGAIN_S))

    def _hand_over(self) -> None:
        events = self.scheduler.take_events()
        if not events:
            return
        for number, event in events:
            if isinstance(event, Finished | Failed):
                self._backend.close(number)
        self._sink(events)
        now = time.perf_counter()
        for observer in self._observers:
            observer.sent(events, now)


def _answer(call: _Call) -> None:
    if not call.future.set_running_or_notify_cancel():
        return
    try:
        call.future.set_result(call.function())
    except Exception as why:  # noqa: BLE001 - it belongs to whoever waits for the future
        call.future.set_exception(why)
