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
        ("<p>unclosed <b>bold <p>next", "unclosed **bold**\n\nnext"),
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


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<h2>Use<a class="headerlink" href="#use" title="Permalink">¶</a></h2><p>x</p>', "## Use\n\nx"),
        ('<h2><a href="#use" class="anchor" aria-hidden="true">#</a>Use</h2>', "## Use"),
        ('<h2><a href="/page#use">§</a> Use <a href="#use">\u200b</a></h2>', "## Use"),
        ("<h3>The C# and F# way</h3>", "### The C# and F# way"),
        (
            '<p>See<sup><a href="#n1">[1]</a></sup> and <a href="https://x.test/">there</a>, <b>now</b>.</p>',
            "See and there, now.",
        ),
        ("<h2>The <code>map</code> function</h2><p>Call <code>map</code>.</p>", "## The map function\n\nCall `map`."),
        (
            '<dl><dt class="sig sig-object py">f(<em>a</em>, <em>*</em>)<a href="#f">¶</a></dt><dd>It</dd></dl>',
            "`f(a, *)`\n\nIt",
        ),
        (
            '<div class="highlight-python3 notranslate"><div class="highlight"><pre><span class="linenos">1</span>x = 1'
            "\n<span>y</span></pre></div></div>",
            "```python\nx = 1\ny\n```",
        ),
        (
            '<table class="highlighttable"><tr><td class="linenos"><pre>1\n2</pre></td><td class="code">'
            '<div class="highlight"><pre>a\nb</pre></div></td></tr></table>',
            "```\na\nb\n```",
        ),
        ('<div class="highlight highlight-source-shell"><pre>ls</pre></div>', "```sh\nls\n```"),
        ("<blockquote><div><pre>x</pre></div></blockquote>", "```\nx\n```"),
        ("<p>a</p><p># no heading</p>", "a\n\n\\# no heading"),
        ("<ul><li>one<li>two</ul><p>x<p>y", "- one\n- two\n\nx\n\ny"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "| a | b |\n|---|---|\n| 1 | 2 |"),
        (
            "<table><tr><th>a</th><th>b</th></tr><tr><td rowspan=2>x</td><td>1</td></tr><tr><td>2</td></tr>"
            "<tr><td colspan=2>both</td></tr></table>",
            "| a | b |\n|---|---|\n| x | 1 |\n| x | 2 |\n| both |  |",
        ),
        ("<table><tr><td><h2>Left</h2><p>x</p></td><td><p>y</p></td></tr></table>", "## Left\n\nx\n\ny"),
        ("<details><summary>More</summary><p>x</p></details>", "More\n\nx"),
        ("<h2><button>Fold</button></h2><button>Copy</button><p>x</p>", "## Fold\n\nx"),
        ("<b><p>in bold</p></b>", "in bold"),
        (
            '<div class="breadcrumbs">Home</div><p>x</p><div id="footer">Imprint</div><div class="skip-link">y</div>',
            "x",
        ),
        ("<p>a &lt;b&gt;</p><![CDATA[c]]><p>d", "a <b>\n\nc\n\nd"),
        ("</div></p></table><p>stray ends</p></body></html>", "stray ends"),
    ],
)
def test_what_a_search_gets_of_a_page(body: str, expected: str) -> None:
    assert readable(f"<html><body>{body}</body></html>", "https://site.test/", is_plain=True).markdown == expected


def test_a_headline_outside_of_the_largest_part_is_kept() -> None:
    menu = '<div><h1><a href="/">Site</a></h1><a href="/a">Menu</a></div>'
    head = "<div><h1>git-stash(1)</h1><h2>Name</h2><p>Stash changes away</p></div>"
    made = markdown(f"{menu}{head}<div><h2>Synopsis</h2>{f'<p>{LONG}</p>' * 5}</div><div>Last updated today</div>")
    assert made.startswith("# git-stash(1)\n\n## Name\n\nStash changes away\n\n## Synopsis\n\nA sentence")
    assert "Menu" not in made
    assert "Last updated" not in made


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("<title>Use it &#8212; Site docs</title>", "Use it"),
        ("<title>Use it</title>", "Use it"),
        ("<title>Use items - Site</title>", "Use items - Site"),
        ("<title>Site: Use it</title>", "Site: Use it"),
        ('<title>Site</title><meta property="og:title" content="Use it | Site">', "Use it"),
        ("", "Use it"),
    ],
)
def test_the_title_is_without_the_name_of_the_site(head: str, title: str) -> None:
    html = f'<html><head>{head}</head><h1>Use <i>it</i><a href="#use">¶</a></h1><svg><title>Icon</title></svg>'
    assert readable(html).title == title
