"""What a person brings in from the web: pages, news, the weather; each failure a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatbot.core import sources
from chatbot.errors import AddressRefused, BadRequest, ChatError, FetchFailed
from chatbot.settings import ChatSettings
from tests.chat import samples
from tests.chat.hostile_web import Web, page, to

SETTINGS = ChatSettings(
    news_url="http://news.test/rss",
    news_search_url="http://news.test/search?q={topic}",
    weather_url="http://weather.test/{place}?format=j1",
)
RSS = b"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>All news</title>
<link>http://news.test</link>
<item><title>Rain in the north - The Paper</title><link>https://paper.test/rain</link>
 <guid>1</guid><pubDate>Sat, 21 Nov 2026 10:00:00 GMT</pubDate>
 <description>&lt;a href="x"&gt;Rain&lt;/a&gt;</description><source url="https://paper.test">The Paper</source></item>
<item><title><![CDATA[Votes &amp; <b>counts</b> [live]]]></title><link>javascript:alert(1)</link></item>
<item><title></title><link>https://paper.test/empty</link></item>
</channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>All</title><entry><title>A release</title>
<link rel="self" href="http://x.test/self"/><link href="http://x.test/release"/><updated>2026-11-20</updated></entry></feed>"""


def hour(weather: str, rain: str) -> dict[str, Any]:
    return {"weatherDesc": [{"value": weather}], "chanceofrain": rain, "tempC": "4"}


WEATHER = {
    "current_condition": [
        {
            "temp_C": "3",
            "FeelsLikeC": "-1",
            "humidity": "87",
            "windspeedKmph": "20",
            "winddir16Point": "NNW",
            "weatherDesc": [{"value": "Light rain"}],
        }
    ],
    "nearest_area": [{"areaName": [{"value": "Oslo"}], "country": [{"value": "Norway"}]}],
    "weather": [
        {
            "date": "2026-11-21",
            "mintempC": "-2",
            "maxtempC": "5",
            "hourly": [hour("Clear", "0"), hour("Snow | sleet", "80"), hour("Fog", "10")],
        }
    ],
}


def found(net: Web, command: str, argument: str = "") -> sources.Found:
    return sources.run(command, argument, SETTINGS, net.net())


def failed(net: Web, command: str, argument: str, said: str) -> None:
    with pytest.raises(FetchFailed, match=said):
        found(net, command, argument)


def test_a_page_is_read_to_its_text_with_where_it_is_from(net: Web) -> None:
    net.answers["/short"] = to("/long/story.html")
    net.answers["/long/story.html"] = page("<title>A/Story</title><main><p>Zoë <a href=b>x</a></p></main>".encode())
    made = found(net, "url", " http://site.test/short ")
    assert made.text == "Zoë [x](http://site.test/long/b)"
    assert (made.name, made.source, made.kind) == ("A Story", "http://site.test/long/story.html", "page")
    assert made.say == "A Story: 32 characters from site.test"


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("<p>Zoë".encode("latin-1"), "text/html; charset=utf-8", "Zoë"),
        ("<p>Zoë".encode(), "text/html; charset=iso-8859-1", "Zoë"),
        ('<meta charset="koi8-r"><p>Да'.encode("koi8-r"), "text/html", "Да"),
        ("<p>日本".encode("shift_jis"), "text/html; charset=Shift_JIS", "日本"),
        (b"<p>x", "text/html; charset=punycode", "x"),
        (b"<!doctype html><p>x", "application/octet-stream", "x"),
        (b"<!doctype html><p>x", "image/png", "x"),
        (b"just <p> text", "text/plain", "just <p> text"),
        (b'{"a": 1}', "application/json", '{"a": 1}'),
        (b"<p>x", "", "x"),
        (samples.pdf("Words"), "text/html", "[page 1]\nWords"),
    ],
)
def test_wrong_charsets_and_types_are_seen_through(net: Web, body: bytes, content_type: str, text: str) -> None:
    net.answers["/a.html"] = page(body, Content_Type=content_type)
    assert found(net, "url", "http://site.test/a.html").text == text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (page(b"\x89PNG\r\n\x1a\n" + bytes(99)), "a.html is a picture"),
        (page(b"<script>x()</script>"), "without running its scripts"),
        (page(b""), "is empty"),
        (page(b"<p>Gone</p>", "404 Not Found"), "answered 404"),
        (page(samples.pdf(""), Content_Type="application/pdf"), "its pages are pictures"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(net: Web, answer: bytes, said: str) -> None:
    net.answers["/a.html"] = answer
    failed(net, "url", "http://site.test/a.html", said)


def test_an_address_inside_is_refused_unless_the_settings_allow_it(net: Web) -> None:
    net.names["wiki.home"] = [["10.0.0.5"]]
    net.answers["/"] = page(b"<p>Ours")
    with pytest.raises(AddressRefused):
        found(net, "url", "http://wiki.home/")
    allowing = ChatSettings(allowed_fetch_hosts="other.home, Wiki.home")
    assert sources.run("url", "http://wiki.home/", allowing, net.net()).text == "Ours"


def test_headlines_are_a_list_of_links_with_source_and_date(net: Web) -> None:
    net.answers["/rss"] = page(RSS, Content_Type="application/xml")
    made = found(net, "news")
    assert made.text == (
        "# News\n\n1. [Rain in the north](https://paper.test/rain), The Paper, Sat, 21 Nov 2026 10:00:00 GMT\n"
        "2. Votes & counts (live)"
    )
    assert (made.say, made.name, made.source) == ("2 headlines", "News", "http://news.test/rss")


def test_news_about_something_are_searched_and_atom_is_read_as_well(net: Web) -> None:
    net.answers["/search?q=open+source+%26+%7Bx%7D"] = page(ATOM, Content_Type="application/atom+xml")
    made = found(net, "news", " open  source & {x} ")
    assert made.text == "# News about open source & {x}\n\n1. [A release](http://x.test/release), 2026-11-20"
    assert made.name == "News about open source & {x}"


def test_a_feed_of_a_thousand_is_cut(net: Web) -> None:
    items = "".join(f"<item><title>Number {number}</title></item>" for number in range(1_000))
    net.answers["/rss"] = page(f"<rss><channel>{items}</channel></rss>".encode())
    assert found(net, "news").text.endswith("\n25. Number 24")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><body><p>Accept our cookies<br></body></html>", "no news feed: try later, or set another"),
        (
            b'<!DOCTYPE rss [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><rss><item><title>&b;</title></item></rss>',
            "no news",
        ),
        (b'<!DOCTYPE rss SYSTEM "file:///etc/passwd"><rss><item><title>x</title></item></rss>', "no news feed"),
        (b"<rss>" + b"<a>" * 5_000, "no news feed"),
        (b"<rss><channel></channel></rss>", "no news about rain|no headlines"),
        (b"", "no news feed"),
    ],
)
def test_what_is_no_feed_is_a_sentence(net: Web, body: bytes, said: str) -> None:
    net.answers["/rss"] = page(body, Content_Type="text/xml")
    failed(net, "news", "", said)


