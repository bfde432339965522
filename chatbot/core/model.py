"""What a server says of the model behind it, read from its JSON, and the words for it. Asks nobody, trusts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chatbot.errors import OptionRefused

# What a health answer of 503 means by its code; without one of these the model is still on its way into memory.
_HEALTH_BY_CODE: Mapping[str, str] = {
    "model_failed": "away",
    "stopping": "away",
    "queue_full": "ready",
    "queue_timeout": "ready",
}
_ABILITIES: Mapping[str, str] = {
    "chat": "chat",
    "tools": "call tools",
    "reasoning": "think before it answers",
    "fill_in_the_middle": "fill in the middle of a text",
    "vision": "see pictures",
}
_STATES = {"ok", "loading", "unloaded", "failed"}
_MOST_NAMED = 20
CONTINUES = "it continues your text instead of answering"


@dataclass(frozen=True)
class ModelInfo:
    """What the server says of its model. n_ctx in tokens, None when it does not say.

    is_base: the model continues texts and cannot chat. One whose server does not say is taken for one that can.
    state: ok, loading, unloaded (the first request loads it) or failed.
    """

    name: str
    n_ctx: int | None = None
    demo: bool = False
    capabilities: tuple[str, ...] = ()
    is_base: bool = False
    state: str = "ok"

    @property
    def can_see(self) -> bool:
        """Whether pictures may be sent. A server that says nothing of what its model can do is given the chance."""
        return not self.is_base and (not self.capabilities or "vision" in self.capabilities)

    @property
    def is_for_text(self) -> bool:
        """Whether it answers or continues texts, and does not only make embeddings or ranks of them."""
        return not self.capabilities or not {"chat", "completion"}.isdisjoint(self.capabilities)

    def wire(self) -> dict[str, Any]:
        """As sent to a browser."""
        return {**asdict(self), "capabilities": list(self.capabilities)}


@dataclass(frozen=True)
class Health:
    """Whether messages can be answered now: state is ready, loading or away; notice is for the person."""

    state: str
    model: ModelInfo | None = None
    notice: str = ""


@dataclass(frozen=True)
class About:
    """A model for a person who asks, each part a sentence or empty: where it runs and how much it holds, what it can
    do, how large its file is."""

    name: str
    summary: str = ""
    abilities: str = ""
    size: str = ""


def read_info(name: str, said: Mapping[str, Any]) -> ModelInfo:
    """What an entry of the list of models, or of /health, says."""
    given, n_ctx = said.get("capabilities"), said.get("n_ctx")
    can = tuple(map(str, given)) if isinstance(given, list) else ()
    is_base = "completion" in can and "chat" not in can
    state = said.get("state")
    return ModelInfo(
        name,
        n_ctx if type(n_ctx) is int else None,
        bool(said.get("demo")),
        can,
        is_base,
        state if isinstance(state, str) and state in _STATES else "ok",
    )


def meta_of(entry: Mapping[str, Any], answer: object) -> Mapping[str, Any]:
    """What a server says of a model beside OpenAI's fields: Paddock's own meta, or what others tell of its senses.

    entry: of the list of models; answer: the whole of it. Some servers name the kinds of input in `architecture`;
    llama.cpp's has a second list of models, in which one that sees is `multimodal`.
    """
    meta = entry.get("meta")
    told = dict(meta) if isinstance(meta, dict) else {}
    if "capabilities" in told:
        return told
    architecture = entry.get("architecture")
    inputs = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    if isinstance(inputs, list):
        return {**told, "capabilities": ["chat", *(["vision"] if "image" in inputs else [])]}
    more = answer.get("models") if isinstance(answer, dict) else None
    same = [each for each in more if isinstance(each, dict)] if isinstance(more, list) else []
    given = next((each.get("capabilities") for each in same if each.get("model") == entry.get("id")), None)
    if isinstance(given, list) and given:
        return {**told, "capabilities": ["chat", *(["vision"] if {"multimodal", "vision"} & set(given) else [])]}
    return told


def named(wanted: str, models: Sequence[ModelInfo]) -> str:
    """A model's name as it is listed, whatever the case it is typed in. Raises OptionRefused with those there are."""
    names = [model.name for model in models]
    if wanted in names:
        return wanted
    found = [name for name in names if name.casefold() == wanted.casefold()]
    if len(found) == 1:
        return found[0]
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    there = f"those that are: {', '.join(names[:_MOST_NAMED])}{more}" if names else "it offers none to talk with"
    raise OptionRefused("model", f"the model {wanted} is not on the model server; {there}")


def read_health(status: int, body: object) -> Health:
    """What /health answered. Servers without that route are taken for ready."""
    said = body if isinstance(body, dict) else {}
    if status == 503:
        return Health(_HEALTH_BY_CODE.get(_code_of(said), "loading"))
    model = said.get("model")
    if not isinstance(model, dict):
        return Health("ready")
    return Health("ready", read_info(str(model.get("id", "")), model), str(said.get("notice", "")))


def read_about(info: ModelInfo, plan: object) -> About:
    """What is known of a model, with what GET /plan answered where a server has that."""
    entry = _entry_of(info.name, plan)
    summary, n_bytes = entry.get("summary"), entry.get("file_bytes")
    return About(
        info.name,
        summary if isinstance(summary, str) and summary else _length(info),
        _abilities(info),
        _size(n_bytes) if type(n_bytes) is int and n_bytes > 0 else "",
    )


def _entry_of(name: str, plan: object) -> Mapping[str, Any]:
    """The model's entry in a plan; that of the model below it for an adapter, `model:adapter`."""
    models = plan.get("models") if isinstance(plan, dict) else None
    entries = [entry for entry in models if isinstance(entry, dict)] if isinstance(models, list) else []
    wanted = (name, name.rpartition(":")[0])
    return next((entry for each in wanted for entry in entries if each and entry.get("name") == each), {})


def _length(info: ModelInfo) -> str:
    what = "text" if info.is_base else "conversation"
    return f"A {what} may be {info.n_ctx:,} tokens long." if info.n_ctx else ""


def _abilities(info: ModelInfo) -> str:
    if info.is_base:
        return f"It is a base model: {CONTINUES}."
    can = [words for name, words in _ABILITIES.items() if name in info.capabilities]
    return f"It can {' and '.join(filter(None, (', '.join(can[:-1]), can[-1])))}." if can else ""


def _size(n_bytes: int) -> str:
    return f"Its file takes {n_bytes / 1e9:.1f} GB." if n_bytes >= 1e9 else f"Its file takes {n_bytes / 1e6:.0f} MB."


def _code_of(body: Mapping[str, Any]) -> str:
    """The code in an error envelope, or nothing."""
    error = body.get("error")
    return str(error.get("code")) if isinstance(error, dict) else ""
