"""What `models import` makes of a folder with llama.cpp's own converter, where that is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmserver.library import convert_place, convert_run
from tests.server.test_models_import import bring, names, rewrite
from tests.server.tiny_hf import words, write_adapter, write_checkpoint


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The converter that is installed, but its logs elsewhere."""
    monkeypatch.setattr(convert_run, "cache_folder", lambda: tmp_path / "logs")


needs_converter = pytest.mark.skipif(
    not convert_place.is_here(), reason="llama.cpp's converter is not installed: `models import` once gets it"
)


def logits(model: Path, lora: Path | None = None) -> list[float]:
    """What llama.cpp expects after a few tokens, once it knows the checkpoint's words."""
    import llama_cpp

    llm = llama_cpp.Llama(str(model), n_ctx=64, lora_path=str(lora) if lora else None, logits_all=True, verbose=False)
    assert llm.tokenize(b"the", add_bos=False) == [words().index("▁the")]
    llm.eval(llm.tokenize(b"the and in"))
    found: list[float] = llm.scores[llm.n_tokens - 1].tolist()
    llm.close()
    return found


@needs_converter
def test_a_converter_that_is_here_is_prepared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bring(here, "--prepare") == 0
    told = capsys.readouterr()
    assert "the converter is here: " in told.err and not told.out
    assert names(here) == []


@needs_converter
@pytest.mark.usefixtures("real")
def test_real_models_run_and_an_adapter_says_the_same_merged_and_beside_its_model(
    here: Path, tiny: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "pirate")
    assert bring(here, tiny, "--type", "F32") == 0
    assert bring(here, tiny, "--type", "F32", "--lora", adapter) == 0
    assert bring(here, adapter, "--type", "F32", "--base", tiny) == 0
    base, merged = here / "tiny-F32.gguf", here / "tiny-pirate-F32.gguf"
    alone, apart = logits(base), logits(base, here / "pirate-lora-F32.gguf")
    together = logits(merged)
    assert together == pytest.approx(apart, abs=2e-3)
    assert together != pytest.approx(alone, abs=0.1)


@needs_converter
@pytest.mark.usefixtures("real")
def test_real_converter_runs_no_code_of_a_checkpoint(
    here: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = tmp_path / "proof"
    rewrite(tiny / "config.json", architectures=["DreamModel"])  # whose tokenizer is loaded with trust_remote_code
    rewrite(tiny / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]})
    (tiny / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Evil: pass\n")
    assert bring(here, tiny) == 1
    assert "pre-tokenizer was not recognized" in capsys.readouterr().err
    assert not proof.exists()
