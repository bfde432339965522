"""What `models import` makes of a Hugging Face folder and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmserver.library import convert_place
from llmserver.library.cli import main
from llmserver.offload.gguf import read
from llmserver.offload.types import TYPES as TENSOR_TYPES
from tests.processes import REPO, Process, until
from tests.server import fake_converter
from tests.server.fake_converter import FakeConverter
from tests.server.tiny_hf import write_adapter, write_checkpoint


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeConverter:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fake_converter.install(tmp_path / "note.json")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


def bring(here: Path, *words: str | Path) -> int:
    return main(["--models-dir", str(here), "import", *map(str, words)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def types(path: Path) -> Counter[str]:
    return Counter(TENSOR_TYPES[tensor.type].name for tensor in read(path).tensors)


def test_model_is_in_the_models_folder_under_its_own_name_and_type(
    fake: FakeConverter, here: Path, tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bring(here, tiny) == 0
    result = here / "tiny-Q4_K_M.gguf"
    told = capfd.readouterr()
    assert told.out == f"{result}\n"
    assert "converting tiny (LlamaForCausalLM)\nquantizing to Q4_K_M\n" in told.err
    assert f"tiny-Q4_K_M.gguf: 0 MB ({result.stat().st_size:,} bytes), checked\n" in told.err
    assert types(result)["q4_K"] > 0
    assert names(here) == ["tiny-Q4_K_M.gguf"]
    assert fake.seen()["options"]["--outtype"] == "auto"
    assert not list((fake.scripts.parent.parent).glob("*.log"))


def test_unquantized_type_is_left_to_the_converter(fake: FakeConverter, here: Path, tiny: Path) -> None:
    assert bring(here, tiny, "--type", "f16", "--name", "mine") == 0
    assert names(here) == ["mine-F16.gguf"]
    assert (fake.seen()["options"]["--outtype"], fake.seen()["options"]["--model-name"]) == ("f16", "mine")


def test_out_and_use(fake: FakeConverter, here: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere.gguf"
    assert bring(here, tiny, "--type", "Q8_0", "--out", out, "--use") == 0
    assert types(out)["q8_0"] > 0
    assert (here / "default.gguf").resolve() == out


def test_folder_in_the_hubs_cache_is_called_as_its_repository(fake: FakeConverter, here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--owner--Some-1B" / "snapshots" / "c0ffee"
    assert bring(here, write_checkpoint(folder)) == 0
    assert names(here) == ["Some-1B-Q4_K_M.gguf"]


def test_converter_sees_neither_code_nor_pickle_nor_secrets(
    fake: FakeConverter, here: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((tiny / "config.json").read_text())
    evil = {"auto_map": {"AutoConfig": "evil.Config"}}
    (tiny / "config.json").write_text(json.dumps(config | evil | {"text_config": evil}))
    for name in ("evil.py", "pytorch_model.bin", "optimizer.pt", ".env"):
        (tiny / name).write_text("raise SystemExit")
    (tiny / "1_Pooling").mkdir()
    (tiny / "1_Pooling" / "config.json").write_text("{}")
    (tiny / "data_config.json").write_text(json.dumps([{"name": "a data set", **evil}]))  # holds a list as it should
    (tiny / "checkpoint-500").mkdir()
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert bring(here, tiny) == 0
    seen = fake.seen()
    wanted = [
        "1_Pooling/config.json",
        "config.json",
        "data_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert seen["files"] == wanted
    assert "auto_map" not in json.dumps(seen["json"])
    assert seen["environment"]["HF_HUB_OFFLINE"] == "1"
    assert "secret" not in seen["environment"].values()
    assert "code of its own" in seen["code"]
    assert "pickle" in seen["pickle"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


REFUSALS: list[tuple[str, Callable[[Path], object], str]] = [
    ("no folder", shutil.rmtree, "no folder "),
    ("no config", lambda tiny: (tiny / "config.json").unlink(), "has no config.json"),
    ("no object", lambda tiny: (tiny / "config.json").write_text("[1]"), "holds no JSON object"),
    ("bad JSON", lambda tiny: (tiny / "config.json").write_text("{" * 100_000), "is not JSON"),
    ("no tokenizer", lambda tiny: (tiny / "tokenizer.json").unlink(), "has no tokenizer: copy tokenizer.json"),
    ("no weights", lambda tiny: (tiny / "model.safetensors").unlink(), "has no weights"),
    (
        "pickle",
        lambda tiny: (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin"),
        "(pytorch_model.bin); pick",
    ),
    ("another form", lambda tiny: (tiny / "model.safetensors").rename(tiny / "mine.safetensors"), "has mine.safetens"),
    ("cut weights", lambda tiny: cut(tiny / "model.safetensors"), "is cut short"),
    ("empty weights", lambda tiny: (tiny / "model.safetensors").write_bytes(b""), "is cut short: 0 bytes"),
    ("rubbish", lambda tiny: (tiny / "model.safetensors").write_bytes(b"\xff" * 100), "is no safetensors file"),
    (
        "LFS pointer",
        lambda tiny: (tiny / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "run `git lfs pull`",
    ),
    (
        "index that leads out",
        lambda tiny: (tiny / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../x.safetensors"}}'),
        "which is no plain name",
    ),
]


@pytest.mark.parametrize(("spoil", "says"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_folder_that_cannot_be_imported_is_one_sentence(
    fake: FakeConverter,
    here: Path,
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    says: str,
) -> None:
    spoil(tiny)
    assert bring(here, tiny) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert names(here) == []
    assert not fake.is_called


def test_missing_part_is_named(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_checkpoint(tmp_path / "parts", n_parts=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert bring(here, folder) == 2
    assert f"2 of 3 weight files are in {folder}, model-00002-of-00003" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--type", "Q4_K_X"), "no type named 'Q4_K_X' here: take one of F32, "),
        (("--type", "IQ2_XS"), "needs an importance matrix"),
        (("--name", "../up"), "cannot be a file's name"),
        (("--out", "x.bin"), "name one whole file that ends in .gguf"),
        (("--out", "none/x.gguf"), "no folder none"),
        (("--base", "x"), "--base is for importing an adapter's folder"),
        (("--lora", "x"), "x holds no PEFT adapter"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    fake: FakeConverter, here: Path, tiny: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str], says: str
) -> None:
    assert bring(here, tiny, *words) == 2
    assert says in capsys.readouterr().err
    assert not fake.is_called


def test_result_that_is_there_is_kept_without_force(
    fake: FakeConverter, here: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = here / "tiny-Q8_0.gguf"
    result.write_bytes(b"mine")
    assert bring(here, tiny, "--type", "Q8_0") == 2
    assert "is there already: choose another --name or --out, or say --force" in capsys.readouterr().err
    assert result.read_bytes() == b"mine"
    assert bring(here, tiny, "--type", "Q8_0", "--force") == 0
    assert types(result)["q8_0"] > 0


def test_unknown_architecture_is_named_before_anything_large_is_fetched(
    fake: FakeConverter, here: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(convert_place.environment_folder())
    rewrite(tiny / "config.json", architectures=["NewThingForCausalLM"])
    assert bring(here, tiny) == 2
    assert "does not know the architecture NewThingForCausalLM: look for a GGUF file" in capsys.readouterr().err
    assert not convert_place.environment_folder().exists()
    assert names(here) == []


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("sys.exit('ERROR:hf-to-gguf:Model X is not supported')", "cannot convert tiny: Model X is not supported (all"),
        ("raise ValueError('no such rope')", "cannot convert tiny: ValueError: no such rope (all that it said: "),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "cannot convert tiny: it ended by SIGSEGV (all"),
        ("result.write_bytes(b'GGUF rubbish')", "wrote tiny wrongly"),
        ("pass", "wrote tiny wrongly"),
    ],
)
def test_converter_that_fails_is_one_sentence_with_its_log(
    fake: FakeConverter, here: Path, tiny: Path, capsys: pytest.CaptureFixture[str], action: str, says: str
) -> None:
    fake.act(action)
    assert bring(here, tiny) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last
    if "all" in says:
        assert "Set meta model" in Path(last.rsplit(": ", 1)[1].rstrip(")")).read_text()
    assert names(here) == []


def test_full_disk_is_refused_before_the_work_with_both_numbers(
    fake: FakeConverter, here: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    assert bring(here, tiny) == 1
    assert f"importing tiny needs 24 MB at {here}, 1 MB free" in capsys.readouterr().err
    assert names(here) == []
    assert not fake.is_called


def test_disk_that_was_full_in_the_end_is_the_reason_told(
    fake: FakeConverter, here: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.act("result.write_bytes(bytes(2_000_000)); raise OSError('9000 requested and 20 written')")
    free = iter([1_000_000_000, 500_000])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    assert bring(here, tiny) == 1
    assert f"the disk is full at {here}: 2 MB of about 19 MB were written, 0 MB free" in capsys.readouterr().err
    assert names(here) == []


@pytest.mark.parametrize("words", [(), ("--lora",)], ids=["converter", "merge"])
def test_disk_that_fills_up_on_the_way_leaves_nothing(
    fake: FakeConverter, here: Path, tiny: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    lora = [write_adapter(tmp_path / "lora")] if words else []
    command = [sys.executable, "-m", "llmserver", "models", "--models-dir", str(here), "import", str(tiny), *words]
    limited = ["sh", "-c", 'ulimit -f 400; exec "$@"', "sh", *command, *map(str, lora)]
    done = subprocess.run(limited, capture_output=True, text=True, cwd=REPO)
    assert (done.returncode, done.stdout) == (1, "")
    assert "File too large" in done.stderr.splitlines()[-1]
    assert names(here) == []


@pytest.fixture
def working(fake: FakeConverter, here: Path, tiny: Path) -> Iterator[Process]:
    """The real command while its converter is in the middle of its work."""
    fake.act(fake_converter.HANG)
    cache = os.environ["XDG_CACHE_HOME"]
    command = ("-m", "llmserver", "models", "--models-dir", str(here), "import", str(tiny))
    process = Process(*command, XDG_CACHE_HOME=cache)
    until(lambda: list(here.glob(".import-*/*.gguf")), "a growing file")
    yield process
    process.kill()


def test_ctrl_c_ends_the_work_and_leaves_nothing(working: Process, here: Path) -> None:
    os.killpg(working.process.pid, signal.SIGINT)
    assert working.wait() == 130
    assert working.output.splitlines()[-1] == "stopped"
    assert names(here) == []


def test_sigterm_ends_the_work_and_leaves_nothing(working: Process, here: Path) -> None:
    assert working.terminate() == 128 + signal.SIGTERM
    assert names(here) == []


def test_what_a_killed_import_left_is_removed_by_the_next(
    working: Process, fake: FakeConverter, here: Path, tiny: Path
) -> None:
    working.process.send_signal(signal.SIGKILL)
    working.wait()
    assert names(here) != []
    fake.act(fake_converter.WRITE)
    assert bring(here, tiny) == 0
    assert names(here) == ["tiny-Q4_K_M.gguf"]


def test_import_at_work_keeps_its_folder_while_another_runs(
    working: Process, fake: FakeConverter, here: Path, tiny: Path
) -> None:
    (at_work,) = here.glob(".import-*")
    fake.act(fake_converter.WRITE)
    assert bring(here, tiny, "--name", "second") == 0
    assert names(here) == [at_work.name, "second-Q4_K_M.gguf"]


def test_adapter_becomes_a_lora_file(
    fake: FakeConverter, here: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = write_adapter(tmp_path / "pirate", use_rslora=True)
    assert bring(here, adapter, "--base", tiny) == 0
    assert names(here) == ["pirate-lora-F16.gguf"]
    assert fake.seen()["files"] == ["adapter_config.json", "adapter_model.safetensors"]
    assert fake.seen()["json"]["adapter_config.json"]["lora_alpha"] == 16  # 8 over the root of 4 is 16 over 4
    told = capsys.readouterr()
    assert told.out == f"{here / 'pirate-lora-F16.gguf'}\n"
    assert f"--adapters NAME={here / 'pirate-lora-F16.gguf'}" in told.err


def test_adapter_knows_where_its_base_is(fake: FakeConverter, here: Path, tiny: Path, tmp_path: Path) -> None:
    assert bring(here, write_adapter(tmp_path / "pirate", base_model_name_or_path=str(tiny))) == 0
    assert fake.seen()["options"]["--outtype"] == "f16"


@pytest.mark.parametrize(
    ("words", "config", "says"),
    [
        ((), {}, "was trained on owner/some-base, and owner/some-base has no config.json here"),
        (("--use",), {}, "is an adapter, not a model"),
        (("--type", "Q4_K_M"), {}, "no type named 'Q4_K_M' here: take one of F32, F16, BF16, Q8_0"),
        ((), {"peft_type": "IA3"}, "an adapter of the kind IA3"),
        ((), {"use_dora": True}, "merge_and_unload"),
        ((), {"lora_alpha": "high"}, "has no lora_alpha"),
    ],
)
def test_adapter_that_cannot_be_imported_is_one_sentence(
    fake: FakeConverter,
    here: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    config: dict[str, object],
    says: str,
) -> None:
    assert bring(here, write_adapter(tmp_path / "pirate", None, **config), *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert names(here) == []


def test_adapter_of_pickle_is_refused(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = write_adapter(tmp_path / "pirate")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert bring(here, adapter) == 2
    assert "only as pickle (adapter_model.bin)" in capsys.readouterr().err


def test_merged_weights_reach_the_converter_and_the_source_stays(
    fake: FakeConverter, here: Path, tmp_path: Path
) -> None:
    tiny = write_checkpoint(tmp_path / "tiny", n_parts=2)
    before = {path.name: path.read_bytes() for path in tiny.iterdir()}
    assert bring(here, tiny, "--lora", write_adapter(tmp_path / "pirate")) == 0
    assert names(here) == ["tiny-pirate-Q4_K_M.gguf"]
    assert {path.name: path.read_bytes() for path in tiny.iterdir()} == before
    seen = fake.seen()["weights"]
    assert sorted(seen) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert any(bytes.fromhex(content) != before[name] for name, content in seen.items())


def test_import_of_nothing_says_what_to_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bring(here) == 2
    assert "name the folder of a model" in capsys.readouterr().err
