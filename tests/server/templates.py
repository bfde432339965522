"""Short chat templates that behave like those of well-known models. Written for these tests."""

from __future__ import annotations

# ruff: noqa: E501, RUF001  # a line break in a template is text; DeepSeek writes full-width bars

# Chatml, tools in the system message, calls in tags, results from the user, thinking that can be switched off.
QWEN3 = """{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif -%}
<tools>{% for tool in tools %}{{ '\\n' ~ (tool | tojson) }}{% endfor %}
</tools> Answer with <tool_call></tool_call>.<|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif -%}
{% for message in messages -%}
{% if message.role == 'user' or (message.role == 'system' and not loop.first) -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% elif message.role == 'assistant' -%}
<|im_start|>assistant
{{ message.content.split('</think>')[-1].lstrip('\\n') }}
{%- for call in message.tool_calls or [] %}
{%- set call = call.function if call.function else call %}
<tool_call>
{"name": "{{ call.name }}", "arguments": {% if call.arguments is string %}{{ call.arguments }}{% else %}{{ call.arguments | tojson }}{% endif %}}
</tool_call>
{%- endfor %}<|im_end|>
{% elif message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% endif -%}
{% endfor -%}
{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"""

# One call a message, arguments must be an object, a date from the clock, tools in the first user message.
LLAMA31 = """{{- bos_token }}
{%- set ns = namespace(tools_said=false) %}
{%- for message in messages %}
{%- if message.tool_calls %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}
{%- set call = message.tool_calls[0].function %}<|start_header_id|>assistant<|end_header_id|>

{"name": "{{ call.name }}", "parameters": {{ call.arguments | tojson }}}<|eot_id|>
{%- elif message.role in ['tool', 'ipython'] %}<|start_header_id|>ipython<|end_header_id|>

{{ message.content | tojson if message.content is mapping else message.content }}<|eot_id|>
{%- else %}<|start_header_id|>{{ message.role }}<|end_header_id|>

{% if message.role == 'system' %}Today Date: {{ strftime_now('%d %b %Y') }}

{% endif %}
{%- if tools and message.role == 'user' and not ns.tools_said %}
{%- set ns.tools_said = true %}
{%- for tool in tools %}{{ tool | tojson(indent=4) }}

{% endfor %}
{%- endif %}
{{- message.content | trim }}<|eot_id|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

# Strict turns, nine-letter ids, no system message of its own but one at the start.
MISTRAL = """{{- bos_token }}
{%- set rest = messages[1:] if messages[0].role == 'system' else messages %}
{%- set ns = namespace(users=0) %}
{%- for message in rest %}
{%- if message.role == 'user' or (message.role == 'assistant' and not message.tool_calls) %}
{%- if (message.role == 'user') != (ns.users % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- set ns.users = ns.users + 1 %}
{%- elif message.role == 'system' %}{{ raise_exception('Only user and assistant roles are supported!') }}
{%- endif %}
{%- endfor %}
{%- for message in rest %}
{%- if message.role == 'user' %}
{%- if tools and loop.last %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}[INST]
{%- if loop.last and messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}
{{- message.content }}[/INST]
{%- elif message.tool_calls %}[TOOL_CALLS][
{%- for call in message.tool_calls %}
{%- if call.id is not defined or call.id | length != 9 %}{{ raise_exception('ids must have length 9') }}{% endif %}
{{- {'name': call.function.name, 'arguments': call.function.arguments, 'id': call.id} | tojson }}
{%- if not loop.last %}, {% endif %}
{%- endfor %}]{{ eos_token }}
{%- elif message.role == 'tool' %}[TOOL_RESULTS]{"content": {{ message.content }}, "call_id": "{{ message.tool_call_id }}"}[/TOOL_RESULTS]
{%- else %}{{ message.content }}{{ eos_token }}
{%- endif %}
{%- endfor %}"""

# No system role, strict turns, the assistant is called model.
GEMMA = """{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' + message.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

# The prompt opens the thought itself; calls with a fence; arguments must be text; tools are never shown.
DEEPSEEK = """{{ bos_token }}{% for message in messages if message.role == 'system' %}{{ message.content }}{% endfor %}
{%- for message in messages %}
{%- if message.role == 'user' %}{{ '<｜User｜>' + message.content }}
{%- elif message.role == 'assistant' and message.tool_calls %}{{ '<｜Assistant｜>' + message.content + '<｜tool▁calls▁begin｜>' }}
{%- for call in message.tool_calls %}{{ '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + call.function.name + '\\n```json\\n' + call.function.arguments + '\\n```<｜tool▁call▁end｜>' }}{% endfor %}
{{- '<｜tool▁calls▁end｜>' + eos_token }}
{%- elif message.role == 'assistant' %}{{ '<｜Assistant｜>' + message.content + eos_token }}
{%- elif message.role == 'tool' %}{{ '<｜tool▁output▁begin｜>' + message.content + '<｜tool▁output▁end｜>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"""

# Content must be a list of parts.
PARTS = """{% for message in messages %}[{{ message.role }}]{% for part in message.content %}
{%- if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}
{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"""
