"""The process that embeds texts with a fresh model file: a failed assertion of llama.cpp ends nothing else.

python -m llmserver.library.vectors_child FILE TEXTS, the texts as a JSON list. Prints each vector as a line of JSON.
"""

from __future__ import annotations

import json
import sys

from llmserver.engine.llama.embed import load_embed
from llmserver.settings import ModelOptions


def main(path: str, texts: str) -> int:
    """Print a vector for each text; 0 when that worked."""
    options = ModelOptions.model_construct(
        model=path, model_alias="", embedding=True, n_gpu_layers=0, n_ctx=512, n_batch=512, trial_load=False
    )
    _, vocab, backend = load_embed(options, "embedding")
    for text in json.loads(texts):
        vector = backend.run([vocab.tokenize(text, bos=True, special=False)])[0]
        sys.stdout.write(json.dumps([float(number) for number in vector]) + "\n")
    backend.free()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
