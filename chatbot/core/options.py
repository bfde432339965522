"""What a person can choose for one chat: the controls with their ranges, and what they add to a request.

The page's sheet, the terminal's /set and the settings are made from CONTROLS. Nothing is sent that nobody chose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from chatbot.errors import OptionRefused

CONTEXT_RULES = ("fold", "window", "all")
THINKING = ("off", "low", "medium", "high")
DEPTHS = ("quick", "break_down", "careful")
# What raw JSON may not touch: the rest of the program relies on it.
# Where both stand in a request, servers take the second for the newer name of the first.
_LONGEST = ("max_tokens", "max_completion_tokens")
_RESERVED = ("messages", "model", "n", "prompt", "stream", "stream_options")
_DEFAULT_WORDS = {"", "default"}
_MOST_CHARS = 100_000
_MOST_STOPS = 16


@dataclass(frozen=True)
class Control:
    """One thing that can be chosen. kind: number, text, choice, lines (several texts) or json (an object).

    A number whose step is a whole one is whole itself.
    """

    name: str
    label: str
    kind: str
    help: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it takes whole numbers alone."""
        return isinstance(self.step, int)

    def wire(self) -> dict[str, Any]:
        """As sent to a browser."""
        return {**asdict(self), "choices": list(self.choices)}

    def meaning(self) -> str:
        """What a value may be, for an error."""
        if self.kind == "number":
            return f"a {'whole number' if self.is_whole else 'number'} from {self.low:.10g} to {self.high:.10g}"
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "lines":
            return f"a list of at most {_MOST_STOPS} texts, none of them empty"
        if self.kind == "json":
            return "a JSON object"
        return f"a text of at most {_MOST_CHARS:,} characters"


CONTROLS: tuple[Control, ...] = (
    Control("model", "Model", "text", "Model name to ask for; empty takes the server's first."),
    Control(
        "system_prompt", "System prompt", "text", "What the model is told before every conversation; empty sends none."
    ),
    Control(
        "temperature",
        "Temperature",
        "number",
        "How freely the model chooses words; 0 always takes the likeliest.",
        low=0,
        high=2,
        step=0.05,
    ),
    Control(
        "top_p",
        "Top P",
        "number",
        "Choose among the likeliest words that together have this probability; 1 is all.",
        low=0,
        high=1,
        step=0.01,
    ),
    Control("top_k", "Top K", "number", "Choose among so many of the likeliest words; 0 is all.", 0, 1000, 1),
    Control(
        "min_p",
        "Min P",
        "number",
        "Leave out words less probable than this share of the likeliest word's probability.",
        low=0,
        high=1,
        step=0.01,
    ),
    Control(
        "repeat_penalty",
        "Repeat penalty",
        "number",
        "Above 1 makes words that came lately less likely; 1 is off.",
        low=0.1,
        high=3,
        step=0.05,
    ),
    Control(
        "presence_penalty",
        "Presence penalty",
        "number",
        "Above 0 makes the model turn to what it has not said yet.",
        low=-2,
        high=2,
        step=0.1,
    ),
    Control(
        "frequency_penalty",
        "Frequency penalty",
        "number",
        "Above 0 makes a word less likely with each time it was said.",
        low=-2,
        high=2,
        step=0.1,
    ),
    Control("seed", "Seed", "number", "The same seed gives the same answer; -1 is random.", -1, 2**31 - 1, 1),
    Control("max_tokens", "Longest answer", "number", "Longest answer in tokens.", 1, 1_000_000, 1),
    Control(
        "thinking",
        "Thinking",
        "choice",
        "How long a model that can reason thinks before it answers; other models ignore it.",
        choices=THINKING,
    ),
    Control("stop", "Stop at", "lines", "The answer ends before any of these texts."),
    Control(
        "context_rule",
        "Long conversations",
        "choice",
        "When the model's memory fills up: fold the oldest turns into notes, send a window of the last turns, or send "
        "all until it no longer fits.",
        choices=CONTEXT_RULES,
    ),
    Control("library", "Library", "text", "Shelves that answers come from, separated by commas; none asks no shelf."),
    Control(
        "depth",
        "Depth",
        "choice",
        "How a question is looked up: quick looks once, break_down asks smaller questions side by side, careful also "
        "asks whether the passages answer them.",
        choices=DEPTHS,
    ),
    Control("extra", "More fields (JSON)", "json", "Further fields of the request, as a JSON object; they win."),
)
BY_NAME: Mapping[str, Control] = {control.name: control for control in CONTROLS}
_SHOWN_CHARS = 60  # of a value that is refused
_MAY_BE_NONE = ("system_prompt", "library")  # empty is a choice: against one that is in force otherwise
# The numbers that go into a request under their own names; temperature and max_tokens are always sent.
SENT = ("top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty", "seed")


