"""Chat templates for models that bring none, by the names llama_cpp.server's chat_format knows. Sources only."""

from __future__ import annotations

from llmserver.text.errors import UnknownTemplate

_CHATML = """{% for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

_LLAMA_2 = """{% for message in messages -%}
{% if message.role == 'system' -%}
{% if not loop.first %}{{ raise_exception('The system message must come first.') }}{% endif -%}
{% elif message.role == 'user' -%}
{{ bos_token }}[INST] {% if messages[0].role == 'system' and loop.index0 == 1 %}<<SYS>>
{{ messages[0].content }}
<</SYS>>

{% endif %}{{ message.content }} [/INST]
{%- elif message.role == 'assistant' %}{{ ' ' + message.content }} {{ eos_token }}
{%- else %}{{ raise_exception('Only the roles system, user and assistant are known.') }}
{%- endif %}
{%- endfor %}"""

_LLAMA_3 = """{{ bos_token }}{% for message in messages -%}
<|start_header_id|>{{ message.role }}<|end_header_id|>

{{ message.content | trim }}<|eot_id|>
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

_GEMMA = """{{ bos_token }}{% for message in messages -%}
{% if message.role == 'system' %}{{ raise_exception('The role system is not known.') }}{% endif -%}
<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}
{{ message.content | trim }}<end_of_turn>
{% endfor -%}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

_MISTRAL_INSTRUCT = """{{ bos_token }}{% for message in messages -%}
{% if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('The roles user and assistant must take turns.') }}
{%- endif -%}
{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]
{%- else %} {{ message.content }}{{ eos_token }}
{%- endif %}
{%- endfor %}"""

_ZEPHYR = """{% for message in messages -%}
<|{{ message.role }}|>
{{ message.content }}{{ eos_token }}
{% endfor -%}
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"""

_VICUNA = """{% for message in messages -%}
{% if message.role == 'system' %}{{ message.content }} {% elif message.role == 'user' -%}
USER: {{ message.content }} {% else -%}
ASSISTANT: {{ message.content }}{{ eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"""

_ALPACA = """{% for message in messages -%}
{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}{% elif message.role == 'user' -%}
### Instruction:
{{ message.content + '\\n\\n' }}{% else -%}
### Response:
{{ message.content + eos_token + '\\n\\n' }}{% endif -%}
{% endfor -%}
{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"""

_SOURCES = {
    "chatml": _CHATML,
    "qwen": _CHATML,
    "llama-2": _LLAMA_2,
    "llama-3": _LLAMA_3,
    "gemma": _GEMMA,
    "mistral-instruct": _MISTRAL_INSTRUCT,
    "zephyr": _ZEPHYR,
    "vicuna": _VICUNA,
    "alpaca": _ALPACA,
}
NAMES = tuple(_SOURCES)


def builtin(name: str) -> str:
    """The jinja source of a named template; the error lists the names."""
    if name not in _SOURCES:
        raise UnknownTemplate(f"no chat template is called {name!r}: known are {', '.join(NAMES)}", param="chat_format")
    return _SOURCES[name]
