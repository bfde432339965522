"""Chat templates that somebody wrote to hang, to crash or to break out, and the parts that make more of them."""

from __future__ import annotations

import random

# ruff: noqa: E501  # a line break in a template is text

DEEP = "{% set ns = namespace(x=['a']) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
NESTED = "{% set ns = namespace(x=('a',)) %}{% for i in range(90000) %}{% set ns.x = (ns.x,) %}{% endfor %}"
ITSELF = "{% set x = [1] %}{% set _ = x.append(x) %}"
LONG = "{% set long = 'ab' * 2000000 %}"
# Never ends but by the clock: each round is short, and there are few steps.
SLOW = LONG + "{% for i in range(99999) %}{% if long.count('ba') %}{% endif %}{% endfor %}"

# Each is refused when it is rendered.
REFUSED = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by item": "{{ ''['__class__']['__mro__'] }}",
    "class by filter": "{{ (x | attr('__class__')).mro() }}",
    "class by map": "{{ (['a'] | map(attribute='__class__') | list)[0].mro() }}",
    "class by sort": "{{ ['a'] | sort(attribute='__class__.__name__') }}{{ 1 / 0 }}",
    "class by format": "{{ '{0.__class__}'.format(1) }}",
    "item by format": "{{ '{0[0]}'.format('abc') }}",
    "format_map": "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "globals": "{{ raise_exception.__globals__['os'] }}",
    "function's code": "{{ range.__code__.co_code }}",
    "macro's function": "{% macro m() %}{% endmacro %}{{ m._func.__globals__.x }}",
    "macro's environment": "{% macro m() %}{% endmacro %}{{ m._environment.globals }}",
    "loop's class": "{% for a in 'a' %}{{ loop.undefined.x }}{% endfor %}",
    "self's context": "{{ self._TemplateReference__context.environment }}",
    "namespace's attributes": "{% set ns = namespace(a=1) %}{{ ns.__init__.__globals__ }}",
    "generator's frame": "{{ (['a'] | map('upper')).gi_frame.f_globals }}",
    "dict's class": "{{ dict.fromkeys(range(9)) }}",
    "number's class": "{{ (1).to_bytes(9999999999, 'big') }}",
    "clear": "{{ messages.clear() }}",
    "update": "{{ messages[0].update(role='system') }}",
    "zero": "{{ 1 / 0 }}",
    "undefined": "{{ missing.attribute.of.nothing }}",
    "types": "{{ 'a' + 1 }}",
    "call a text": "{{ 'a'() }}",
    "own filter": "{{ ['a'] | map(' counted') | list }}",
    "own budget": "{% set budget = 1 %}{% for i in range(99999) %}{% for i in range(9) %}{% endfor %}{% endfor %}",
    "repeat": "{{ 'ab' * 100000000000 }}",
    "repeat a list": "{{ [1] * 100000000000 }}",
    "repeat from the left": "{{ 100000000000 * 'ab' }}",
    "power": "{{ 10 ** 1000 ** 10 }}",
    "power by steps": "{% set ns = namespace(n=9) %}{% for i in range(9) %}{% set ns.n = ns.n ** 64 %}{% endfor %}",
    "product": "{% set ns = namespace(n=9) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "digits": "{{ 0x" + "f" * 3000 + " * 0x" + "f" * 3000 + " }}",
    "binary digits": "{{ ('1' * 900000) | int(missing, 2) ** 2 }}",
    "wide %": "{{ '%1000000000d' % 5 }}",
    "wide % by argument": "{{ '%*d' % (1000000000, 5) }}",
    "wide % filter": "{{ '%1000000000d' | format(5) }}",
    "precise %": "{{ '%.1000000000f' % 5 }}",
    "repeated %": LONG + "{{ ('%(a)s' * 1000) % {'a': long} }}",
    "%r": "{{ '%r' % 'x' }}",
    "wide format": "{{ '{:>1000000000}'.format(1) }}",
    "wide format by argument": "{{ '{:{}}'.format(1, 1000000000) }}",
    "repeated format": LONG + "{{ ('{0}' * 3000).format(long) }}",
    "center": "{{ 'a'.center(1000000000) }}",
    "ljust": "{{ 'a'.ljust(1000000000) }}",
    "zfill": "{{ 'a'.zfill(1000000000) }}",
    "expandtabs": "{{ '\\t'.expandtabs(1000000000) }}",
    "translate": "{{ 'a'.translate({97: 'b'}) }}",
    "encode": "{{ 'a'.encode('utf-8') }}",
    "replace": LONG + "{{ long.replace('a', long) }}",
    "replace filter": LONG + "{{ long | replace('', long) }}",
    "join": LONG + "{{ long.join(long) }}",
    "join filter": LONG + "{{ [1, 2, 3, 4, 5, 6, 7] | join(long) }}",
    "split": LONG + "{{ long.split('a') }}",
    "splitlines": "{{ ('\\n' * 5000000).splitlines() | length }}",
    "characters": LONG + "{{ long | list | length }}",
    "rfind": "{{ ('a' * 7000000).rfind('ab' + 'a' * 4000000) }}",
    "strip": "{{ ('b' * 7000000).strip('a' * 4000000 + 'b') }}",
    "indent": "{{ ('a\\n' * 1000) | indent(1000000000) }}",
    "indent by text": LONG + "{{ ('a\\n' * 1000) | indent(long) }}",
    "json indented": "{{ {'a': 1} | tojson(indent=1000000000) }}",
    "json separated": LONG + "{{ range(99999) | list | tojson(separators=(long, long)) }}",
    "json of itself": ITSELF + "{{ x | tojson }}",
    "json of much": DEEP + "{{ ns.x | tojson }}",
    "json of a macro": "{% macro m() %}{% endmacro %}{{ m | tojson }}",
    "json with a function": "{{ {'a': 1} | tojson(default=raise_exception) }}",
    "text of itself": ITSELF + "{{ x }}",
    "text of much": DEEP + "{{ ns.x }}",
    "joined text of much": DEEP + "{{ 'a' ~ ns.x }}",
    "text in a namespace": "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x }}{{ 1 / 0 }}",
    "compare itself": ITSELF + "{% set y = [1] %}{% set _ = y.append(y) %}{{ x == y }}",
    "compare much": DEEP.replace("ns", "a") + DEEP.replace("ns", "b") + "{{ a.x == b.x }}",
    "compare much by test": DEEP.replace("ns", "a") + DEEP.replace("ns", "b") + "{{ a.x is eq b.x }}",
    "find in much": DEEP.replace("ns", "a") + DEEP.replace("ns", "b") + "{{ a.x in [b.x] }}",
    "sort much": DEEP.replace("ns", "a") + DEEP.replace("ns", "b") + "{{ [a.x, b.x] | sort }}",
    "hash much": DEEP.replace("[ns.x, ns.x]", "(ns.x, ns.x)").replace("['a']", "'a'") + "{{ {}[ns.x] }}",
    "key of much": DEEP.replace("[ns.x, ns.x]", "(ns.x, ns.x)").replace("['a']", "'a'") + "{{ {ns.x: 1} }}",
    "hash of depth": NESTED + "{{ {ns.x: 1} }}",
    "get of depth": NESTED + "{{ {}.get(ns.x) }}",
    "text of depth": NESTED + "{{ ns.x }}",
    "changed": DEEP + "{% for i in 'ab' %}{% if loop.changed(ns.x) %}{% endif %}{% endfor %}",
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loop over text": "{% for a in range(99999) %}{% for b in messages[0].content * 1000 %}{% endfor %}{% endfor %}",
    "range": "{{ range(10 ** 12) | list }}",
    "recursion": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "tree": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
    "caller": "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}"
    "{% endmacro %}{{ g() }}",
    "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "output": "{% for a in range(99999) %}{{ 'x' * 100000 }}{% endfor %}",
    "doubling": "{% set ns = namespace(s='x' * 1000) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "doubling by ~": "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "doubling a list": "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "hoarding": LONG + "{% set l = [] %}{% for i in range(9999) %}{% set _ = l.append(long ~ i) %}{% endfor %}",
    "hoarding slices": LONG + "{% set l = [] %}{% for i in range(9999) %}{% set _ = l.append(long[1:]) %}{% endfor %}",
    "hoarding blocks": LONG + "{% set l = [] %}{% for i in range(9999) %}{% set s %}{{ long }}.{% endset %}"
    "{% set _ = l.append(s) %}{% endfor %}",
    "hoarding lists": "{% set l = [] %}{% for i in range(9999) %}{% set _ = l.append([i] * 99999) %}{% endfor %}",
    "sum of lists": "{% set l = [[1] * 9999] * 9999 %}{{ l | sum(start=[]) }}",
    "lipsum": "{{ lipsum(n=1000000000) }}",
    "round": "{{ 1.5 | round(1000000000, 'ceil') }}",
    "date": "{{ strftime_now('%Y' * 100000) }}",
    "clock": SLOW,
}