@dataclass(frozen=True)
class ChatOptions:
    """What was chosen; None and empty are not chosen, but an empty system_prompt or library is: none shall be."""

    model: str = ""
    system_prompt: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    thinking: str = ""
    stop: tuple[str, ...] = ()
    context_rule: str = ""
    library: str | None = None
    depth: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> ChatOptions:
        """Check what came from a page or a file; null is not chosen. Raises OptionRefused with the range."""
        unknown = sorted(str(name) for name in body if name not in BY_NAME)
        if unknown:
            raise OptionRefused(unknown[0], f"there is no option {unknown[0]}: the options are {', '.join(BY_NAME)}")
        return cls(**{name: _checked(BY_NAME[name], value) for name, value in body.items() if value is not None})

    def wire(self) -> dict[str, Any]:
        """Only what is chosen, as JSON."""
        found: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if self.has(each.name):
                found[each.name] = list(value) if each.name == "stop" else value
        return found

    def over(self, base: ChatOptions) -> ChatOptions:
        """These options, and those of base where nothing is chosen here."""
        return replace(base, **{each.name: getattr(self, each.name) for each in fields(self) if self.has(each.name)})

    def request_fields(self, *, reasons: bool, continues: bool = False) -> dict[str, Any]:
        """What a request has besides messages, model, temperature and max_tokens; extra comes last.

        reasons: the model can think. continues: an answer goes on, so that it is too late to begin with thoughts.
        """
        found = {name: value for name in SENT if (value := getattr(self, name)) is not None}
        if self.stop:
            found["stop"] = list(self.stop)
        if self.thinking and reasons and (self.thinking == "off" or not continues):
            found["reasoning_effort"] = "none" if self.thinking == "off" else self.thinking
            found["chat_template_kwargs"] = {"enable_thinking": self.thinking != "off"}
        told = () if self._extra_longest is None else _LONGEST  # counted with, and sent as max_tokens
        return found | {name: value for name, value in self.extra.items() if name not in (*_RESERVED, *told)}

    def longest(self, otherwise: int) -> int:
        """The longest answer in tokens: what the further fields say of it wins, as with all that they name."""
        most = self.max_tokens if self._extra_longest is None else self._extra_longest
        return otherwise if most is None else most

    @property
    def _extra_longest(self) -> int | None:
        said = [self.extra[name] for name in _LONGEST if type(self.extra.get(name)) is int and self.extra[name] > 0]
        return min(said, default=None)

    def has(self, name: str) -> bool:
        """Whether this is chosen."""
        value = getattr(self, name)
        return value is not None and (name in _MAY_BE_NONE or value not in ("", (), {}))

    @property
    def shelves(self) -> str:
        """The names of the shelves that are asked, with commas between them; empty for none."""
        return (self.library or "").strip()


def read_value(name: str, text: str) -> Any:
    """A value as a person types it, for a control; None takes the choice back. Raises OptionRefused.

    A text beginning with [ is a JSON list where several texts can be given; else it is one, with \\n for a line end.
    A system prompt or a library of none is the empty one.
    """
    control = BY_NAME[name]
    typed = text.strip()
    if typed.lower() in _DEFAULT_WORDS:
        return None
    if name in _MAY_BE_NONE and typed.lower() in {'""', "none"}:
        return ""
    if control.kind == "number":
        return _checked(control, _number(control, typed))
    if control.kind == "json" or (control.kind == "lines" and typed.startswith("[")):
        return _checked(control, _json(control, typed))
    if control.kind == "lines":
        return _checked(control, [typed.replace("\\n", "\n").replace("\\t", "\t")])
    return _checked(control, typed.lower() if control.kind == "choice" else typed)


def _number(control: Control, text: str) -> float | int:
    try:
        return int(text) if control.is_whole else float(text.replace(",", "."))
    except ValueError as why:
        raise _wrong(control, text) from why


def _json(control: Control, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as why:
        raise _wrong(control, text) from why


def _checked(control: Control, value: Any) -> Any:
    """The value in the type that ChatOptions has. Raises OptionRefused."""
    if control.kind == "number":
        return _checked_number(control, value)
    if control.kind == "lines":
        return _checked_lines(control, value)
    if control.kind == "json":
        return _checked_object(control, value)
    if not isinstance(value, str) or len(value) > _MOST_CHARS:
        raise _wrong(control, value)
    if control.kind == "choice" and value and value not in control.choices:
        raise _wrong(control, value)
    return value


def _checked_number(control: Control, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(control, value)
    low, high = control.low, control.high
    if low is None or high is None or not low <= value <= high or (control.is_whole and value != int(value)):
        raise _wrong(control, value)
    return int(value) if control.is_whole else value


def _checked_lines(control: Control, value: Any) -> tuple[str, ...]:
    is_list = isinstance(value, list | tuple) and len(value) <= _MOST_STOPS
    if not is_list or not all(isinstance(line, str) and 0 < len(line) <= _MOST_CHARS for line in value):
        raise _wrong(control, value)
    return tuple(value)


def _checked_object(control: Control, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(control, value)
    reserved = [name for name in _RESERVED if name in value]
    if reserved:
        told = f"{control.name} may not hold {reserved[0]}: the chat itself sets {', '.join(_RESERVED)}"
        raise OptionRefused(control.name, told)
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as why:
        raise _wrong(control, value) from why
    if len(text) > _MOST_CHARS:
        told = f"{control.name} has {len(text):,} characters of JSON and may have {_MOST_CHARS:,}"
        raise OptionRefused(control.name, told)
    return value


def _wrong(control: Control, value: Any) -> OptionRefused:
    text = f"{value:.10g}" if isinstance(value, float) else json.dumps(value, default=str)
    shown = value if isinstance(value, str) else text
    shown = shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"
    return OptionRefused(control.name, f"{control.name} must be {control.meaning()}, got {shown}")
