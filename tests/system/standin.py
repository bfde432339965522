"""A small checkout whose two programs only play the part of processes that systemd watches.

What they do is chosen in the env file: PLAY=ok (default), refuse (exit 2), crash.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

NOTIFY = """
import os, signal, socket, sys, threading, time, ctypes

def tell(text):
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.encode(), "\\0" + address[1:] if address[0] == "@" else address)

def attempt(name, action):
    try:
        print(f"probe {name} allowed {action()}", flush=True)
    except (OSError, ValueError) as exc:
        print(f"probe {name} refused {exc}", flush=True)

def connect(host):
    with socket.create_connection((host, 9), timeout=1):
        pass

def probes(state):
    attempt("program", lambda: open("/opt/paddock/written", "w").close())
    attempt("etc", lambda: open("/etc/written", "w").close())
    attempt("homes", lambda: os.listdir("/root"))
    attempt("memory", lambda: "MemTotal" in open("/proc/meminfo").read() or 1 / 0)
    attempt("callback", lambda: ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)())
    attempt("affinity", lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)))
    attempt("outside", lambda: connect("192.0.2.1"))
    attempt("kmsg", lambda: open("/dev/kmsg").close())
    attempt("state", lambda: open(os.path.join(state, "written"), "w").close())
    print("probe umask", oct(os.umask(0)), "uid", os.getuid(), flush=True)

def play(port, state, load_s, drain_s):
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    what = os.environ.get("PLAY", "ok")
    if what == "refuse":
        sys.exit(2)
    if what == "crash":
        sys.exit(1)
    tell("STATUS=loading")
    time.sleep(load_s)
    probes(state)
    with socket.create_server(("127.0.0.1", port)):
        tell("READY=1\\nSTATUS=ready")
        done.wait()
    tell("STOPPING=1")
    time.sleep(drain_s)
    print("drained", flush=True)
"""

SERVER_MAIN = """
import os
from llmserver.part import play
assert os.environ["GOMP_SPINCOUNT"] == "1000"
play(8000, os.environ["CUDA_CACHE_PATH"].rsplit("/", 1)[0], load_s=1.5, drain_s=1.0)
"""

# As under gunicorn, the child does the work and reports readiness; the parent passes the signal on.
CHATBOT_MAIN = """
import os, signal, sys
from chatbot.part import play
child = os.fork()
if child == 0:
    play(5000, os.environ["CHATBOT_DATA_DIR"], load_s=0.0, drain_s=0.0)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
while True:
    try:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    except InterruptedError:
        continue
"""


def public_python() -> str | None:
    """A Python outside all home folders, which alone a service user may run."""
    for found in (sys._base_executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        real = os.path.realpath(found)
        if os.access(real, os.X_OK) and not real.startswith(("/root/", "/home/", "/run/user/")):
            return real
    return None


def make_checkout(folder: Path, python: str) -> Path:
    """Write a checkout with the real units and installer, stand-in programs, a venv and a model."""
    for name, main in (("llmserver", SERVER_MAIN), ("chatbot", CHATBOT_MAIN)):
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "part.py").write_text(NOTIFY)
        (package / "__main__.py").write_text(main)
    shutil.copytree(REPO / "systemd", folder / "systemd")
    for name in ("llmserver", "chatbot"):
        example = folder / "systemd" / f"{name}.env.example"
        if not example.exists():
            example.write_text("# settings\n")
    for name in ("requirements.txt", "pyproject.toml", "setup.sh"):
        (folder / name).write_text("")
    models = folder / "models"
    models.mkdir()
    (models / "tiny.gguf").write_bytes(b"GGUF" + bytes(1000))
    (models / "default.gguf").symlink_to("tiny.gguf")
    (models / "catalog.toml").write_text("")
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    script = folder / ".venv" / "bin" / "chat"
    script.write_text(f"#!{folder}/.venv/bin/python\nprint('chat')\n")
    script.chmod(0o755)
    return folder


def install(checkout: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installer of a checkout and return what it said."""
    return subprocess.run(
        ["bash", str(checkout / "systemd" / "install.sh"), *options],
        env={**os.environ, "PADDOCK_HOME": str(checkout), **environment},
        capture_output=True,
        text=True,
    )
