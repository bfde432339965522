"""GET /plan in plain words: what a person reads about a loaded model."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from llmserver.api.plan import summary
from llmserver.engine.info import ModelInfo, Placement
from llmserver.engine.pool import Held, Known
from llmserver.settings import load
from tests.processes import Process
from tests.server.fake_service import INFO, Api

OPTIONS = load(["--model", "tiny.gguf"]).models[0]
HOLDS = "A conversation may be 8,192 tokens long, about 6,100 words; up to 8 people are answered at once."
MOE = {"general.architecture": "qwen3moe", "qwen3moe.expert_count": "128"}


def model(n_gpu_layers: int, n_cpu_ffn: int = 0, **changes: Any) -> ModelInfo:
    """A model of 31 layers."""
    placement = Placement(31, n_gpu_layers, n_cpu_ffn, 512, "f16", {}, {})
    return replace(INFO, **{"n_ctx": 8192, "placement": placement, **changes})


@pytest.mark.parametrize(
    ("info", "where"),
    [
        (model(0), "Everything runs on the processor."),
        (model(0, 12), "Everything runs on the processor."),
        (model(31), "All 31 layers run on the card."),
        (model(99), "All 31 layers run on the card."),
        (model(20), "20 of 31 layers run on the card, the rest on the processor."),
        (model(1), "1 of 31 layers runs on the card, the rest on the processor."),
        (model(31, 12), "All 31 layers run on the card, but the feed-forward weights of 12 of them stay in RAM."),
        (model(31, 12, metadata=MOE), "All 31 layers run on the card, but the experts of 12 of them stay in RAM."),
        (
            model(20, 99, metadata=MOE),
            "20 of 31 layers run on the card, but the experts of 19 of them stay in RAM; "
            "the other 11 run on the processor.",
        ),
    ],
)
def test_where_a_model_runs_is_said_in_a_sentence(info: ModelInfo, where: str) -> None:
    assert summary(info, OPTIONS, 12) == f"{where} {HOLDS}"


@pytest.mark.parametrize(
    ("n_ctx", "said"),
    [
        (512, "512 tokens long, about 380"),
        (2048, "2,048 tokens long, about 1,500"),
        (131072, "131,072 tokens long, about 98,000"),
    ],
)
def test_a_conversations_length_is_said_in_tokens_and_roughly_in_words(n_ctx: int, said: str) -> None:
    assert f"A conversation may be {said} words" in summary(model(0, n_ctx=n_ctx), OPTIONS, 12)


def test_as_many_people_are_answered_as_are_let_in_and_have_a_sequence() -> None:
    assert "up to 3 people" in summary(model(0), OPTIONS, 3)
    assert "up to 8 people" in summary(model(0), OPTIONS, None)
    assert summary(model(0), OPTIONS, 1).endswith("; one person is answered at a time.")


def test_models_that_cannot_chat_hold_texts() -> None:
    embeds = model(0, kind="embedding", placement=None)
    assert summary(embeds, OPTIONS, None) == "A text may be 8,192 tokens long, about 6,100 words."
    base = model(0, chat_template="")
    assert "processor. A text with its continuation may be 8,192 tokens long" in summary(base, OPTIONS, 12)
    named = load(["--model", "tiny.gguf", "--chat_format", "chatml"]).models[0]
    assert "processor. A conversation may be" in summary(base, named, 12)


def test_plan_has_a_summary_for_a_loaded_model_and_none_for_the_others() -> None:
    api = Api("--n_parallel", "6")
    options = api.app.state.settings.models[0]
    traits = SimpleNamespace(n_seq=4, n_cells=100, bytes_per_token=1.0)
    stats = SimpleNamespace(cells_used=0, host_bytes=0)
    service = SimpleNamespace(backend=SimpleNamespace(traits=traits), stats=lambda: stats)
    held = [
        Held(Known("tiny", "chat", "ok", model(31), ()), options, service, 5, ()),
        Held(Known("away", "chat", "unloaded", None, ()), options, None, 0, ()),
    ]
    api.pool.held = lambda: held  # type: ignore[attr-defined]
    loaded, away = api.client.get("/plan").json()["models"]
    assert loaded["summary"] == f"All 31 layers run on the card. {HOLDS.replace('8 people', '4 people')}"
    assert away["summary"] is None


@pytest.mark.model
def test_real_server_says_where_its_model_runs(real_server: Process) -> None:
    with urllib.request.urlopen(f"{real_server.url}/plan", timeout=10) as answer:
        entry = json.loads(answer.read())["models"][0]
    assert f"may be {entry['n_ctx']:,} tokens long" in entry["summary"]
    if entry["placement"]["n_gpu_layers"] == 0:
        assert entry["summary"].startswith("Everything runs on the processor. A conversation")
