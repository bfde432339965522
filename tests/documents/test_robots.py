"""What robots.txt leaves to us, as its RFC says. (What a crawl makes of it: test_sources_web.py.)"""

from __future__ import annotations

import time

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


MOST = 500_000
HOSTILE = {
    "one rule of stars": "User-agent: *\nDisallow: /" + "*a" * (MOST // 2),
    "one long part": "User-agent: *\nDisallow: /*" + "a" * MOST,
    "rules with stars": "User-agent: *\n" + "".join(f"Disallow: *b{n}\n" for n in range(MOST // 18)),
    "many stars in each": "User-agent: *\n" + "".join(f"Disallow: /{'*a' * 20}{n}$\n" for n in range(MOST // 60)),
    "rules without": "User-agent: *\n" + "".join(f"Disallow: /b{n}\n" for n in range(MOST // 17)),
    "whole paths": "User-agent: *\n" + "".join(f"Disallow: /b{n}$\n" for n in range(MOST // 18)),
    "names of all programs": "".join(f"User-agent: a{'b' * (n % 90)}\n" for n in range(MOST // 60))
    + "Allow: /\n" * 25_000,
    "our name again and again": "User-agent: paddock\n" * (MOST // 40) + "Disallow: /b\n" * (MOST // 28),
    "a group for each rule": "User-agent: *\nAllow: /b\n" * (MOST // 24),
    "encoded": "User-agent: *\nDisallow: /" + "%41" * (MOST // 3),
    "other letters": "User-agent: *\nDisallow: /" + "\u00e9" * (MOST // 2),
    "empty lines": "\r\n" * (MOST // 2),
}


@pytest.mark.parametrize("rules", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_of_half_a_megabyte_is_read_and_decided_on_within_a_second(rules: str) -> None:
    began = time.thread_time()
    robots = asked_by(rules)
    robots.allows(f"{HOST}/{'a' * 8_000}c")
    assert time.thread_time() - began < 1.0


def test_more_rules_with_stars_than_anybody_needs_forbid_more_and_not_less() -> None:
    many = "".join(f"Disallow: /x*{n}\nAllow: /x*{n}y\n" for n in range(3_000))
    robots = asked_by(f"User-agent: *\nDisallow: /secret\n{many}Disallow: /late*end\nAllow: /late*\nDisallow: /last$\n")
    seen = [robots.allows(HOST + path) for path in ("/a", "/secret/b", "/late-end", "/late", "/last", "/last/a")]
    assert seen == [True, False, False, False, False, True]


def test_what_stands_behind_half_a_megabyte_is_not_read() -> None:
    beginning = "User-agent: *\nDisallow: /a\n"
    robots = asked_by(f"{beginning}{'#' * (512_000 - len(beginning))}\nDisallow: /")
    assert (robots.allows(f"{HOST}/a"), robots.allows(f"{HOST}/b")) == (False, True)
