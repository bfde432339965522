"""What chat templates of known models do: parts of the language that must come out as jinja2 itself writes them."""

from __future__ import annotations

# ruff: noqa: E501  # a line break in a template is text

SAME_AS_JINJA = [
    "{{ bos_token }}{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ m.role }}: {{ m['content'] }};"
    "{% if not loop.last %}{{ loop.nextitem.role }}{% endif %}{% endfor %}",
    "{% for m in messages if m.role == 'user' %}{{ loop.first }}{{ m.content | trim }}{% else %}none{% endfor %}",
    "{% set ns = namespace(n=0, seen=false) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
    "{{ ns.seen }}{{ ns['n'] }}{{ ns.none is defined }}",
    "{% macro say(a, b='x', c=none) -%}{{ a }}{{ b }}{{ c is none }}{{ varargs }}{{ kwargs }}{%- endmacro %}"
    "{{ say(1) }}{{ say(1, c=2) }}{{ say(1, 2, 3, 4, d=5) }}{{ say.name }}",
    "{% macro f() %}<{{ caller('x') }}>{% endmacro %}{% call(a) f() %}{{ a * 2 }}{% endcall %}",
    "{% set x %}a{{ n }}{% endset %}{{ x }}{{ x | length }}{% set y | upper %}b{{ n }}{% endset %}{{ y }}",
    "{% filter upper %}a{{ text }}{% endfilter %}{% with a = n, b = 2 %}{{ a + b }}{% endwith %}",
    "{% for m in messages recursive %}{{ m.role }}{% if loop.depth < 2 %}{{ loop([m]) }}{% endif %}{% endfor %}",
    "{% for i in range(3) %}{% for c in 'ab' %}{{ loop.index0 }}{{ loop.changed(i) }}{{ loop.cycle(1, 2) }}{% endfor %}"
    "{% endfor %}",
    "{{ 1 if n > 3 else 2 }}{{ 1 if n > 9 }}{{ n is odd }}{{ n is divisibleby 7 }}{{ 3 < n <= 7 }}{{ 'a' not in text }}",
    "{{ n + 1 }}{{ n - 1.5 }}{{ n * 2 }}{{ n / 2 }}{{ n // 2 }}{{ n % 4 }}{{ n ** 2 }}{{ -n }}{{ 'a' * 3 }}{{ [1] + [2] }}",
    "{{ 'a' ~ n ~ none ~ [1, 'b'] ~ {'k': 1.5} ~ missing }}{{ (1, 'a') }}{{ true }}{{ none }}{{ 1.0 }}{{ missing }}",
    "{{ messages[-1].role }}{{ messages[:1] }}{{ text[1:-1] }}{{ text[::2] }}",
    "{{ text.upper() }}{{ text.split('_') }}{{ text.split(' ', 1)[0] }}{{ text.replace('o', '0') }}{{ text.title() }}"
    "{{ text.startswith('one') }}{{ text.startswith(('x', 'one')) }}{{ ' a '.strip() }}{{ 'xax'.strip('x') }}{{ text.find('t') }}"
    "{{ ','.join(['a', 'b']) }}{{ 'a'.center(5) }}{{ 'ab'.rjust(4, '.') }}{{ '7'.zfill(3) }}{{ text.partition(' ') }}"
    "{{ 'a\nb'.splitlines() }}{{ text.rsplit('_', 1)[-1] }}{{ 'abc'.removeprefix('a') }}{{ text.count('o') }}",
    "{{ '%s-%d-%.2f-%5s-%%' % ('a', 3, 1.5, 'b') }}{{ '%(a)s' % {'a': 1} }}{{ '%s' | format('x') }}"
    "{{ '{0} {1:>4} {k!r}'.format(1, 2, k='v') }}{{ '{}{}'.format(1, 'b') }}",
    "{{ messages[0].get('role') }}{{ messages[0].get('x', 'd') }}{% for k, v in messages[0].items() %}{{ k }}={{ v }}{% endfor %}"
    "{% for k in messages[0] %}{{ k }}{% endfor %}{{ messages[0].keys() | list }}{{ messages[0].values() | list }}",
    "{{ messages | length }}{{ messages | map(attribute='role') | join(', ') }}{{ ['b', 'A'] | sort }}{{ [3, 1] | sort(reverse=true) }}"
    "{{ messages | selectattr('role', 'equalto', 'user') | list }}{{ messages | rejectattr('role', 'eq', 'user') | list | length }}"
    "{{ ['a', 'B', 'A'] | unique | list }}{{ [1, 2, 3] | select('odd') | list }}{{ ['x', ''] | select | list }}{{ [1, none] | reject('none') | list }}",
    "{{ text | upper }}{{ text | title }}{{ text | capitalize }}{{ ' a ' | trim }}{{ text | replace('o', '0') }}{{ text | replace('o', '0', 1) }}"
    "{{ text | length }}{{ text | first }}{{ text | last }}{{ text | reverse }}{{ text | string }}{{ 'a<b' | e }}",
    "{{ messages[1].content | indent }}|{{ messages[1].content | indent(2, true) }}|{{ messages[1].content | indent(2, blank=true) }}"
    "|{{ 'a\n' | indent('> ') }}|{{ '' | indent }}",
    "{{ '12' | int }}{{ 'x' | int }}{{ '0x1A' | int(0, 16) }}{{ '1.9' | int }}{{ '1.5' | float }}{{ 'x' | float(2.5) }}{{ 2.567 | round(2) }}"
    "{{ 2.1 | round(0, 'ceil') }}{{ -3 | abs }}{{ [1, 5, 2] | max }}{{ ['b', 'A'] | min }}{{ [1, 2] | sum }}",
    "{{ missing | default('d') }}{{ '' | default('d') }}{{ '' | d('d', true) }}{{ none | default('d') }}{{ missing is defined }}"
    "{{ [] | first is defined }}{{ {'b': 1, 'A': 2} | dictsort }}{{ {'a': 1} | items | list }}",
    "{{ tools is mapping }}{{ tools is sequence }}{{ tools is iterable }}{{ text is string }}{{ n is number }}{{ n is integer }}"
    "{{ 1.5 is float }}{{ true is boolean }}{{ none is none }}{{ 'a' is in 'abc' }}{{ 1 is eq 1 }}{{ n is gt 3 }}{{ range is callable }}",
    "{% set l = [] %}{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}{{ l }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }}{% endfor %}{{ dict(a=1) }}{{ dict({'b': 2}, c=3) }}",
    "{% set sep = joiner(', ') %}{% for i in range(3) %}{{ sep() }}{{ i }}{% endfor %}{{ joiner()() }}",
    "{%- if tools %}\n  {{- 'x' }}\n  {% endif %}\n{# no #}\n{% raw %}{{ no }}{% endraw %}\n line\n",
    "{{ {'a': 1, n: 2, (1, 2): 3} }}{{ {'a': {'b': [1]}}.a.b[0] }}{{ messages.0.role }}{{ {'items': 1}['items'] }}",
]  # fmt: skip
