"""The fields of a chat completion: messages, tools, the shape of the answer, and what contradicts what."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from llmserver.api.fields import MAX_TOP_LOGPROBS, Between, Body, GenerationFields, refuse, text_or_list
from llmserver.api.refusals import TAG

MAX_TOOLS = 128
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-]{1,128}$")]


class Part(Body):
    """A piece of a message's content; a text model reads texts only."""

    type: Literal["text", "refusal"]
    text: str | None = None
    refusal: str | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if value in ("image_url", "input_audio", "file"):
            raise refuse(f"must be 'text', got {value!r}: images and sound need a multimodal model and --engine stock")
        return value

    @model_validator(mode="after")
    def _has_its_text(self) -> Part:
        if getattr(self, self.type) is None:
            raise refuse("Field required", self.type)
        return self

    @property
    def content(self) -> str:
        """The text of either kind."""
        return (self.text if self.type == "text" else self.refusal) or ""


class CalledFunction(Body):
    """Which function a model called, and its arguments as JSON text."""

    name: Name
    arguments: str


class ToolCall(Body):
    """A call that an assistant message made earlier."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = Field(None, description="Accepted, without effect: streams have it.")


class Message(Body):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: (
        Annotated[
            Annotated[str, Tag(f"{TAG}text")] | Annotated[list[Part], Tag(f"{TAG}list")], Discriminator(text_or_list)
        ]
        | None
    ) = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = Field(None, description="What the assistant thought before it answered.")
    refusal: str | None = None
    annotations: list[Any] | None = Field(None, description="Accepted, without effect.")
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Message:
        is_assistant = self.role == "assistant"
        if self.tool_calls and not is_assistant:
            raise refuse(f"only an assistant message has them, this one is of role {self.role}", "tool_calls")
        if self.tool_call_id is not None and self.role != "tool":
            raise refuse(f"only a tool message has one, this one is of role {self.role}", "tool_call_id")
        says = self.content is not None or (is_assistant and (self.tool_calls or self.refusal is not None))
        if not says:
            raise refuse("must be a text or a list of parts, got null", "content")
        return self

    @property
    def text(self) -> str:
        """The content as one text; its parts are separated by line ends."""
        if self.content is None:
            return self.refusal or ""
        return self.content if isinstance(self.content, str) else "\n".join(part.content for part in self.content)


class Function(Body):
    """A function that the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="A JSON schema of the arguments.")
    strict: bool | None = Field(None, description="Accepted; arguments of a forced call always follow the schema.")


class Tool(Body):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    """The name of one of the tools."""

    name: Name


class NamedTool(Body):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class SchemaFormat(Body):
    """The JSON schema that the answer follows."""

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = Field(None, description="Accepted; an answer always follows the schema.")


