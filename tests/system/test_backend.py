"""What setup.sh decides about this machine's graphics card, with the tools it asks played by scripts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.processes import REPO

PRELUDE = """
set -euo pipefail
backend=auto venv=$SCRATCH python=python3 cache=$SCRATCH/cache llama_version=0.3.36 here=$SCRATCH
say() { printf '%s\\n' "$*"; }
step() { :; }
fail() { printf 'setup: %s\\n' "$*" >&2; exit 1; }
. "$REPO/setup/backend.sh"
uname() {
  case ${1:-} in -s) echo "${FAKE_OS:-Linux}" ;; -m) echo "${FAKE_CPU:-x86_64}" ;; *) command uname "$@" ;; esac
}
"""


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def put(stubs: Path, name: str, script: str) -> Path:
    path = stubs / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def nvidia(stubs: Path, compute: str, cuda: str) -> None:
    put(
        stubs,
        "nvidia-smi",
        f'case "$*" in *compute_cap*) echo {compute} ;; *) echo "| Driver: 550   CUDA Version: {cuda} |" ;; esac',
    )


def bash(stubs: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{stubs}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        env={"PATH": path, "REPO": str(REPO), "SCRATCH": str(stubs.parent), "HOME": str(stubs.parent), **env},
    )


def chosen(stubs: Path, **env: str) -> str:
    done = bash(stubs, 'choose_backend >/dev/null; echo "$backend"', **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_machine_without_a_card_gets_the_processor(stubs: Path) -> None:
    assert chosen(stubs) == "cpu"


def test_apple_silicon_gets_metal_and_an_intel_mac_the_processor(stubs: Path) -> None:
    assert chosen(stubs, FAKE_OS="Darwin", FAKE_CPU="arm64") == "metal"
    assert chosen(stubs, FAKE_OS="Darwin", FAKE_CPU="x86_64") == "cpu"


def test_an_nvidia_card_gets_cuda(stubs: Path) -> None:
    nvidia(stubs, "8.6", "12.4")
    assert chosen(stubs) == "cuda"


def test_a_driver_that_fails_is_no_card(stubs: Path) -> None:
    put(stubs, "nvidia-smi", "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9")
    assert chosen(stubs) == "cpu"


def test_a_card_that_only_vulkan_knows_gets_vulkan_and_a_software_renderer_does_not(stubs: Path) -> None:
    put(stubs, "vulkaninfo", "echo '  deviceType = PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU'")
    assert chosen(stubs) == "vulkan"
    put(stubs, "vulkaninfo", "echo '  deviceType = PHYSICAL_DEVICE_TYPE_CPU'")
    assert chosen(stubs) == "cpu"


def test_the_gtx_10_generation_is_never_offered_cuda_13(stubs: Path) -> None:
    nvidia(stubs, "6.1", "13.0")
    names = bash(stubs, "compute=6.1; index_names cuda").stdout.split()
    assert names[0] == "cu128"
    assert not [name for name in names if name.startswith("cu13")]
    nvidia(stubs, "8.6", "13.0")
    assert bash(stubs, "compute=8.6; index_names cuda").stdout.split()[0] == "cu130"


def test_no_wheel_newer_than_the_driver_is_tried(stubs: Path) -> None:
    nvidia(stubs, "8.6", "12.2")
    assert bash(stubs, "compute=8.6; index_names cuda").stdout.split() == ["cu122", "cu121"]


def test_an_old_card_is_built_with_cuda_12_even_when_cuda_13_comes_first(stubs: Path) -> None:
    put(stubs, "nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.1'")
    twelve = put(stubs, "nvcc12", "echo 'Cuda compilation tools, release 12.8, V12.8.9'")
    assert bash(stubs, "compute=6.1; find_nvcc || echo none").stdout.strip() in {"none", "/usr/local/cuda/bin/nvcc"}
    assert bash(stubs, "compute=6.1; find_nvcc", CUDACXX=str(twelve)).stdout.strip() == str(twelve)
    assert bash(stubs, "compute=8.6; find_nvcc").stdout.strip() == str(stubs / "nvcc")


def test_the_build_is_told_the_cards_architecture(stubs: Path) -> None:
    assert "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=61" in bash(stubs, "compute=6.1; cmake_args cuda").stdout
    for name, option in {"vulkan": "VULKAN", "metal": "METAL", "rocm": "HIP"}.items():
        assert f"-DGGML_{option}=on" in bash(stubs, f"cmake_args {name}").stdout


def test_a_gpu_build_that_fails_is_said_and_the_processor_taken(stubs: Path) -> None:
    nvidia(stubs, "6.1", "12.4")
    script = """
works() { return 1; }
install_for() { echo "trying $1"; [ "$1" = cpu ]; }
install_llama
"""
    done = bash(stubs, script)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == [
        "trying cuda",
        f"the build for cuda failed (see {stubs.parent}/cache/build-cuda.log): going on with the processor alone",
        "trying cpu",
        "llama-cpp-python is ready for cpu",
    ]
    assert (stubs.parent / ".backend").read_text() == "cpu 0.3.36\n"


def test_a_processor_build_that_fails_ends_with_the_log_that_says_why(stubs: Path) -> None:
    done = bash(stubs, "works() { return 1; }; install_for() { return 1; }; install_llama")
    assert done.returncode == 1
    assert (
        done.stderr
        == f"setup: llama-cpp-python could not be built: the end of {stubs.parent}/cache/build-cpu.log says why\n"
    )


def test_a_missing_compiler_is_one_line_with_the_command_that_gets_one(stubs: Path) -> None:
    done = bash(stubs, "PATH=$SCRATCH/bin; need_compiler")
    assert done.returncode == 1
    assert done.stderr.startswith("setup: a C++ compiler is needed")
    assert len(done.stderr.splitlines()) == 1


def test_wheels_built_for_different_backends_never_mix(stubs: Path) -> None:
    assert bash(stubs, "wheel_folder cpu").stdout != bash(stubs, "wheel_folder cuda").stdout
