"""Decide which models are served beside the chat model: those that embed and rank, for the library of documents.

They compute on the processor and in small batches, so that the plan for the card and the chat's first token stay as
they are. All that are here can be asked, so that an index keeps answering by its model while a better one is filled in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from llmserver.engine.pool import kind_of
from llmserver.errors import BadSettings, LlmServerError, ModelFileMissing
from llmserver.library import modelfile
from llmserver.library.catalog import EMBEDDING, RERANK, Catalog
from llmserver.offload.gguf import read
from llmserver.settings import ModelOptions, ServeSettings

AUTO, OFF = "auto", "off"
log = logging.getLogger("llmserver")
# The longest text. Attention is computed over a whole batch, so larger ones are slower: MiniLM embeds quickest at 256.
_MOST_TOKENS = 512
_AS_THE_FIRST = ("n_threads", "n_threads_batch", "use_mmap", "use_mlock", "numa", "verbose", "ttl_s")


def add(settings: ServeSettings, known: Catalog, folder: Path) -> ServeSettings:
    """Return the settings with the companions after the other models; the first that embeds is asked by default.

    Raises BadSettings, ModelFileMissing or ModelFileBroken for one that was asked for and cannot be served.
    """
    wanted = settings.server.embedding_model
    is_chosen = any(kind_of(model) == "embedding" for model in settings.models)
    if wanted == OFF or (wanted == AUTO and (is_chosen or settings.server.engine == "stock")):
        return settings
    if settings.server.engine == "stock":
        raise BadSettings("--embedding_model needs --engine batched: the stock engine holds one model at a time")
    first = settings.models[0]
    found = [] if wanted == AUTO else [_options(_named(wanted, known, folder), known, first)]
    for options in (*found, *_here(known, folder, first)):
        if not any(_is_same(options, model) for model in settings.models):
            alias = str(options.model_alias)
            settings = replace(settings, models=(*settings.models, options), companions=(*settings.companions, alias))
    return settings


def _here(known: Catalog, folder: Path, first: ModelOptions) -> Iterator[ModelOptions]:
    """The catalog's models that are in the folder, the best first; one that cannot be read is left out aloud."""
    for model in (*reversed(known.of(EMBEDDING)), *reversed(known.of(RERANK))):
        path = folder / model.file
        if path.is_file():
            try:
                yield _options(path, known, first)
            except LlmServerError as why:
                log.warning("%s is not served: %s", model.name, why.message)


def _named(wanted: str, known: Catalog, folder: Path) -> Path:
    path = Path(wanted).expanduser()
    if not known.has(wanted) and (path.exists() or "/" in wanted or path.suffix == ".gguf"):
        return path
    model = known.find(wanted)
    if model.kind != EMBEDDING:
        able = ", ".join(each.name for each in known.of(EMBEDDING))
        raise BadSettings(f"--embedding_model {wanted} makes no embeddings: take one of {able}, or a path")
    path = folder / model.file
    if not path.is_file():
        raise ModelFileMissing(
            f"--embedding_model {wanted} is not here yet: get it with `python -m llmserver models pull {wanted}`"
        )
    return path


def _options(path: Path, known: Catalog, first: ModelOptions) -> ModelOptions:
    """How it is served. No environment counts here: its variables are for the chat model."""
    n_ctx_train = read(modelfile.check(path)).of("context_length")
    n_most = min(n_ctx_train, _MOST_TOKENS) if isinstance(n_ctx_train, int) and n_ctx_train > 0 else _MOST_TOKENS
    entry = next((model for model in known.models if model.file == path.name), None)
    given = {name: getattr(first, name) for name in _AS_THE_FIRST}
    given |= {"n_ctx": n_most, "n_batch": n_most, "n_ubatch": n_most, "n_gpu_layers": 0, "cache_ram_mib": 0}
    if entry and entry.kind == RERANK:
        given["pooling"] = "rank"
    return ModelOptions.model_construct(
        model=str(path), model_alias=entry.name if entry else path.stem, embedding=True, **given
    )


def _is_same(options: ModelOptions, other: ModelOptions) -> bool:
    """Whether the model is served already, or its name is another's."""
    is_file = Path(options.model).resolve() == Path(other.model).resolve()
    return other.model_alias == options.model_alias or (is_file and kind_of(other) == kind_of(options))
