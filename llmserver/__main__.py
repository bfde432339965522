"""The command line: serve (the default), plan, worker, models and bench."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from llmserver.errors import LlmServerError

# libgomp's barrier spins for tens of milliseconds, which starves every other process when the machine is busy; a
# short spin keeps the idle speed. It reads this when it is loaded, so it must be set before llama_cpp is imported.
GOMP_SPINCOUNT = "1000"
_CLOSED_PIPE, _INTERRUPTED = 141, 130  # as the shell counts SIGPIPE and SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 fine, 1 failed, 2 cannot start."""
    args = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("GOMP_SPINCOUNT", GOMP_SPINCOUNT)
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # a failed assertion would start a debugger
    try:
        if args[:1] == ["models"]:
            return _models(args[1:])
        if args[:1] == ["plan"]:
            return _plan(args[1:])
        if args[:1] == ["worker"]:
            return _worker(args[1:])
        if args[:1] == ["bench"]:
            return _bench(args[1:])
        if args[:1] == ["trial"]:  # what a server starts; nothing for people
            return _trial()
        return _serve(args[1:] if args[:1] == ["serve"] else args)
    except LlmServerError as why:
        sys.stderr.write(f"llmserver: {why.message}\n")
        return why.exit_code
    except BrokenPipeError:  # whoever reads has enough; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED


def _serve(args: Sequence[str]) -> int:
    from llmserver import settings
    from llmserver.serve import serve

    return serve(settings.load(args))


def _models(args: Sequence[str]) -> int:
    from llmserver.library.cli import main as models_main

    return models_main(args)


def _plan(args: Sequence[str]) -> int:
    from llmserver.engine.llama.abort import leave_with_a_line
    from llmserver.offload.cli import main as plan_main

    leave_with_a_line()
    return plan_main(args)


def _worker(args: Sequence[str]) -> int:
    from llmserver.offload.cli import worker

    return worker(args)


def _trial() -> int:
    from llmserver.engine.llama.trial import main as trial_main

    return trial_main()


def _bench(args: Sequence[str]) -> int:
    from llmserver.bench.cli import main as bench_main

    return bench_main(args)


if __name__ == "__main__":
    sys.exit(main())
