"""POST /v1/completions: several prompts, several answers, echo, and filling in the middle."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.types import Send

from llmserver.api.answers import new_head
from llmserver.api.body import StrictRoute
from llmserver.api.completion_fields import CompletionBody
from llmserver.api.completion_writer import Asked, CompletionWriter, Prompt
from llmserver.api.exchange import send_stream, send_whole, wants_progress
from llmserver.api.generation import aside, check_can_generate, gbnf
from llmserver.api.keys import require_key
from llmserver.api.kinds import require_kind
from llmserver.api.sampling import owner_of, sampling_of, variants
from llmserver.api.sse import WatchedResponse
from llmserver.engine.request import Request
from llmserver.errors import RequestError

if TYPE_CHECKING:
    from llmserver.engine.pool import Pool, Use
    from llmserver.engine.service import Service

router = APIRouter(route_class=StrictRoute, dependencies=[Depends(require_key)])


@router.post("/v1/completions", summary="Completion", tags=["OpenAI V1"], response_model=None)
async def complete(request: HttpRequest, body: CompletionBody) -> WatchedResponse:
    """Continue one or more texts."""
    progress = wants_progress(request, body)
    return WatchedResponse(partial(_respond, request.app.state.pool, body, owner_of(request), progress))


async def _respond(pool: Pool, body: CompletionBody, owner: str, progress: bool, send: Send) -> None:
    async with pool.use(body.model, "chat") as use:
        require_kind(use, "chat", pool.known())
        prompts = await aside(partial(_read_prompts, body, use.service), n_chars=_size(body))
        requests = _requests(body, use, prompts, owner)
        writer = CompletionWriter(
            new_head("cmpl", "text_completion", use.name), _asked(body, prompts), use.service.pieces()
        )
        if body.stream:
            await send_stream(send, use.service, requests, writer, progress=progress)
        else:
            await send_whole(send, use.service, requests, writer)


def _size(body: CompletionBody) -> int:
    return sum(map(len, body.prompts)) + len(body.suffix or "")


def _read_prompts(body: CompletionBody, service: Service) -> list[Prompt]:
    """The tokens of each prompt. Raises RequestError for tokens that do not exist and prompts without any."""
    check_can_generate(service.info)
    return [_read_prompt(prompt, i, body, service) for i, prompt in enumerate(body.prompts)]


def _read_prompt(prompt: str | list[int], i: int, body: CompletionBody, service: Service) -> Prompt:
    if not isinstance(prompt, str):
        _check_known(prompt, i, body, service)
    text = _text_of(prompt, service) if body.echo else ""
    if body.suffix is not None:
        return Prompt(_fill_in(prompt, body.suffix, service), 0, text)
    if not isinstance(prompt, str):
        return Prompt(tuple(prompt), 0, text)
    info = service.info
    tokens = tuple(service.tokenize(prompt, bos=info.add_bos, special=True))
    if not tokens:
        raise RequestError("prompt: must not be empty: this model has no token to begin with", param="prompt")
    has_bos = info.add_bos and tokens[0] == info.bos_id and not (info.bos and prompt.startswith(info.bos))
    return Prompt(tokens, int(has_bos), text)


def _check_known(tokens: list[int], i: int, body: CompletionBody, service: Service) -> None:
    n_vocab = service.info.n_vocab
    for at, token in enumerate(tokens):
        if token >= n_vocab:
            where = f"prompt.{at}" if tokens is body.prompt else f"prompt.{i}.{at}"
            raise RequestError(f"{where}: {token} is no token of this model: 0 to {n_vocab - 1}", param=where)


def _fill_in(prompt: str | list[int], suffix: str, service: Service) -> tuple[int, ...]:
    """Prefix, suffix, middle: the order of llama-server's /infill."""
    info = service.info
    if info.fim is None:
        raise RequestError("suffix: this model has no tokens to fill in the middle with", param="suffix")
    before, after, middle = info.fim
    given = service.tokenize(prompt, bos=False, special=False) if isinstance(prompt, str) else prompt
    begin = [info.bos_id] if info.add_bos and isinstance(prompt, str) else []
    return (*begin, before, *given, after, *service.tokenize(suffix, bos=False, special=False), middle)


def _requests(body: CompletionBody, use: Use, prompts: list[Prompt], owner: str) -> list[Request]:
    """n_runs requests for each prompt, in a row."""
    sampling = sampling_of(body, use, gbnf(body.grammar))
    picks = body.n_runs > (body.n or 1)
    return [
        Request(
            tokens=prompt.tokens,
            max_tokens=body.max_tokens,
            sampling=variant,
            stop=body.stops,
            n_logprobs=0 if body.logprobs is None and picks else body.logprobs,
            prompt_logprobs=bool(body.echo) and body.logprobs is not None,
            adapter=use.adapter,
            owner=owner,
        )
        for prompt in prompts
        for variant in variants(sampling, body.n_runs)
    ]


def _asked(body: CompletionBody, prompts: list[Prompt]) -> Asked:
    return Asked(
        prompts=tuple(prompts),
        n=body.n or 1,
        n_runs=body.n_runs,
        has_echo=bool(body.echo),
        has_logprobs=body.logprobs is not None,
        include_usage=body.wants_usage,
    )


def _text_of(prompt: str | list[int], service: Service) -> str:
    if isinstance(prompt, str):
        return prompt
    return service.detokenize(prompt, special=True).decode("utf-8", "replace")
