"""What setup.sh decides about this machine's graphics card, with the tools it asks played by scripts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.processes import REPO

PRELUDE = """
set -euo pipefail
backend=auto venv=$SCRATCH python=python3 cache=$SCRATCH/cache llama_version=0.3.36 here=$SCRATCH rpc=${RPC:-no}
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


@pytest.mark.parametrize("name", ["cpu", "cuda", "vulkan", "metal", "rocm"])
def test_every_build_from_source_has_rpc_beside_its_own_options_and_the_users_last(stubs: Path, name: str) -> None:
    put(stubs, "c++", "")
    script = f"""
need_space() {{ :; }}
find_nvcc() {{ echo /nvcc; }}
mkdir "$cache"
python=$SCRATCH/bin/pip-of-a-test
build_wheel {name} "$SCRATCH"
cat "$cache/build-{name}.log"
"""
    put(stubs, "pip-of-a-test", 'echo "$CMAKE_ARGS"')
    built = bash(stubs, script, CMAKE_ARGS="-DOF_THE_USER=1")
    assert built.returncode == 0, built.stderr
    *options, last = built.stdout.splitlines()[-1].split()
    assert "-DGGML_RPC=ON" in options and len(options) > 1 and last == "-DOF_THE_USER=1"


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
    names = "for each in cpu cuda; do wheel_folder $each rpc; wheel_folder $each prebuilt; done"
    assert len(set(bash(stubs, names).stdout.split())) == 4


# The folder of an earlier Paddock's wheels, built without RPC.
OLD_FOLDER = "$(wheel_folder cpu rpc | sed s/-rpc-/-/)"
WHEEL = "llama_cpp_python-0.3.36-py3-none-any.whl"
# What costs minutes or the network is played: it says that it was asked, and leaves a wheel. FAILS names what does not.
PLAYED = f"""
backend=cpu
fails() {{ case " ${{FAILS:-}} " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }}
leave() {{ echo "$1"; ! fails "$1" || return 1; mkdir -p "$2" && touch "$2/{WHEEL}"; }}
fetch_prebuilt() {{ leave fetched "$2"; }}
build_wheel() {{ leave built "$2"; }}
works() {{ :; }}
pip_install() {{ :; }}
"""
LIBRARY = "lib/python3.11/site-packages/llama_cpp/lib"


def tried(stubs: Path, before: str = "", **env: str) -> list[str]:
    """What install_for does, one word or sentence each."""
    done = bash(stubs, f"{PLAYED}{before}\ninstall_for cpu || echo failed", **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def install_rpc(stubs: Path, name: str = "libggml-rpc.so") -> None:
    library = stubs.parent / LIBRARY
    library.mkdir(parents=True)
    (library / name).touch()


def test_a_wheel_of_an_earlier_paddock_without_rpc_is_not_taken(stubs: Path) -> None:
    old = f'mkdir -p "{OLD_FOLDER}" && touch "{OLD_FOLDER}/{WHEEL}"'
    assert tried(stubs, old, FAILS="fetched") == ["fetched", "built"]
    assert tried(stubs) == ["using the wheel of an earlier run"], "what was built is kept"


def test_a_prebuilt_wheel_is_kept_and_not_taken_for_one_with_rpc(stubs: Path) -> None:
    assert tried(stubs) == ["fetched"]
    assert tried(stubs) == ["using the wheel of an earlier run"]
    install_rpc(stubs)
    assert tried(stubs, RPC="yes") == ["built"]
    assert tried(stubs, RPC="yes") == ["using the wheel of an earlier run"]


def test_a_build_that_has_no_rpc_after_all_is_refused_and_not_taken_again(stubs: Path) -> None:
    assert tried(stubs, RPC="yes") == ["built", "what was built cannot be used", "failed"]
    assert tried(stubs, RPC="yes")[:2] == ["using the wheel of an earlier run", "built"]


def installed(stubs: Path, mark: str, rpc: str, fails: str = "") -> subprocess.CompletedProcess[str]:
    """What install_llama does where a build that works is there already."""
    (stubs.parent / ".backend").write_text(f"{mark}\n")
    script = f"""{PLAYED}
backend=auto
install_for() {{ echo "replaced for $1"; case " {fails} " in *" $1 "*) return 1 ;; esac; }}
install_llama
"""
    return bash(stubs, script, RPC=rpc)


@pytest.mark.parametrize(
    ("mark", "rpc", "has_rpc", "is_kept"),
    [
        ("cpu 0.3.36", "no", False, True),
        ("cpu 0.3.36", "yes", False, False),
        ("cpu 0.3.36", "yes", True, True),
        ("cpu 0.3.36", "cpu", False, False),
        ("cpu 0.3.36", "cpu", True, True),
        ("cuda 0.3.36", "no", False, True),
        ("cuda 0.3.36", "cpu", False, True),  # the tests cost nobody a prebuilt wheel for a card
        ("cuda 0.3.36", "yes", False, False),
        ("cpu 0.3.35", "no", True, False),
    ],
)
def test_what_works_is_replaced_only_for_rpc_that_is_wanted(
    stubs: Path, mark: str, rpc: str, has_rpc: bool, is_kept: bool
) -> None:
    if has_rpc:
        install_rpc(stubs)
    done = installed(stubs, mark, rpc)
    assert done.returncode == 0, done.stderr
    backend = mark.split()[0]
    assert (f"keeping the build for {backend}" in done.stdout) == is_kept
    assert (f"replaced for {backend}" in done.stdout) != is_kept
    assert (stubs.parent / ".backend").read_text() == f"{backend} 0.3.36\n"


@pytest.mark.parametrize("name", ["libggml-rpc.so", "libggml-rpc.dylib"])
def test_rpc_is_seen_in_the_library_itself(stubs: Path, name: str) -> None:
    assert bash(stubs, "has_rpc").returncode == 1
    install_rpc(stubs, name)
    assert bash(stubs, "has_rpc").returncode == 0


def test_a_build_for_a_card_is_not_lost_when_the_one_with_rpc_fails(stubs: Path) -> None:
    done = installed(stubs, "cuda 0.3.36", "yes", fails="cuda")
    assert done.returncode == 1
    assert "replaced for cpu" not in done.stdout
    assert done.stderr.count("\n") == 1 and "leave --rpc out, or add --backend cpu" in done.stderr
    assert (stubs.parent / ".backend").read_text() == "cuda 0.3.36\n"


@pytest.mark.parametrize(
    ("args", "wanted"), [("test", "cpu"), ("test --rpc", "yes"), ("--no-start", "no"), ("--no-start --rpc", "yes")]
)
def test_the_tests_need_rpc_and_a_start_does_not(tmp_path: Path, args: str, wanted: str) -> None:
    script = (REPO / "setup.sh").read_text()
    assert script.endswith('\nmain "$@"\n')
    (tmp_path / "setup.sh").write_text(script.removesuffix('main "$@"\n'))
    (tmp_path / "setup").symlink_to(REPO / "setup")
    played = f'. {tmp_path}/setup.sh; set_up() {{ echo "rpc $rpc"; exit; }}; main {args}'
    done = subprocess.run(["bash", "-c", played], capture_output=True, text=True)
    assert done.stdout == f"rpc {wanted}\n", done.stderr