# Each is refused when it is compiled.
NOT_COMPILED = {
    "too long": "x" * 50_000_000,
    "brackets": "{{ " + "(" * 60_000 + "1" + ")" * 60_000 + " }}",
    "some brackets": "{{ " + "(" * 300 + "1" + ")" * 300 + " }}",
    "lists": "{{ " + "[" * 60_000 + "]" * 60_000 + " }}",
    "conditions": "{% if 1 %}" * 5_000 + "{% endif %}" * 5_000,
    "branches": "{% if 1 %}" + "{% elif 1 %}" * 3_000 + "{% endif %}",
    "loops": "{% for a in b %}" * 18 + "{% endfor %}" * 18,
    "sum": "{{ 1" + " + 1" * 3_000 + " }}",
    "not": "{{ " + "not " * 5_000 + "1 }}",
    "attributes": "{{ a" + ".a" * 5_000 + " }}",
    "filters": "{{ a" + "|e" * 5_000 + " }}",
    "many names": "".join(f"{{% if a{i} %}}{{% set b{i} = 1 %}}{{% endif %}}" for i in range(600)),
    "many parts": "{{ [" + "1," * 26_000 + "] }}",
    "much code": "{{a}}x" * 10_000,
    "many macros in a loop": "{% for i in range(9) %}{% macro m() %}{% endmacro %}{% endfor %}",
    "a long number": "{{ " + "9" * 100_000 + " }}",
    "a long hexadecimal number": "{{ 0x" + "f" * 100_000 + " }}",
    "include": "{% include 'x' %}",
    "import": "{% import 'x' as x %}",
    "extends": "{% extends 'x' %}",
    "block": "{% block x %}{% endblock %}",
    "autoescape": "{% autoescape true %}{% endautoescape %}",
    "no such filter": "{{ x | no_such_filter }}",
    "urlize": "{{ 'x' | urlize }}",
    "not closed": "{% if %}",
    "NUL": "{{ a\0b }}",
}

