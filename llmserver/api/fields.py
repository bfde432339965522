"""The fields that chat and text completions share: names, types, ranges, one line of help each.

A field that is null or left out has the default that its help names. Unknown fields are errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Tag
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from llmserver.api.refusals import TAG

MAX_CHOICES = 8
MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True)
class Between:
    """A range of numbers whose refusal names both ends."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "minimum": self.low, "maximum": self.high}

    def _check(self, value: float) -> float:
        if not self.low <= value <= self.high:
            raise PydanticCustomError(
                "range", "must be between {low} and {high}", {"low": f"{self.low:,}", "high": f"{self.high:,}"}
            )
        return value


def refuse(message: str, field: str = "") -> PydanticCustomError:
    """The error of a validator: its whole sentence, and the field inside the validated one that it is about."""
    facts = {"is_told": True, "message": message, **({"field": field} if field else {})}
    return PydanticCustomError("refused", "{message}", facts)


def text_or_list(value: Any) -> str:
    """The tag that tells the two forms of a field apart."""
    return f"{TAG}text" if isinstance(value, str) else f"{TAG}list"


NonEmpty = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Between(0, 2**31 - 1)]
TokenId = Annotated[int, Field(ge=0)]
Stop = Annotated[
    Annotated[NonEmpty, Tag(f"{TAG}text")]
    | Annotated[Annotated[list[NonEmpty], Field(max_length=MAX_STOPS)], Tag(f"{TAG}list")],
    Discriminator(text_or_list),
]


class Body(BaseModel):
    """A JSON object: no unknown fields, no "1" for 1, no true for 1."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SamplingFields(Body):
    """How the next token is chosen."""

    temperature: Annotated[float, Between(0, 10)] | None = Field(None, description="0 is greedy. Default 0.8.")
    top_k: Count | None = Field(None, description="Keep the k likeliest tokens; 0 keeps all. Default 40.")
    top_p: Annotated[float, Between(0, 1)] | None = Field(None, description="Nucleus sampling. Default 0.95.")
    min_p: Annotated[float, Between(0, 1)] | None = Field(
        None, description="Least probability, relative to the likeliest token's. Default 0.05."
    )
    typical_p: Annotated[float, Between(0, 1)] | None = Field(None, description="Default 1, which is off.")
    repeat_penalty: Annotated[float, Between(0.01, 10)] | None = Field(None, description="Default 1, which is off.")
    repeat_last_n: Annotated[int, Between(-1, 2**31 - 1)] | None = Field(
        None, description="How many tokens the penalties look back; -1 is the whole context. Default 64."
    )
    presence_penalty: Annotated[float, Between(-2, 2)] | None = Field(None, description="Default 0.")
    frequency_penalty: Annotated[float, Between(-2, 2)] | None = Field(None, description="Default 0.")
    mirostat_mode: Annotated[int, Between(0, 2)] | None = Field(None, description="1 or 2; 0 is off. Default 0.")
    mirostat_tau: Annotated[float, Between(0, 10)] | None = Field(None, description="Default 5.")
    mirostat_eta: Annotated[float, Between(0.001, 1)] | None = Field(None, description="Default 0.1.")
    seed: Annotated[int, Between(-(2**63), 2**63 - 1)] | None = Field(
        None, description="The same seed gives the same answer. -1 and null are random."
    )
    logit_bias: dict[str, Annotated[float, Between(-100, 100)]] | None = Field(
        None, description="Token ids (as text) and what is added to their logits; -100 bans a token."
    )
    logit_bias_type: Literal["input_ids", "tokens"] | None = Field(
        None, description="tokens: the keys of logit_bias are texts, each of whose tokens is meant."
    )
    grammar: NonEmpty | None = Field(None, description="A GBNF grammar that the answer follows; its rule is root.")
    ignore_eos: bool | None = Field(None, description="Go on where the model would end. Default false.")
    min_tokens: Count | None = Field(None, description="Do not end before so many tokens. Default 0.")


class StreamOptions(Body):
    """What a stream tells besides the answer."""

    include_usage: bool | None = Field(None, description="Send a last chunk with the token counts.")
    include_obfuscation: bool | None = Field(None, description="Accepted, without effect.")


class GenerationFields(SamplingFields):
    """What every kind of completion takes."""

    model: NonEmpty | None = Field(None, description="A name from GET /v1/models; null is the default model.")
    stop: Stop | None = Field(None, description=f"One text or up to {MAX_STOPS}; the answer ends before it.")
    stream: bool | None = Field(None, description="Send the answer as it comes. Default false.")
    stream_options: StreamOptions | None = None
    return_progress: bool | None = Field(
        None, description="Stream the place in the queue and how much of the prompt is read."
    )
    n: Annotated[int, Between(1, MAX_CHOICES)] | None = Field(None, description="How many answers. Default 1.")
    user: str | None = Field(None, description="Accepted, without effect.")

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings as one tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def check_shared(self, max_tokens: int | None) -> None:
        """Refuse fields that contradict each other."""
        if self.stream_options is not None and not self.stream:
            raise refuse("needs stream: true", "stream_options")
        if self.logit_bias_type is not None and self.logit_bias is None:
            raise refuse("needs logit_bias", "logit_bias_type")
        if max_tokens is not None and (self.min_tokens or 0) > max_tokens:
            raise refuse(f"must be at most max_tokens ({max_tokens}), got {self.min_tokens}", "min_tokens")
