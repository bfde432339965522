"""What a citation mark is, as the server and the page both have it: one table for the tests of both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """An answer with one passage, 1. text: as it is kept; n_marks: how many marks are in it; code: what stays so."""

    answer: str
    text: str
    n_marks: int = 0
    code: str = ""


def same(answer: str, n_marks: int = 0, code: str = "") -> Case:
    """An answer that is kept as it was written."""
    return Case(answer, answer, n_marks, code)


CASES = {
    "plain": same("Shorn in spring [1].", 1),
    "several": Case("Shorn [1, 9] in [9] spring [9; 8].", "Shorn [1] in spring.", 1),
    "behind a stop": Case("Shorn in spring.[1] So.", "Shorn in spring. [1] So.", 1),
    "behind a word": same("It drinks water[1]. So.", 1),
    "behind a word in another script": Case("水[9]。水[1]。", "水。水 [1]。", 1),
    "behind an emoji": same("A llama \U0001f999 hums [1], a horse \U0001f40e sleeps [1].", 2),
    "like what the page puts for a mark": same("So \u27e6\ue0000\ue001\u27e7, yes [1].", 1),
    "bold": Case("**Shorn in spring.**[1] So", "**Shorn in spring.** [1] So", 1),
    "fence": same("So [1]:\n\n```py\nx = data[1]\ny = m[2, 3]\n```\n\nYes [1].", 2, "x = data[1]\ny = m[2, 3]"),
    "fence in a list": same(
        "1. So:\n\n    ```py\n    x = data[0]\n    y = m[1]\n    ```\n\n2. Yes [1].", 1, "x = data[0]\ny = m[1]"
    ),
    "fence on the line of its item": same("- ```\n  x = a[1]\n  ```\n- Yes [1].", 1, "x = a[1]"),
    "fence in a quote": same("> ```\n> x = a[1]\n> ```\n\nYes [1].", 1, "x = a[1]"),
    "fence with empty lines, far in": same(
        "1. a\n   - b\n\n     ```c\n     int v[10];\n\n     v[1] = 1;\n     ```\n", 0, "int v[10];\n\nv[1] = 1;"
    ),
    "indented code": same("So:\n\n    x = a[1]\n    y = b[9]\n\nYes [1].", 1, "x = a[1]\ny = b[9]"),
    "indented code in a list": same("- So:\n\n      x = a[1]\n\n- Yes [1].", 1, "x = a[1]"),
    "paragraph in a list": same("1. So:\n\n   yes [1].", 1),
    "indented line of a paragraph": same("So it is\n    yes [1].", 1),
    "code in a line": same("Use `a[1]` here [1].", 1, "a[1]"),
    "code between two signs": same("Use ``a[1] ` [9]`` here [1].", 1, "a[1] ` [9]"),
    "code over two lines": same("Use `a[1] +\nb[9]` here [1].", 1, "a[1] + b[9]"),
    "sign of code that nothing ends": same("Use ` here [1].", 1),
    "formula": same("As $a[0] + b[7]$ and $x[1]$ say [1].", 1),
    "formula with an index": same("As $k_{[1]}$ shows [1].", 1),
    "formula of two lines": same("As \\(a[1] +\nb[9]\\) shows [1].", 1),
    "formula of its own": same("So:\n\n$$\na[1] + b[9]\n$$\n\nYes [1].", 1),
    "money": same("It costs $5 [1] and $6 [1].", 2),
    "names with an index": same("The a_0[0], int v[10]; v[1] = 1; data[9] and x[1] are code."),
    "index of an index": same("See m[0][1] and rows[0][1]."),
    "escaped": same("So \\[1] and yes [1].", 1),
    "two": same("So it is [1][1].", 2),
    "address": same("At https://a.example/x[1] it is [1].", 1),
    "link": same("See [the page](https://a.example/[1]) here [1].", 1),
    "other brackets": same("A list [x] and [ ] and [1a] and [99999]."),
    "number that is a link": Case(
        "So [1](https://evil.example/x), yes [9](https://evil.example/x).", "So [1], yes.", 1
    ),
    "number that is a link twice": Case("So [1](https://evil.example/x)(https://evil.example/y).", "So [1].", 1),
    "number before a reference": same("So [1][ref] it is.\n\n[ref]: https://evil.example/x", 1),
    "definition": Case("So [1].\n\n[1]: https://evil.example/def", "So [1].\n\n", 1),
    "definition with a title": Case('So [1].\n\n  [1]: <https://evil.example> "x"\n', "So [1].\n\n  \n", 1),
    "footnote and its definition": Case("So [^1], yes [^9].\n\n[^1]: https://evil.example/def", "So [1], yes.\n\n", 1),
    "footnote that says something": Case(
        "So [^1].\n\n[^1]: The eggs, part one", "So [1].\n\n[1]: The eggs, part one", 2
    ),
    "double": Case("So [[1]], yes [[9]].", "So [1], yes.", 1),
    "wide": Case("So \u30101\u3011, \uff3b1\uff3d, yes \u30109\u3011.", "So [1], [1], yes.", 2),
    "wide that is a link": Case(
        "So \u30101\u3011(https://evil.example/x), \uff3b1\uff3d(x), yes \u30109\u3011(https://evil.example/x).",
        "So [1], [1], yes.",
        2,
    ),
    "wide with a source": Case("So \u30101\u2020eggs.md\u3011.", "So [1].", 1),
    "from to": Case("So [1-9].", "So [1].", 1),
    "years": same("In [1990-1995] it was so, [0-9] too."),
}
