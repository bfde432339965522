"""A web page as a person reads it: its main part as Markdown."""

from __future__ import annotations

import pytest

from rag.extract.page import readable

LONG = "A sentence that says something about the matter at hand, with some words more. " * 4


def markdown(body: str, url: str = "https://site.test/a/page") -> str:
    return readable(f"<html><body>{body}</body></html>", url).markdown


def test_the_main_part_is_kept_and_what_surrounds_it_is_not() -> None:
    html = f"""<!doctype html><html><head><title> The  Title </title><style>p{{}}</style></head><body>
      <header><a href="/">Home</a></header><nav><ul><li>Menu</li></ul></nav><div role="banner">Banner</div>
      <main><article><header><h1>Head</h1></header><p>{LONG}</p><aside>See also</aside>
      <script>alert(1)</script><noscript>Turn it on</noscript><p hidden>Secret 1</p>
      <p style="display : none">Secret 2</p><p style="visibility:hidden">Secret 3</p><p aria-hidden="true">Secret 4</p>
      <!-- Secret 5 --><template>Secret 6</template><svg><text>Secret 7</text></svg></article></main>
      <footer>Imprint</footer></body></html>"""
    page = readable(html)
    assert page.title == "The Title"
    assert page.markdown == f"# Head\n\n{LONG.strip()}"


def test_without_marks_the_part_with_most_paragraphs_is_the_main_one() -> None:
    links = "".join(f'<li><a href="/{n}">A link with quite some words in it</a></li>' for n in range(40))
    text = f"<div><h2>Story</h2>{f'<p>{LONG}</p>' * 6}</div>"
    made = markdown(f"<div><ul>{links}</ul></div><div>{text}</div>")
    assert made.startswith("## Story")
    assert "A link with" not in made


def test_a_page_of_several_short_parts_is_kept_whole() -> None:
    made = markdown("<div><p>One</p></div><div><p>Two</p></div><div>Three</div>")
    assert made == "One\n\nTwo\n\nThree"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<h1>A</h1><h3>B <em>c</em></h3>", "# A\n\n### B *c*"),
        ("<p>One<br>two</p><p>three   four\n five</p>", "One\ntwo\n\nthree four five"),
        ("loose <b>bold</b> words<div>block</div>more", "loose **bold** words\n\nblock\n\nmore"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n  - c"),
        ("<ol><li>a</li><li><p>b</p><p>c</p></li></ol>", "1. a\n2. b\n\n   c"),
        ("<p>Use <code>x = 1</code> now</p>", "Use `x = 1` now"),
        (
            '<pre><code class="language-python">if a:\n    b()\n</code></pre>',
            "```python\nif a:\n    b()\n```",
        ),
        ("<pre>a\n```\nb</pre>", "````\na\n```\nb\n````"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<p>a</p><hr><p>b</p>", "a\n\n---\n\nb"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\n\n: b"),
        (
            "<table><caption>C</caption><tr><th>a</th><th>b|c</th></tr><tr><td>1</td></tr></table>",
            "C\n\n| a | b\\|c |\n|---|---|\n| 1 |  |",
        ),
        ("<table><tr><td><table><tr><td>x</td><td>y</td></tr></table></td></tr></table>", "| x | y |\n|---|---|"),
        ('<p>See <a href="../b?c=(d)">this [one]</a>.</p>', "See [this \\[one\\]](https://site.test/b?c=%28d%29)."),
        ('<a href="https://x.test/a b">x</a>', "[x](https://x.test/a%20b)"),
        ('<a href="javascript:alert(1)">x</a> <a href="#top">y</a> <a href="data:text/html,z">z</a>', "x y z"),
        ('<a href="http://[">x</a>', "x"),
        ('<p><img src="https://evil.test/x.png" alt="A  dog"> and <img src="y.png"></p>', "[picture: A dog] and"),
        ("<p>&lt;script&gt; &amp; so</p>", "<script> & so"),
        ("<span>a<div>b</div>c</span>", "a\n\nb\n\nc"),
        ("<p>unclosed <b>bold <p>next", "unclosed **bold next**"),
    ],
)
def test_what_is_on_a_page_becomes_markdown(body: str, expected: str) -> None:
    assert markdown(body) == expected


def test_a_base_of_its_own_makes_links_whole() -> None:
    assert readable('<base href="https://other.test/x/"><a href="y">z</a>', "https://site.test/").markdown == (
        "[z](https://other.test/x/y)"
    )


def test_a_page_that_is_only_scripts_has_no_text() -> None:
    assert markdown("<div id=root></div><script>render()</script>") == ""


def test_a_deeply_nested_page_is_read_without_failing() -> None:
    assert "deep" in markdown("<div>" * 3_000 + "deep" + "</div>" * 3_000)
    assert "deep" in markdown("<b>" * 3_000 + "deep")
    assert "deep" in markdown("<ul><li>" * 1_500 + "deep")
