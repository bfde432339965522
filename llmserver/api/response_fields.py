"""The fields of POST /v1/responses: input items, tools, the format of the text, and what a stateless server refuses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from llmserver.api.chat_fields import MAX_TOOLS, Effort, Name
from llmserver.api.fields import Between, Body, NonEmpty, SamplingFields, refuse, text_or_list
from llmserver.api.refusals import TAG

_NO_EFFECT = "Accepted, without effect."
_STATELESS = "nothing is stored here: send the whole conversation as input"


class InputPart(Body):
    """A piece of a message's content."""

    type: Literal["input_text", "output_text", "text", "refusal"]
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = Field(None, description=_NO_EFFECT)
    logprobs: list[Any] | None = Field(None, description=_NO_EFFECT)

    @field_validator("type", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if value in ("input_image", "input_audio", "input_file"):
            raise refuse(f"must be a text, got {value!r}: images and sound need a multimodal model and --engine stock")
        return value

    @property
    def content(self) -> str:
        """The text of any kind."""
        return (self.refusal if self.type == "refusal" else self.text) or ""


Content = Annotated[
    Annotated[str, Tag(f"{TAG}text")] | Annotated[list[InputPart], Tag(f"{TAG}list")], Discriminator(text_or_list)
]


def text_of(content: str | list[InputPart]) -> str:
    """The content as one text; its parts are separated by line ends."""
    return content if isinstance(content, str) else "\n".join(part.content for part in content)


class _Item(Body):
    id: str | None = Field(None, description=_NO_EFFECT)
    status: Literal["in_progress", "completed", "incomplete"] | None = Field(None, description=_NO_EFFECT)


class MessageItem(_Item):
    """A message of the conversation."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: str | None = Field(None, description=_NO_EFFECT)


class CallItem(_Item):
    """A function call that the model made earlier."""

    type: Literal["function_call"]
    call_id: NonEmpty
    name: Name
    arguments: str


class OutputItem(_Item):
    """What the called function returned."""

    type: Literal["function_call_output"]
    call_id: NonEmpty
    output: Content


class ReasoningPart(Body):
    """A piece of reasoning, or of its summary."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(_Item):
    """What the model thought before it answered earlier."""

    type: Literal["reasoning"]
    summary: list[ReasoningPart] = Field([], description="Read where there is no content.")
    content: list[ReasoningPart] | None = None
    encrypted_content: str | None = Field(None, description="Accepted, without effect: nothing is encrypted here.")


def _item_type(value: Any) -> str:
    """The tag of an item; one without a type is a message."""
    kind = value.get("type", "message") if isinstance(value, dict) else "message"
    return f"{TAG}{kind}" if kind in ("function_call", "function_call_output", "reasoning") else f"{TAG}message"


Item = Annotated[
    Annotated[MessageItem, Tag(f"{TAG}message")]
    | Annotated[CallItem, Tag(f"{TAG}function_call")]
    | Annotated[OutputItem, Tag(f"{TAG}function_call_output")]
    | Annotated[ReasoningItem, Tag(f"{TAG}reasoning")],
    Discriminator(_item_type),
]


class FunctionTool(Body):
    """A function that the model may call."""

    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="A JSON schema of the arguments.")
    strict: bool | None = Field(None, description="Accepted; arguments of a forced call always follow the schema.")


class NamedFunction(Body):
    """The tool that must be called."""

    type: Literal["function"]
    name: Name


def _word_or_object(value: Any) -> str:
    return f"{TAG}object" if isinstance(value, dict) else f"{TAG}word"


class TextFormat(Body):
    """The shape of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(Body):
    """How the text of the answer looks."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = Field(None, description=_NO_EFFECT)


class ReasoningOptions(Body):
    """How much the model thinks."""

    effort: Effort | None = Field(None, description="Handed to the chat template.")
    summary: Literal["auto", "concise", "detailed"] | None = Field(
        None, description="Accepted, without effect: the reasoning itself is sent."
    )
    generate_summary: Literal["auto", "concise", "detailed"] | None = Field(None, description=_NO_EFFECT)


class StreamOptions(Body):
    """What a stream tells besides the answer."""

    include_obfuscation: bool | None = Field(None, description=_NO_EFFECT)


class ResponseBody(SamplingFields):
    """POST /v1/responses."""

    model: NonEmpty | None = Field(None, description="A name from GET /v1/models; null is the default model.")
    input: Annotated[
        Annotated[NonEmpty, Tag(f"{TAG}text")]
        | Annotated[Annotated[list[Item], Field(min_length=1)], Tag(f"{TAG}list")],
        Discriminator(text_or_list),
    ]
    instructions: str | None = Field(None, description="A system message before the input.")
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["none", "auto", "required"], Tag(f"{TAG}word")]
            | Annotated[NamedFunction, Tag(f"{TAG}object")],
            Discriminator(_word_or_object),
        ]
        | None
    ) = Field(None, description="Default auto, which is none without tools.")
    parallel_tool_calls: bool | None = Field(None, description="Whether one answer may call twice. Default true.")
    text: TextOptions | None = None
    max_output_tokens: Annotated[int, Between(1, 2**31 - 1)] | None = Field(
        None, description="The most tokens of the answer. Default: until the context is full."
    )
    reasoning: ReasoningOptions | None = None
    stream: bool | None = Field(None, description="Send the answer as events. Default false.")
    stream_options: StreamOptions | None = None
    metadata: dict[str, str] | None = Field(None, description="Sent back with the response.")
    include: list[Literal["reasoning.encrypted_content"]] | None = Field(None, description=_NO_EFFECT)
    store: bool | None = Field(None, description="Only false: nothing is stored here.")
    previous_response_id: None = Field(None, description="Refused: nothing is stored here.")
    conversation: None = Field(None, description="Refused: nothing is stored here.")
    background: bool | None = Field(None, description="Only false.")
    truncation: Literal["disabled"] | None = Field(None, description="An input that does not fit is an error.")
    service_tier: Literal["auto", "default"] | None = Field(None, description=_NO_EFFECT)
    prompt_cache_key: str | None = Field(None, description="Accepted, without effect: prefixes are found by content.")
    safety_identifier: str | None = Field(None, description=_NO_EFFECT)
    user: str | None = Field(None, description=_NO_EFFECT)

    @field_validator("previous_response_id", "conversation", mode="before")
    @classmethod
    def _has_no_past(cls, value: Any) -> Any:
        if value is not None:
            raise refuse(_STATELESS)
        return value

    @field_validator("store", "background")
    @classmethod
    def _is_false(cls, value: bool | None) -> bool | None:
        if value:
            raise refuse("nothing is stored here: send false, or leave it out")
        return value