# What random templates are made of: values, then filters, tests and statements around them.
VALUES = (
    *("1", "0", "-1", "2.5", "10**9", "99999", "none", "true", "'a'", "'%s'", "'{}'", "'ab\\n' * 99", "messages"),
    *("messages[0]", "messages[0].content", "[]", "{}", "[1, 'b']", "(1, (2,))", "{'a': [1]}", "range(99)", "missing"),
    *("ns", "ns.x", "x", "m", "loop", "self", "caller", "varargs", "range", "dict", "namespace", "joiner", "tools"),
    *("bos_token", "strftime_now", "raise_exception", "x.append", "''.join", "[x, x]", "(ns.x, ns.x)", "m()", "x[1:]"),
)
FILTERS = (
    *("abs", "attr('__class__')", "capitalize", "count", "d(1)", "default('a')", "dictsort", "e", "first", "float"),
    *("format(1)", "indent", "indent(99)", "int", "items", "join", "join('ab')", "last", "length", "list", "lower"),
    *("map('upper')", "map(attribute='role')", "map('list')", "max", "min", "reject", "replace('a', 'bb')", "reverse"),
    *("round", "safe", "select('string')", "selectattr('role')", "sort", "string", "sum", "title", "tojson"),
    *("tojson(indent=2)", "trim", "unique", "upper", "map('no_such')", "replace('', 'abc')"),
)
TESTS = (
    "defined",
    "string",
    "mapping",
    "sequence",
    "iterable",
    "even",
    "eq 1",
    "in 'abc'",
    "sameas x",
    "lower",
    "gt 'a'",
)
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or")
METHODS = (
    *("append(x)", "append(ns.x)", "pop()", "pop(0)", "get('a')", "get(x)", "items()", "keys()", "values()", "upper()"),
    *("split()", "split('a')", "replace('a', x)", "join(x)", "format(x)", "center(99)", "strip(x)", "count(x)"),
    *("__class__", "mro()", "clear()", "update(x)", "copy()", "index(x)", "startswith(x)", "encode()", "gi_frame"),
)
STATEMENTS = (
    *("{{{{ {a} }}}}", "{{% set x = {a} %}}", "{{% set ns.x = {a} %}}", "{{% set ns = {a} %}}"),
    *("{{% for i in {a} %}}{b}{{% endfor %}}", "{{% for i in {a} recursive %}}{{{{ loop({c}) }}}}{{% endfor %}}"),
    *("{{% if {a} %}}{b}{{% else %}}{b}{{% endif %}}", "{{% macro m(y={a}) %}}{b}{{% endmacro %}}"),
    *(
        "{{% set x %}}{b}{{% endset %}}",
        "{{% call m({a}) %}}{b}{{% endcall %}}",
        "{{% filter upper %}}{b}{{% endfilter %}}",
    ),
    *("{{% for i in range(99999) %}}{b}{{% endfor %}}", "{{% set _ = x.append({a}) %}}", "{{% set x = [{a}, {c}] %}}"),
    *(
        "{{% with y = {a} %}}{b}{{% endwith %}}",
        "{{% generation %}}{b}{{% endgeneration %}}",
        "{{# #}}",
    ),
    *("{{% set x, y = {a} %}}", "{{{{ {a}[{c}] }}}}", "{{{{ {a}({c}) }}}}", "{{{{ x }}}}", "{{% set x = x + x %}}"),
)
BROKEN = ("{% if 1 %}", "{{ x ", "{% endfor %}", "{{ x | no_such }}", "{% break %}", "{% include 'x' %}", "{{ 'x }}")