def test_a_feed_that_cannot_be_searched_says_so(net: Web) -> None:
    fixed = ChatSettings(news_search_url="http://news.test/rss")
    with pytest.raises(BadRequest, match="cannot be searched"):
        sources.run("news", "rain", fixed, net.net())
    assert net.heads == []


def test_the_weather_is_told_for_now_and_for_each_day(net: Web) -> None:
    net.answers["/Oslo%2F..?format=j1"] = page(json.dumps(WEATHER).encode(), Content_Type="application/json")
    made = found(net, "weather", "Oslo/..")
    assert made.text == (
        "# Weather in Oslo, Norway\n\n"
        "Now: Light rain, 3 °C, feels like -1 °C, humidity 87 %, wind 20 km/h from NNW\n\n"
        "| day | weather at noon | lowest °C | highest °C | chance of rain |\n|---|---|---|---|---|\n"
        "| 2026-11-21 | Snow / sleet | -2 | 5 | 80 % |"
    )
    assert (made.say, made.name) == ("Weather in Oslo, Norway.", "Weather in Oslo, Norway")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            page(b"Unknown location; please try ~0,0", "404 Not Found"),
            "no weather for Nowhere: weather.test answered 404",
        ),
        (page(b"Sorry, we are running out of queries"), "sent no weather for Nowhere"),
        (page(b"{}"), "sent no weather for Nowhere"),
        (page(b"[" * 100_000), "sent no weather for Nowhere"),
        (page(json.dumps({**WEATHER, "weather": [{"hourly": []}]}).encode()), "sent no weather for Nowhere"),
        (page(json.dumps({**WEATHER, "nearest_area": [{"areaName": 1}]}).encode()), "sent no weather for Nowhere"),
    ],
)
def test_a_place_without_weather_is_a_sentence(net: Web, answer: bytes, said: str) -> None:
    net.answers["/Nowhere?format=j1"] = answer
    failed(net, "weather", "Nowhere", said)


def test_the_weather_of_an_endless_place_is_not_asked_for(net: Web) -> None:
    with pytest.raises(BadRequest, match="at most 100 characters"):
        found(net, "weather", "x" * 101)


@pytest.mark.parametrize("command", sources.COMMANDS)
def test_with_the_network_turned_off_nothing_is_looked_up_or_asked(net: Web, command: str) -> None:
    with pytest.raises(AddressRefused, match="--network true"):
        sources.run(command, "http://site.test/", ChatSettings(network="false"), net.net())
    assert (net.looked_up, net.connected) == ([], [])


def test_an_unknown_command_is_an_error_of_ours(net: Web) -> None:
    with pytest.raises(ChatError, match="no command stock"):
        found(net, "stock", "X")
