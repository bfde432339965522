"""What robots.txt leaves to us, as its RFC says. (What a crawl makes of it: test_sources_web.py.)"""

from __future__ import annotations

import pytest

from rag.sources.robots import Robots
from tests.documents.test_sources_web import HOST, Web


def asked_by(rules: str) -> Robots:
    """The rules of a host that has this robots.txt."""
    return Robots(HOST, Web({"/robots.txt": rules}))


@pytest.mark.parametrize(
    ("rules", "path", "may"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /", "/", False),
        ("Disallow: /", "/a", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("\ufeffUSER-AGENT: * # all\r\nDISALLOW: /a # this", "/ab", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: PADDOCK/2\nAllow: /a", "/b", True),
        (
            "User-agent: Paddock\nDisallow: /a\nUser-agent: x\nDisallow: /b\nUser-agent: paddock\nDisallow: /c",
            "/c",
            False,
        ),
        ("User-agent: x\nUser-agent: paddock\nDisallow: /a", "/a", False),
        ("User-agent: Paddocks\nDisallow: /a", "/a", True),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf", False),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf?x", True),
        ("User-agent: *\nDisallow: /a$", "/a", False),
        ("User-agent: *\nDisallow: /a$", "/ab", True),
        ("User-agent: *\nDisallow: /ab*b$", "/ab", True),
        ("User-agent: *\nDisallow: /a*c*e", "/abcde/f", False),
        ("User-agent: *\nDisallow: /a*c*e", "/aecf", True),
        ("User-agent: *\nDisallow: */private*", "/x/private/y", False),
        ("User-agent: *\nDisallow: /a$b", "/a$bc", False),
        ("User-agent: *\nDisallow: /%7Eanna/caf%c3%a9", "/~anna/caf\u00e9", False),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", True),
        ("User-agent: *\nDisallow: /a?x=1", "/a?x=12", False),
        ("User-agent: *\nDisallow: /a*b$", "/abcb", False),
        ("User-agent: *\nDisallow: /a*bb*b", "/abb", True),
        ("User-agent: paddock\nUser-agent: x\nDisallow: /a", "/a", False),
        ("User-agent: paddock\nDisallow: /a\nUser-agent: x\nDisallow: /b", "/b", True),
        ("User-agent: *\nCrawl-delay: soon\nDisallow: /a", "/b", True),
        ("User-agent: *\nDisallow: /", "", False),
        ("User-agent: *\rDisallow: /a", "/a", False),
        ("User-agent: *\nAllow: /a\u2028Disallow: /", "/b", True),
    ],
)
def test_robots_txt_is_read_as_its_rfc_says(rules: str, path: str, may: bool) -> None:
    assert asked_by(rules).allows(HOST + path) is may


def test_what_stands_behind_half_a_megabyte_is_not_read() -> None:
    beginning = "User-agent: *\nDisallow: /a\n"
    robots = asked_by(f"{beginning}{'#' * (500_000 - len(beginning))}\nDisallow: /")
    assert (robots.allows(f"{HOST}/a"), robots.allows(f"{HOST}/b")) == (False, True)