def made_of_parts(seed: int) -> str:
    """A template of the parts above, most of them well-formed."""
    chosen = random.Random(seed)  # noqa: S311
    starts = (ITSELF, DEEP, LONG + "{% set x = long %}", "{% set x = 'ab' %}", "")

    def value(depth: int) -> str:
        said = chosen.choice(VALUES)
        for _ in range(chosen.randrange(3) if depth else 0):
            ways = (
                f"{said} | {chosen.choice(FILTERS)}",
                f"({said}) is {chosen.choice(TESTS)}",
                f"({said}) {chosen.choice(OPERATORS)} ({value(depth - 1)})",
                f"({said}).{chosen.choice(METHODS)}",
            )
            said = chosen.choice(ways)
        return said

    def body(depth: int) -> str:
        parts = []
        for _ in range(chosen.randrange(1, 4)):
            inner = body(depth - 1) if depth else "x"
            parts.append(chosen.choice(STATEMENTS).format(a=value(2), b=inner, c=value(1)))
        return "".join(parts)

    begin = "{% set ns = namespace(x=1) %}{% set x = [2] %}{% macro m(y) %}{{ y }}{% endmacro %}"
    broken = chosen.choice(BROKEN) if chosen.random() < 0.1 else ""
    return begin + chosen.choice(starts) + body(2) + broken
