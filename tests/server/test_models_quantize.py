"""What `models quantize` writes and refuses. Most of it on a llama of one block, the promise once on the real model."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmserver.library.cli import main
from llmserver.library.quantize import TYPES
from llmserver.offload.gguf import read
from llmserver.offload.types import TYPES as TENSOR_TYPES
from tests.processes import MODEL, Process, until
from tests.server.tiny_gguf import write_llama


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_llama(folder / "tiny-F16.gguf")
    return folder


def quantize(here: Path, *words: str) -> int:
    return main(["--models-dir", str(here), "quantize", *words])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def types(path: Path) -> Counter[str]:
    return Counter(TENSOR_TYPES[tensor.type].name for tensor in read(path).tensors)


def test_result_is_beside_the_source_under_the_name_of_its_type(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert quantize(here, "tiny-F16.gguf", "q8_0") == 0
    result = here / "tiny-Q8_0.gguf"
    told = capfd.readouterr()
    assert told.out == f"{result}\n"
    assert f"tiny-Q8_0.gguf: 1 MB ({result.stat().st_size:,} bytes), made of 1 MB\n" in told.err
    assert types(result)["q8_0"] == 8
    assert names(here) == ["tiny-F16.gguf", "tiny-Q8_0.gguf"]


def test_out_names_the_result(here: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.gguf"
    assert quantize(here, str(here / "tiny-F16.gguf"), "Q4_K_M", "--out", str(out)) == 0
    assert types(out)["q4_K"] > 0
    assert names(here) == ["tiny-F16.gguf"]


def test_split_source_becomes_one_file(tmp_path: Path) -> None:
    parts = write_llama(tmp_path / "big-F16.gguf", n_tensors_a_part=4)
    assert quantize(tmp_path, parts[1].name, "Q8_0") == 0
    assert len(read(tmp_path / "big-Q8_0.gguf").tensors) == 11


@pytest.mark.parametrize("name", TYPES)
def test_every_type_of_the_list_is_one_of_llama_cpp(name: str) -> None:
    import llama_cpp

    assert hasattr(llama_cpp, "LLAMA_FTYPE_ALL_F32" if name == "F32" else f"LLAMA_FTYPE_MOSTLY_{name}")


def test_unknown_type_gets_the_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quantize(here, "tiny-F16.gguf", "Q4_K_X") == 2
    assert f"no type named 'Q4_K_X': take one of {', '.join(TYPES)}" in capsys.readouterr().err


def test_result_that_is_there_is_kept_without_force(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = here / "tiny-Q8_0.gguf"
    result.write_bytes(b"mine")
    assert quantize(here, "tiny-F16.gguf", "Q8_0") == 2
    assert "tiny-Q8_0.gguf is there already" in capsys.readouterr().err
    assert result.read_bytes() == b"mine"
    assert quantize(here, "tiny-F16.gguf", "Q8_0", "--force") == 0
    assert types(result)["q8_0"] == 8


def test_source_is_never_its_own_result(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / "tiny-F16.gguf").read_bytes()
    assert quantize(here, "tiny-F16.gguf", "F16", "--force") == 2
    assert "is the source itself" in capsys.readouterr().err
    assert (here / "tiny-F16.gguf").read_bytes() == before


def test_quantized_source_is_refused_with_the_reason_and_taken_with_force(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quantize(here, "tiny-F16.gguf", "Q8_0")
    assert quantize(here, "tiny-Q8_0.gguf", "Q4_0") == 2
    assert "tiny-Q8_0.gguf is quantized already (Q8_0)" in capsys.readouterr().err
    assert names(here) == ["tiny-F16.gguf", "tiny-Q8_0.gguf"]
    assert quantize(here, "tiny-Q8_0.gguf", "Q4_0", "--force") == 0
    assert types(here / "tiny-Q4_0.gguf")["q4_0"] > 0


def test_file_cut_short_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (here / "tiny-F16.gguf").read_bytes()
    (here / "cut.gguf").write_bytes(content[:-1000])
    assert quantize(here, "cut.gguf", "Q8_0") == 2
    assert "cut short" in capsys.readouterr().err
    assert names(here) == ["cut.gguf", "tiny-F16.gguf"]


def test_full_disk_is_refused_before_the_work_with_both_numbers(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=400_000))
    assert quantize(here, "tiny-F16.gguf", "Q8_0") == 1
    assert "tiny-Q8_0.gguf needs 1 MB, 0 MB free at " in capsys.readouterr().err
    assert names(here) == ["tiny-F16.gguf"]


def test_type_that_needs_an_importance_matrix_fails_with_what_to_take(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(here, "tiny-F16.gguf", "IQ2_XS") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "llama.cpp cannot make IQ2_XS of tiny-F16.gguf: this quantization requires an imatrix!" in line
    assert "take Q3_K_S or IQ4_XS" in line
    assert names(here) == ["tiny-F16.gguf"]


def test_result_in_a_folder_that_is_not_there_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quantize(here, "tiny-F16.gguf", "Q8_0", "--out", str(here / "none" / "x.gguf")) == 2
    assert "no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'ggml.c:1: GGML_ASSERT(x > 0) failed' >&2; kill -ABRT $$", "ggml.c:1: GGML_ASSERT(x > 0) failed"),
        ("kill -SEGV $$", "it ended by SIGSEGV"),
        ("exit 3", "it gave no reason"),
    ],
)
def test_quantizer_that_dies_is_one_sentence(
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str,
    says: str,
) -> None:
    stub = tmp_path / "python"
    stub.write_text(f"#!/bin/sh\n{script}\n")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))
    assert quantize(here, "tiny-F16.gguf", "Q8_0") == 1
    assert capsys.readouterr().err == f"error: llama.cpp cannot make Q8_0 of tiny-F16.gguf: {says}\n"
    assert names(here) == ["tiny-F16.gguf"]


@pytest.fixture
def working(tmp_path: Path) -> Iterator[tuple[Process, Path]]:
    """The real command in the middle of its work on the real model, and the folder of its result."""
    folder = tmp_path / "results"
    folder.mkdir()
    out = folder / "result.gguf"
    process = Process("-m", "llmserver", "models", "quantize", str(MODEL), "Q5_K_M", "--force", "--out", str(out))
    until(lambda: [path for path in folder.iterdir() if path.stat().st_size > 5_000_000], "a growing half")
    yield process, folder
    process.kill()


@pytest.mark.model
def test_ctrl_c_ends_the_work_and_leaves_nothing(working: tuple[Process, Path]) -> None:
    process, folder = working
    os.killpg(process.process.pid, signal.SIGINT)
    assert process.wait() == 130
    assert process.output.splitlines() == ["stopped"]
    assert names(folder) == []


@pytest.mark.model
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_quantizer_goes_with_its_parent_and_takes_the_half_file_along(
    working: tuple[Process, Path], how: signal.Signals
) -> None:
    process, folder = working
    process.process.send_signal(how)
    process.wait()
    until(lambda: names(folder) == [], "the half file to disappear")


@pytest.mark.model
def test_real_model_is_quantized_and_rows_that_do_not_fit_are_told(tmp_path: Path) -> None:
    out = tmp_path / "small.gguf"
    command = [sys.executable, "-m", "llmserver", "models", "quantize", str(MODEL), "q6_k", "--out", str(out)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is quantized already (Q4_1)" in refused.stderr
    done = subprocess.run([*command, "--force"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{out}\n")
    assert "tensors have rows that do not fit Q6_K" in done.stderr
    assert types(out)["q6_K"] > 0
    checked = subprocess.run([*command[:4], "verify", str(out)], capture_output=True, text=True)
    assert checked.stdout.startswith("small.gguf: ok")
