"""How model families spell thoughts and tool calls, as data: one row a family, read by the parser and the grammars.

It decides which family a chat template belongs to, by marks in its source; it parses and writes nothing itself.
"""

# ruff: noqa: RUF001  # DeepSeek spells its markers with full-width bars
from __future__ import annotations

import dataclasses
from dataclasses import dataclass

_NAME = r"(?P<name>[\w./-]{1,128})"


@dataclass(frozen=True)
class Thought:
    """Tags around reasoning. `gap` is what the model writes between the closing tag and its answer."""

    open: str
    close: str
    gap: str = ""
    anywhere: bool = False


@dataclass(frozen=True)
class Layout:
    """A block of calls as the family was trained to write it: open (before NAME middle ARGUMENTS after)... close."""

    before: str
    middle: str
    after: str = ""
    open: str = ""
    between: str = ""
    close: str = ""


@dataclass(frozen=True)
class Tags:
    """Calls whose arguments are tags and not JSON: call_open NAME name_end, then parameters, then call_close."""

    call_open: str
    name_end: str
    key_open: str
    key_end: str
    value_open: str
    value_end: str
    call_close: str


@dataclass(frozen=True)
class CallSyntax:
    """What calls look like in an answer.

    `begin` opens a block, one of `openers` each call in it, `closers` may follow a call, `end` closes the block.
    A call is a JSON object with name and arguments; or, with `header`, a regular expression for the text before the
    arguments' "{"; or `tags`. `is_bare`: an answer may begin with the JSON object itself.
    """

    begin: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    openers: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    header: str = ""
    tags: Tags | None = None
    is_bare: bool = False
    layout: Layout | None = None


@dataclass(frozen=True)
class Family:
    """One way to write answers. `marks` are texts that all occur in the source of its chat templates."""

    name: str
    marks: tuple[str, ...]
    calls: CallSyntax
    thought: Thought = Thought("<think>", "</think>")
    noise: tuple[str, ...] = ()
    also_special: tuple[str, ...] = ()
    content_open: str = ""  # what it writes before the text that the user sees
    call_ids: str = ""  # the form its template demands: "short" (nine letters), "numbered" (functions.name:0)

    @property
    def specials(self) -> tuple[str, ...]:
        """Texts that must survive detokenising even where they are special tokens."""
        calls, thought = self.calls, self.thought
        texts = (*calls.begin, *calls.end, *calls.openers, *calls.closers, thought.open, thought.close)
        return tuple(dict.fromkeys((*texts, *self.noise, *self.also_special)))

    def opens_thought(self, prompt: str) -> bool:
        """Whether the answer to this prompt starts inside reasoning, the prompt having opened it."""
        return prompt.rstrip().endswith(self.thought.open)


THOUGHTS = (
    Thought("[THINK]", "[/THINK]"),
    Thought("<reasoning>", "</reasoning>"),
    Thought("<thought>", "</thought>"),
    Thought("<seed:think>", "</seed:think>"),
    Thought("<|START_THINKING|>", "<|END_THINKING|>"),
    Thought("<think>", "</think>"),
)

_OBJECT = '{"name": "'
_ARGUMENTS = '", "arguments": '
_HERMES = Layout('<tool_call>\n{"name": "', _ARGUMENTS, "}\n</tool_call>", between="\n")

GENERIC = Family("generic", (), CallSyntax(begin=("<tool_call>",), end=("</tool_call>",), is_bare=True, layout=_HERMES))

HARMONY = Family(
    "harmony",
    ("<|channel|>", "<|message|>"),
    CallSyntax(
        begin=(
            "<|channel|>commentary to=functions.",
            "<|channel|>analysis to=functions.",
            "to=functions.",  # the prompt, or <|start|>assistant, stands before it
        ),
        end=("<|call|>", "<|end|>"),
        header=_NAME + r"(?:<\|channel\|>\w+)?\s*(?:<\|constrain\|>)?\s*(?:json)?\s*<\|message\|>\s*",
        layout=Layout("<|channel|>commentary to=functions.", " <|constrain|>json<|message|>"),
    ),
    Thought("<|channel|>analysis<|message|>", "<|end|>", gap="<|start|>assistant", anywhere=True),
    noise=(
        "<|channel|>final<|message|>",
        "<|channel|>commentary<|message|>",
        "<|start|>assistant",
        "<|end|>",
        "<|return|>",
    ),
    content_open="<|channel|>final<|message|>",
    also_special=("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"),
)

DEEPSEEK = Family(
    "deepseek",
    ("<｜tool▁calls▁begin｜>",),
    CallSyntax(
        begin=("<｜tool▁calls▁begin｜>",),
        end=("<｜tool▁calls▁end｜>",),
        openers=("<｜tool▁call▁begin｜>",),
        closers=("```", "<｜tool▁call▁end｜>"),
        header=rf"\s*(?:function<｜tool▁sep｜>)?{_NAME}(?:<｜tool▁sep｜>)?\s*(?:```(?:json)?)?\s*",
        layout=Layout(
            "<｜tool▁call▁begin｜>",
            "<｜tool▁sep｜>",
            "<｜tool▁call▁end｜>",
            open="<｜tool▁calls▁begin｜>",
            close="<｜tool▁calls▁end｜>",
        ),
    ),
    also_special=("<｜tool▁sep｜>",),
)
# R1 and V3 before 3.1 write the word function and a fence around the arguments.
DEEPSEEK_R1 = dataclasses.replace(
    DEEPSEEK,
    name="deepseek-r1",
    marks=("<｜tool▁calls▁begin｜>", "```json"),
    calls=dataclasses.replace(
        DEEPSEEK.calls,
        layout=Layout(
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
            "\n```json\n",
            "\n```<｜tool▁call▁end｜>",
            open="<｜tool▁calls▁begin｜>",
            between="\n",
            close="<｜tool▁calls▁end｜>",
        ),
    ),
)

