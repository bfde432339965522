"""The fields of a text completion: prompts in four forms, and what may be combined with what."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from llmserver.api.fields import MAX_CHOICES, MAX_TOP_LOGPROBS, Between, Count, GenerationFields, TokenId, refuse
from llmserver.api.refusals import TAG

MAX_ANSWERS = 32
_Texts = Annotated[list[str], Field(min_length=1)]
_Tokens = Annotated[list[TokenId], Field(min_length=1)]
_Lists = Annotated[list[_Tokens], Field(min_length=1)]


def _form(value: Any) -> str | None:
    if isinstance(value, str):
        return f"{TAG}text"
    if not isinstance(value, list):
        return None
    first = value[0] if value else ""
    if isinstance(first, list):
        return f"{TAG}lists"
    return f"{TAG}tokens" if isinstance(first, int) and not isinstance(first, bool) else f"{TAG}texts"


Prompt = Annotated[
    Annotated[str, Tag(f"{TAG}text")]
    | Annotated[_Texts, Tag(f"{TAG}texts")]
    | Annotated[_Tokens, Tag(f"{TAG}tokens")]
    | Annotated[_Lists, Tag(f"{TAG}lists")],
    Discriminator(
        _form,
        custom_error_type="form",
        custom_error_message="must be a text, a list of texts, a list of token ids or a list of such lists",
    ),
]


class CompletionBody(GenerationFields):
    """POST /v1/completions."""

    prompt: Prompt = Field(description="A text, several texts, a list of token ids, or several such lists.")
    suffix: str | None = Field(None, description="What comes after the answer, for models that can fill in the middle.")
    max_tokens: Count | None = Field(16, description="The most tokens of an answer; null: until the context is full.")
    best_of: Annotated[int, Between(1, MAX_CHOICES)] | None = Field(
        None, description="Compute so many answers and give the n likeliest. Default n."
    )
    echo: bool | None = Field(None, description="Begin the answer with the prompt. Default false.")
    logprobs: Annotated[int, Between(0, MAX_TOP_LOGPROBS)] | None = Field(
        None, description="Tell the log probability of each token and of so many alternatives."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> CompletionBody:
        self.check_shared(self.max_tokens)
        if self.max_tokens == 0 and not self.echo:
            raise refuse("must be 1 or more, or 0 together with echo, got 0", "max_tokens")
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise refuse(f"must be n ({self.n or 1}) or more, got {self.best_of}", "best_of")
        if self.best_of is not None and self.stream and self.best_of > (self.n or 1):
            raise refuse("cannot be combined with stream: nobody knows the best answer before the end", "best_of")
        n_prompts = len(self.prompts)
        if n_prompts * self.n_runs > MAX_ANSWERS:
            most = MAX_ANSWERS // self.n_runs
            raise refuse(
                f"{n_prompts} prompts with {self.n_runs} answers each are more than {MAX_ANSWERS}: "
                f"send at most {most} prompts at once",
                "prompt",
            )
        if self.suffix is not None and self.echo and self.logprobs is not None:
            raise refuse("cannot be combined with echo and logprobs", "suffix")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry a prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)

    @property
    def n_runs(self) -> int:
        """How many answers are computed for each prompt."""
        return self.best_of or self.n or 1
