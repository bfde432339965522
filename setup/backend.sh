# shellcheck shell=bash disable=SC2154  # the variables are set by setup.sh
# What llama.cpp is built for on this machine, and how llama-cpp-python gets installed for it.
# Sourced by setup.sh; uses its say, step, fail, need_space, pip_install, here, venv, python, cache, llama_version, rpc.

wheel_index=https://abetlen.github.io/llama-cpp-python/whl

# Sets backend to what this machine can use, when it is auto. One line says why.
choose_backend() {
  [ "$backend" = auto ] || return 0
  if [ "$(uname -s)" = Darwin ] && [ "$(uname -m)" = arm64 ]; then
    backend=metal
    say "backend metal: Apple silicon"
  elif compute=$(nvidia_compute); then
    backend=cuda
    say "backend cuda: an NVIDIA card of compute capability $compute"
  elif [ -e /dev/kfd ] && command -v hipcc >/dev/null; then
    backend=rocm
    say "backend rocm: an AMD card and hipcc"
  elif has_vulkan_gpu; then
    backend=vulkan
    say "backend vulkan: vulkaninfo lists a graphics card"
  else
    backend=cpu
    say "backend cpu: no graphics card that llama.cpp can use was found"
  fi
}

# The lowest compute capability of the NVIDIA cards, such as 6.1; fails without one.
nvidia_compute() {
  local found
  command -v nvidia-smi >/dev/null || return 1
  found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -n | head -n 1)
  case $found in
    [0-9]*.[0-9]*) printf '%s\n' "$found" ;;
    *) return 1 ;;
  esac
}

has_vulkan_gpu() {
  command -v vulkaninfo >/dev/null || return 1
  vulkaninfo --summary 2>/dev/null | grep -Eq 'PHYSICAL_DEVICE_TYPE_(DISCRETE|INTEGRATED)_GPU'
}

# The highest CUDA version that the driver runs, as 1204 for 12.4; 0 when it does not say.
driver_cuda() {
  nvidia-smi 2>/dev/null | sed -n 's/.*CUDA[A-Za-z ]*Version: *\([0-9]*\)\.\([0-9]*\).*/\1 \2/p' |
    awk 'NR == 1 { print $1 * 100 + $2; found = 1 } END { if (!found) print 0 }'
}

# CUDA 13 dropped every card below compute 7.5: the GTX 10 series (6.1) and its neighbours need CUDA 12.
needs_cuda_12() {
  awk -v compute="${compute:-0}" 'BEGIN { exit !(compute > 0 && compute < 7.5) }'
}

# Names of the prebuilt index to try for a backend, best first.
index_names() {
  local driver version
  if [ "$1" != cuda ]; then
    printf '%s\n' "$1"
    return 0
  fi
  driver=$(driver_cuda)
  for version in 1302 1300 1208 1206 1205 1204 1203 1202 1201; do
    if needs_cuda_12 && [ "$version" -ge 1300 ]; then continue; fi
    if [ "$version" -le "$driver" ]; then printf 'cu%d%d\n' $((version / 100)) $((version % 100)); fi
  done
}

# An nvcc that can build for the card, or nothing.
find_nvcc() {
  local path version
  for path in "${CUDACXX:-}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc /usr/local/cuda-12*/bin/nvcc /usr/local/cuda-13*/bin/nvcc; do
    [ -x "$path" ] || continue
    version=$("$path" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    if needs_cuda_12 && [ "${version:-99}" -ge 13 ]; then continue; fi
    printf '%s\n' "$path"
    return 0
  done
  return 1
}

# RPC in every build: 200 KB, and nothing listens before ./setup.sh worker does.
cmake_args() {
  local own=""
  case $1 in
    cpu) own="-DGGML_METAL=off" ;;
    cuda) own="-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=$(printf '%s' "${compute:-native}" | tr -d .)" ;;
    vulkan) own="-DGGML_VULKAN=on" ;;
    metal) own="-DGGML_METAL=on" ;;
    rocm) own="-DGGML_HIP=on" ;;
  esac
  printf '%s\n' "-DGGML_RPC=ON $own"
}

# rpc is no, yes (--rpc), or cpu: what the tests need, where it costs no card its quick prebuilt wheel.
wants_rpc() { [ "$rpc" = yes ] || { [ "$rpc" = cpu ] && [ "$backend" = cpu ]; }; }

# The library itself answers, whoever installed it.
has_rpc() {
  local path
  for path in "$venv"/lib/python3*/site-packages/llama_cpp/lib/libggml-rpc.*; do
    if [ -f "$path" ]; then return 0; fi
  done
  return 1
}

lacks_rpc() { wants_rpc && ! has_rpc; }

# For wheels of a backend that were built here (rpc) or fetched (prebuilt). A build is tuned to this processor, so the
# name carries a mark of it.
wheel_folder() {
  local machine
  machine=$({ grep -m 1 -E '^(flags|Features)' /proc/cpuinfo 2>/dev/null || uname -mv; } | cksum | cut -d ' ' -f 1)
  printf '%s\n' "$cache/wheels/$llama_version-$1-$2-$(uname -m)-$machine"
}

find_wheel() {
  local path
  for path in "$1"/llama_cpp_python-"$llama_version"-*.whl; do
    if [ -f "$path" ]; then
      printf '%s\n' "$path"
      return 0
    fi
  done
  return 1
}

