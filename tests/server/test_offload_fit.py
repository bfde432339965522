"""What a server tries when a card is here: the plan, plans that leave more of it free, the processor alone."""

from __future__ import annotations

from typing import Any

import pytest

from llmserver import settings
from llmserver.engine.llama import load
from llmserver.errors import ModelFileBroken
from llmserver.offload.fit import ladder
from llmserver.offload.trial import Failure
from llmserver.settings import ModelOptions

MIB = 1024 * 1024
SETUP = {"n_card": 30, "n_split": 2, "n_ctx": 4096, "n_ubatch": 256, "kv": "q8_0"}


def options(*flags: str) -> ModelOptions:
    given = settings.load(["--model", "m.gguf", *flags]).models[0]
    if flags:
        return given
    left_out = given.model_copy(update={"n_gpu_layers": -1})  # the default of a build for cards
    left_out.model_fields_set.discard("n_gpu_layers")
    return left_out


class Planned:
    """Plays the planner: fewer layers for a larger reserve."""

    def __init__(self, *layers: int) -> None:
        self._layers, self.reserves = iter(layers), list[str]()

    def __call__(self, _: ModelOptions, reserve: str) -> dict[str, Any]:
        self.reserves.append(reserve)
        n = next(self._layers, None)
        cards = [{"reserve": 300 * MIB if reserve == "auto" else int(reserve)}]
        return {"fits": n is not None, "setup": {**SETUP, "n_card": n or 0}, "reasons": ["room"], "cards": cards}


def test_each_step_leaves_more_of_the_card_free_and_the_last_needs_none() -> None:
    plan = Planned(30, 20, 10)
    tried = [tried.n_gpu_layers for tried in ladder(options(), has_card=True, plan=plan)]
    assert tried == [30, 20, 10, 0]
    assert plan.reserves == ["auto", str(812 * MIB), str(1324 * MIB)]


def test_what_lacked_is_left_free_next_time() -> None:
    plan = Planned(30, 20)
    steps = ladder(options(), has_card=True, plan=plan, lacked=lambda: 2000 * MIB)
    assert [next(steps).n_gpu_layers, next(steps).n_gpu_layers] == [30, 20]
    assert plan.reserves == ["auto", str(2300 * MIB)]


def test_layers_of_several_cards_are_split_as_planned() -> None:
    def plan(*_: object) -> dict[str, Any]:
        return {"fits": True, "setup": {**SETUP, "layers_by_card": [20, 10]}}

    assert next(ladder(options(), has_card=True, plan=plan)).tensor_split == [20.0, 10.0]


def test_the_plan_is_taken_over_whole() -> None:
    first = next(ladder(options(), has_card=True, plan=Planned(30)))
    assert (first.n_gpu_layers, first.n_cpu_ffn, first.n_ubatch, first.type_k, first.type_v) == (30, 2, 256, 8, 8)


def test_nothing_is_planned_until_it_is_needed() -> None:
    plan = Planned(30, 20)
    next(ladder(options(), has_card=True, plan=plan))
    assert plan.reserves == ["auto"]


def test_the_same_plan_is_not_tried_twice() -> None:
    assert [t.n_gpu_layers for t in ladder(options(), has_card=True, plan=Planned(30, 30, 10))] == [30, 10, 0]


def test_without_a_plan_that_fits_the_processor_computes() -> None:
    assert [t.n_gpu_layers for t in ladder(options(), has_card=True, plan=Planned())] == [0]


def test_a_planner_that_fails_leaves_every_layer_to_the_card_and_then_none() -> None:
    assert [t.n_gpu_layers for t in ladder(options(), has_card=True, plan=lambda *_: {})] == [-1, 0]


@pytest.mark.parametrize("layers", ["0", "7", "-1"])
def test_a_number_of_layers_that_the_user_set_is_the_only_one(layers: str, caplog: pytest.LogCaptureFixture) -> None:
    tried = list(ladder(options("--n_gpu_layers", layers), has_card=True, plan=Planned(30)))
    assert [t.n_gpu_layers for t in tried] == [int(layers)] and not caplog.text


def test_more_layers_than_fit_are_tried_as_asked_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    def plan(asked: ModelOptions, _: str) -> dict[str, Any]:
        is_set = "n_gpu_layers" in asked.model_fields_set
        return {"fits": not is_set, "setup": {**SETUP, "n_card": 12}, "lacks": {"card": 700 * MIB if is_set else 0}}

    tried = list(ladder(options("--n_gpu_layers", "31"), has_card=True, plan=plan))
    assert [t.n_gpu_layers for t in tried] == [31]
    assert (
        "takes 700 MiB more than the card has to give" in caplog.text and "--n_gpu_layers 12 would fit" in caplog.text
    )


def test_without_a_card_there_is_nothing_to_plan() -> None:
    plan = Planned(30)
    assert [t.n_gpu_layers for t in ladder(options(), has_card=False, plan=plan)] == [-1] and not plan.reserves


def test_a_load_that_fails_is_followed_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def model(tried: ModelOptions, _: object, *, embeds: bool) -> str:
        seen.append(tried.n_gpu_layers)
        if tried.n_gpu_layers:
            raise ModelFileBroken("cannot load m.gguf: unable to allocate CUDA0 buffer")
        return "loaded"

    given = options()
    monkeypatch.setattr(load, "ladder", lambda asked, **_: ladder(asked, has_card=True, plan=Planned(30, 20, 10)))
    monkeypatch.setattr(load, "_loaded", model)
    assert load.open_model(given) == "loaded" and seen == [30, 20, 10, 0]
    assert "CUDA0 buffer; trying again with 20 layers on the card" in caplog.text


def test_the_last_reason_is_told_when_nothing_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(tried: ModelOptions, *_: object, **__: object) -> None:
        raise ModelFileBroken(f"not with {tried.n_gpu_layers}")

    monkeypatch.setattr(load, "_loaded", model)
    with pytest.raises(ModelFileBroken, match="not with 3"):
        load.open_model(options("--n_gpu_layers", "3"))


def test_a_trial_that_fails_is_a_step_down_without_a_load(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def tried(asked: ModelOptions, *_: object, **__: object) -> Failure | None:
        return Failure("the trial ended with signal 6: CUDA error", 900 * MIB) if asked.n_gpu_layers > 10 else None

    plan = Planned(30, 10)
    monkeypatch.setattr(load, "ladder", lambda asked, **more: ladder(asked, has_card=True, plan=plan, **more))
    monkeypatch.setattr(load.trial, "failure", tried)
    monkeypatch.setattr(load, "_loaded", lambda asked, *_, **__: asked.n_gpu_layers)
    assert load.open_model(options()) == 10
    assert plan.reserves == ["auto", str(1200 * MIB)]
    assert "signal 6: CUDA error; trying again with 10 layers on the card" in caplog.text