class ResponseFormat(Body):
    """The shape of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema", description="llama_cpp.server's way, for json_object.")

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise refuse("goes with type json_schema, and only with it", "json_schema")
        if self.json_schema is not None and self.json_schema.schema_ is None:
            raise refuse("Field required", "json_schema.schema")
        if self.schema_ is not None and self.type != "json_object":
            raise refuse("goes with type json_object only", "schema")
        return self

    @property
    def schema_of_answer(self) -> dict[str, Any] | None:
        """The schema, wherever it was written."""
        return self.json_schema.schema_ if self.json_schema else self.schema_


def _word_or_object(value: Any) -> str:
    return f"{TAG}object" if isinstance(value, dict) else f"{TAG}word"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag(f"{TAG}word")] | Annotated[NamedTool, Tag(f"{TAG}object")],
    Discriminator(_word_or_object),
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ChatBody(GenerationFields):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = Field(None, description="Default auto, which is none without tools.")
    parallel_tool_calls: bool | None = Field(None, description="Whether one answer may call twice. Default true.")
    response_format: ResponseFormat | None = None
    max_tokens: Annotated[int, Between(1, 2**31 - 1)] | None = Field(
        None, description="The most tokens of an answer. Default: until the context is full."
    )
    max_completion_tokens: Annotated[int, Between(1, 2**31 - 1)] | None = Field(
        None, description="OpenAI's newer name of max_tokens."
    )
    logprobs: bool | None = Field(None, description="Tell the log probability of each token. Default false.")
    top_logprobs: Annotated[int, Between(0, MAX_TOP_LOGPROBS)] | None = Field(
        None, description="How many alternatives to tell; needs logprobs: true."
    )
    reasoning_effort: Effort | None = Field(None, description="Handed to the chat template.")
    reasoning_format: Literal["auto", "none"] | None = Field(
        None, description="none leaves the reasoning in content; auto puts it into reasoning_content. Default auto."
    )
    enable_thinking: bool | None = Field(None, description="Handed to the chat template.")
    chat_template_kwargs: dict[str, Any] | None = Field(None, description="Further variables of the chat template.")
    store: bool | None = Field(None, description="Only false: nothing is stored here.")
    metadata: dict[str, str] | None = Field(None, description="Accepted, without effect.")
    service_tier: Literal["auto", "default"] | None = Field(None, description="Accepted, without effect.")
    prompt_cache_key: str | None = Field(None, description="Accepted, without effect: prefixes are found by content.")
    safety_identifier: str | None = Field(None, description="Accepted, without effect.")
    functions: Any = Field(None, deprecated=True, description="Refused: send tools.")
    function_call: Any = Field(None, deprecated=True, description="Refused: send tool_choice.")

    @field_validator("functions", "function_call")
    @classmethod
    def _has_a_successor(cls, value: Any) -> None:
        if value is not None:
            raise refuse("OpenAI replaced this field: send tools and tool_choice")

    @field_validator("store")
    @classmethod
    def _nothing_is_stored(cls, value: bool | None) -> bool | None:
        if value:
            raise refuse("nothing is stored here: send false, or leave it out")
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> ChatBody:
        self.check_shared(self.most_tokens)
        if self.top_logprobs is not None and not self.logprobs:
            raise refuse("needs logprobs: true", "top_logprobs")
        if len({self.max_tokens, self.max_completion_tokens} - {None}) > 1:
            raise refuse("differs from max_tokens: send one of them", "max_completion_tokens")
        names = [tool.function.name for tool in self.tools or ()]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise refuse(f"{name!r} is the name of another tool already", f"tools.{i}.function.name")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise refuse(_unknown_tool(self.tool_choice.function.name, names), "tool_choice.function.name")
        if self.tool_choice == "required" and not names:
            raise refuse("needs tools", "tool_choice")
        last = self.messages[-1]
        if last.role == "assistant" and last.tool_calls:
            raise refuse("must be followed by a tool message for each call", f"messages.{len(self.messages) - 1}")
        self._check_shape_of_answer()
        return self

    def _check_shape_of_answer(self) -> None:
        """One grammar rules an answer: its own, its format's or that of the tool calls."""
        has_format = self.response_format is not None and self.response_format.type != "text"
        if self.grammar is not None and has_format:
            raise refuse("cannot be combined with grammar", "response_format")
        if self.may_call and (self.grammar is not None or has_format):
            raise refuse(
                "cannot be combined with tools, whose calls have their own form: send tool_choice none or no tools",
                "grammar" if self.grammar is not None else "response_format",
            )

    @property
    def may_call(self) -> bool:
        """Whether the answer may hold tool calls."""
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def most_tokens(self) -> int | None:
        """The limit of an answer under either name."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def n_logprobs(self) -> int | None:
        """How many alternatives to tell beside each token; None when no probabilities are asked for."""
        return (self.top_logprobs or 0) if self.logprobs else None


def _unknown_tool(name: str, names: list[str]) -> str:
    return f"{name!r} is none of the tools: {', '.join(names) or 'there are none'}"