fetch_prebuilt() {
  local name folder=$2
  "$python" - "$wheel_index" <<'EOF' || { say "the index of prebuilt wheels is not in reach"; return 1; }
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"), timeout=4)
except urllib.error.HTTPError:
    pass  # it answers, and that is the question
except OSError:
    sys.exit(1)
EOF
  for name in $(index_names "$1"); do
    if "$python" -m pip download --quiet --no-deps --only-binary :all: --timeout 10 --retries 1 \
      --index-url "$wheel_index/$name" --dest "$folder" "llama-cpp-python==$llama_version" >/dev/null 2>&1; then
      say "took the prebuilt wheel for $name"
      return 0
    fi
  done
  say "no prebuilt wheel for $1 and version $llama_version"
  return 1
}

need_compiler() {
  local name
  for name in "${CXX:-c++}" g++ clang++; do
    if command -v "$name" >/dev/null; then return 0; fi
  done
  fail "a C++ compiler is needed to build llama.cpp and none was found: on Debian or Ubuntu run" \
    "'sudo apt install build-essential', on Fedora 'sudo dnf install gcc-c++', on macOS 'xcode-select --install'"
}

# A log is kept because a failed build is explained in it, hundreds of lines above its end.
build_wheel() {
  local nvcc="" log=$cache/build-$1.log
  need_compiler
  need_space 1500
  if [ "$1" = cuda ]; then
    if ! nvcc=$(find_nvcc); then
      if needs_cuda_12; then
        say "no CUDA 12 compiler found, and a card of compute $compute needs one (CUDA 13 dropped it): install cuda-toolkit-12-8"
      else
        say "no CUDA compiler (nvcc) found: install the CUDA toolkit"
      fi
      return 1
    fi
  fi
  say "building llama-cpp-python $llama_version for $1: 3 to 10 minutes on 2 cores; log in $log"
  CMAKE_ARGS="$(cmake_args "$1") ${CMAKE_ARGS:-}" CUDACXX=$nvcc FORCE_CMAKE=1 \
    "$python" -m pip wheel --no-deps --no-cache-dir --no-binary llama-cpp-python --wheel-dir "$2" \
    "llama-cpp-python==$llama_version" >"$log" 2>&1
}

works() { "$python" -c 'import llama_cpp' >/dev/null 2>&1; }

# Twice: the first replaces a build for another backend, the second adds what the wheel depends on.
install_wheel() {
  pip_install --no-deps --force-reinstall "$1" && pip_install "$1" && works && ! lacks_rpc
}

install_earlier() {
  local wheel
  wheel=$(find_wheel "$1") || return 1
  say "using the wheel of an earlier run"
  if install_wheel "$wheel"; then return 0; fi
  rm -f "$wheel"
  return 1
}

# From the wheels of earlier runs, the prebuilt index, or the source; the first that can be used.
install_for() {
  local built prebuilt wheel
  built=$(wheel_folder "$1" rpc) prebuilt=$(wheel_folder "$1" prebuilt)
  mkdir -p "$built"
  if install_earlier "$built"; then return 0; fi
  if ! wants_rpc; then
    if install_earlier "$prebuilt"; then return 0; fi
    if fetch_prebuilt "$1" "$prebuilt" && wheel=$(find_wheel "$prebuilt"); then
      if install_wheel "$wheel"; then return 0; fi
      say "the prebuilt wheel does not run on this machine"
      rm -f "$wheel"
    fi
  fi
  if build_wheel "$1" "$built" && wheel=$(find_wheel "$built"); then
    if install_wheel "$wheel"; then return 0; fi
    say "what was built cannot be used"
  fi
  return 1
}

# Installs llama-cpp-python for the backend. A graphics card that cannot be served is given up for the processor, unless
# RPC was asked for: then a build that works would be lost.
install_llama() {
  local mark=$venv/.backend compute="" installed="" version=""
  step "llama-cpp-python $llama_version"
  if [ -f "$mark" ] && works; then
    read -r installed version <"$mark" || true
    if [ "$backend" = auto ]; then backend=$installed; fi
    if [ "$backend $llama_version" = "$installed $version" ]; then
      if ! lacks_rpc; then
        say "keeping the build for $backend"
        return 0
      fi
      say "the build for $backend has no RPC: replacing it by one that has"
    fi
  fi
  choose_backend
  if [ "$backend" = cuda ] && [ -z "$compute" ]; then compute=$(nvidia_compute) || compute=""; fi
  if ! install_for "$backend"; then
    [ "$backend" != cpu ] || fail "llama-cpp-python could not be built: the end of $cache/build-cpu.log says why"
    [ "$rpc" != yes ] ||
      fail "llama-cpp-python with RPC could not be built for $backend (see $cache/build-$backend.log):" \
        "leave --rpc out, or add --backend cpu"
    say "the build for $backend failed (see $cache/build-$backend.log): going on with the processor alone"
    backend=cpu
    install_for cpu || fail "llama-cpp-python could not be built: the end of $cache/build-cpu.log says why"
  fi
  printf '%s\n' "$backend $llama_version" >"$mark"
  say "llama-cpp-python is ready for $backend"
}