KIMI = Family(
    "kimi",
    ("<|tool_calls_section_begin|>",),
    CallSyntax(
        begin=("<|tool_calls_section_begin|>",),
        end=("<|tool_calls_section_end|>",),
        openers=("<|tool_call_begin|>",),
        closers=("<|tool_call_end|>",),
        header=rf"\s*(?:functions\.)?{_NAME}(?::\d+)?\s*<\|tool_call_argument_begin\|>\s*",
        layout=Layout(
            "<|tool_call_begin|>functions.",
            ":0<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
            open="<|tool_calls_section_begin|>",
            close="<|tool_calls_section_end|>",
        ),
    ),
    also_special=("<|tool_call_argument_begin|>",),
    call_ids="numbered",
)

_MISTRAL_HEADER = rf"\s*{_NAME}(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s*"
MISTRAL = Family(
    "mistral",
    ("[TOOL_CALLS]",),
    CallSyntax(
        begin=("[TOOL_CALLS]",),
        header=_MISTRAL_HEADER,
        layout=Layout(_OBJECT, _ARGUMENTS, "}", open="[TOOL_CALLS][", between=", ", close="]"),
    ),
    call_ids="short",
)
MISTRAL_ARGS = Family(
    "mistral-args",
    ("[TOOL_CALLS]", "[ARGS]"),
    CallSyntax(begin=("[TOOL_CALLS]",), header=_MISTRAL_HEADER, layout=Layout("[TOOL_CALLS]", "[ARGS]")),
    also_special=("[ARGS]", "[CALL_ID]"),
    call_ids="short",
)

QWEN_CODER = Family(
    "qwen-coder",
    ("<function=", "<parameter="),
    CallSyntax(
        begin=("<tool_call>", "<seed:tool_call>", "<function="),  # Qwen3-Coder forgets the outer tag
        end=("</tool_call>", "</seed:tool_call>"),
        tags=Tags("<function=", ">", "<parameter=", ">", "", "</parameter>", "</function>"),
    ),
)
GLM = Family(
    "glm",
    ("<arg_key>", "<arg_value>"),
    CallSyntax(
        begin=("<tool_call>",),
        end=("</tool_call>",),
        tags=Tags("", "\n", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", ""),
    ),
)
FUNCTION_TAG = Family(
    "function-tag",
    ("<function=",),
    CallSyntax(
        begin=("<function=",),
        end=("</function>",),
        header=rf"{_NAME}>\s*",
        layout=Layout("<function=", ">", "</function>"),
    ),
)


def _list(name: str, mark: str, end: tuple[str, ...], is_bare: bool = False) -> Family:
    layout = Layout(_OBJECT, _ARGUMENTS, "}", open=f"{mark}[", between=", ", close="]" + (end[0] if end else ""))
    return Family(name, (mark,), CallSyntax(begin=(mark,), end=end, is_bare=is_bare, layout=layout))


COMMAND_R = Family(
    "command-r7b",
    ("<|START_ACTION|>",),
    CallSyntax(
        begin=("<|START_ACTION|>",),
        end=("<|END_ACTION|>",),
        layout=Layout(
            '{"tool_call_id": "0", "tool_name": "',
            '", "parameters": ',
            "}",
            open="<|START_ACTION|>[",
            between=", ",
            close="]<|END_ACTION|>",
        ),
    ),
    Thought("<|START_THINKING|>", "<|END_THINKING|>"),
    noise=("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    content_open="<|START_RESPONSE|>",
)
HERMES = Family("hermes", ("<tool_call>",), CallSyntax(begin=("<tool_call>",), end=("</tool_call>",), layout=_HERMES))
LLAMA3 = Family(
    "llama-3",
    ("<|start_header_id|>", '"parameters"'),
    CallSyntax(begin=("<|python_tag|>",), is_bare=True, layout=Layout(_OBJECT, '", "parameters": ', "}")),
)

# The first whose marks all occur wins: the particular before the general.
FAMILIES = (
    HARMONY,
    DEEPSEEK_R1,
    DEEPSEEK,
    KIMI,
    MISTRAL_ARGS,
    MISTRAL,
    QWEN_CODER,
    GLM,
    COMMAND_R,
    FUNCTION_TAG,
    _list("token-list", "<|tool_call|>", ("<|/tool_call|>",)),
    _list("apriel", "<tool_calls>", ("</tool_calls>",)),
    _list("nemotron", "<TOOLCALL>", ("</TOOLCALL>",)),
    _list("firefunction", "functools", ()),
    HERMES,
    LLAMA3,
)


def recognise(source: str) -> Family:
    """The family of a chat template; GENERIC where no marks are known."""
    family = next((one for one in FAMILIES if all(mark in source for mark in one.marks)), GENERIC)
    if family in (HARMONY, COMMAND_R):
        return family
    thought = next((one for one in THOUGHTS if one.open in source), family.thought)
    return dataclasses.replace(family, thought=thought)
