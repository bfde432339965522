"""What the server adds to computing: one stream over HTTP against a bare llama_decode loop over the same library.

python tests/bare.py [RUNS] [TOKENS]   starts a server of its own; both take turns, ratios are medians over pairs.
The bare loop decodes a token, chooses the next one with the same samplers, and does nothing else.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from llmserver import settings
from tests.processes import MODEL, REPO, llmserver, running

PROMPT = "Write a long story about a lighthouse, a storm and a dog."


def bare(n_tokens: int) -> Iterator[float]:
    """Tokens a second of the bare loop, again and again."""
    import llama_cpp

    from llmserver.engine.llama.batch import Batch
    from llmserver.engine.llama.chain import Sampler
    from llmserver.engine.llama.model import Model
    from llmserver.engine.llama.vocab import Vocab
    from llmserver.engine.request import Request, Sampling

    model = Model(settings.load(["--model", str(MODEL)]).models[0])
    vocab = Vocab(model.vocab)
    batch = Batch(model.n_batch)
    tokens = vocab.tokenize(f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n", bos=False, special=True)
    while True:
        sampler = Sampler(model.vocab, vocab, Request(tuple(tokens), sampling=Sampling(temperature=0.7, seed=7)))
        llama_cpp.llama_memory_clear(model.memory, True)
        batch.fill(0, 0, 0, tokens)
        batch.logits[len(tokens) - 1] = 1
        llama_cpp.llama_decode(model.ctx, batch.of(len(tokens)))
        token, at = sampler.sample(model.ctx, len(tokens) - 1), len(tokens)
        began = time.perf_counter()
        for _ in range(n_tokens):
            batch.fill(0, 0, at, [token], all_rows=True)
            llama_cpp.llama_decode(model.ctx, batch.of(1))
            token, at = sampler.sample(model.ctx, 0), at + 1
        yield n_tokens / (time.perf_counter() - began)
        sampler.free()


def served(url: str, n_tokens: int) -> float:
    """Tokens a second of one stream, from the first piece to the last, read by curl in a process of its own."""
    body = (
        f'{{"messages":[{{"role":"user","content":"{PROMPT}"}}],"max_tokens":{n_tokens + 1},'
        '"ignore_eos":true,"temperature":0.7,"seed":7,"stream":true}'
    )
    command = ["curl", "-sN", f"{url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", body]
    first = last = 0.0
    n_pieces = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPO) as curl:
        assert curl.stdout is not None
        for line in curl.stdout:
            if line.startswith(b"data: {") and b'"content":"' in line and b'"role"' not in line:
                last = time.perf_counter()
                first = first or last
                n_pieces += 1
    return n_tokens / (last - first)


def main() -> None:
    n_runs, n_tokens = (int(arg) for arg in [*sys.argv[1:], "9", "300"][:2])
    loop = bare(n_tokens)
    pairs = []
    with running(llmserver()) as server:
        next(loop), served(server.url, n_tokens)
        for i in range(n_runs):
            pair = (
                (next(loop), served(server.url, n_tokens))
                if i % 2
                else (served(server.url, n_tokens), next(loop))[::-1]
            )
            pairs.append(pair)
            sys.stdout.write(f"bare {pair[0]:.1f} tokens/s, served {pair[1]:.1f}, ratio {pair[1] / pair[0]:.3f}\n")
    ratios = [served_rate / bare_rate for bare_rate, served_rate in pairs]
    sys.stdout.write(f"median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})\n")


if __name__ == "__main__":
    main()
