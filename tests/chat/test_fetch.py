"""Fetching an address of the web: what is public comes whole or not at all, what is inside the house never."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.core.sources.address import is_public, parse
from chatbot.core.sources.fetch import Limits, Net, get
from chatbot.errors import AddressRefused, ChatError, FetchFailed
from tests.chat.hostile_web import OUTSIDE, Web, certificate, dripping, endless, page, to, web

QUICK = Limits(n_bytes=100_000, seconds=0.6)


def fetched(net: Web, url: str = "http://site.test/") -> bytes:
    return get(url, net=net.net(), limits=QUICK).body


def failed(net: Web, url: str = "http://site.test/", said: str = "", **allowed: frozenset[str]) -> None:
    with pytest.raises(FetchFailed, match=said):
        get(url, net=net.net(), limits=QUICK, **allowed)


def test_a_page_comes_and_the_request_tells_nothing_of_the_person(net: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    net.answers["/a/%C3%A9?q=1%202"] = page(b"Hello", Content_Type="text/html; charset=utf-8", Set_Cookie="a=b")
    came = get("http://Site.test:8080/a/é?q=1%202#part", net=net.net())
    assert (came.body, came.content_type) == (b"Hello", "text/html; charset=utf-8")
    assert came.final_url == "http://site.test:8080/a/%C3%A9?q=1%202"
    assert net.connected == [(OUTSIDE, 8080)]
    lines = net.heads[0].lower().splitlines()
    assert "host: site.test:8080" in lines
    assert sorted(line.partition(":")[0] for line in lines[1:] if line) == [
        "accept",
        "accept-encoding",
        "connection",
        "host",
        "user-agent",
    ]
    assert "user-agent: paddock/" in net.heads[0].lower()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://site.test/",
        "file:///etc/passwd",
        "gopher://site.test/",
        "site.test",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://user@site.test/",
        "http://user:word@site.test/",
        "http://site.test@127.0.0.1/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://site.test./",
        "http://localhost./",
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25eth0]/",
        "http://[fc00::1]/",
        "http://0/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://site%2etest/",
        "http://site.test\\@127.0.0.1/",
        "http://site.test/ a",
        "http://site.test/\r\nHost: x",
        "http://site.test:99999/",
        "http://-site.test/",
        "http://site..test/",
        "http://site.test/" + "a" * 4_000,
    ],
)
def test_an_address_that_is_inside_or_oddly_spelled_is_refused_before_anything_is_sent(net: Web, url: str) -> None:
    with pytest.raises(AddressRefused):
        get(url, net=net.net(), limits=QUICK)
    assert (net.connected, net.looked_up) == ([], [])


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("100.100.100.200", "192.0.0.192", "168.63.129.16", "0.0.0.0", "224.0.0.1", "239.1.1.1", "255.255.255.255"),
        *("240.0.0.1", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254"),
        *("fec0::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a00:1::1"),
        *("2001:0:a00:1::1", "2001:db8::1", "::127.0.0.1", "nonsense"),
    ],
)
def test_a_name_that_stands_for_an_address_inside_is_refused(net: Web, address: str) -> None:
    net.names["site.test"] = [[OUTSIDE, address]]
    with pytest.raises(AddressRefused, match=r"site.test is an address inside .*--allowed_fetch_hosts site.test"):
        get("http://site.test/", net=net.net())
    assert net.connected == []


@pytest.mark.parametrize("address", [OUTSIDE, "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(net: Web) -> None:
    net.names["site.test"] = [[OUTSIDE], ["127.0.0.1"]]
    net.answers["/"] = page(b"Hello")
    assert fetched(net) == b"Hello"
    assert net.connected == [(OUTSIDE, 80)]
    assert net.looked_up == ["site.test"]


def test_a_name_that_changes_its_address_before_a_redirect_is_refused(net: Web) -> None:
    net.names["site.test"] = [[OUTSIDE], ["127.0.0.1"]]
    net.answers["/"] = to("/again")
    with pytest.raises(AddressRefused):
        fetched(net)
    assert len(net.heads) == 1


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://127.0.0.1:8000/",
            "http://169.254.169.254/latest",
            "http://[::1]/",
            "//2130706433/",
            "file:///etc/passwd",
        ),
        *("http://user@other.test/", "http://inside.test/", "ftp://other.test/"),
    ],
)
def test_a_redirect_leads_nowhere_that_could_not_be_asked_for(net: Web, location: str) -> None:
    net.names["inside.test"] = [["192.168.1.1"]]
    net.answers["/"] = to(location)
    with pytest.raises(AddressRefused):
        fetched(net)
    assert len(net.heads) == 1


def test_redirects_are_followed_to_the_end_without_cookies(net: Web) -> None:
    net.answers["/"] = to("//other.test/one", Set_Cookie="a=b")
    net.answers["/one"] = to("two?x=y")
    net.answers["/two?x=y"] = page(b"There")
    came = get("http://site.test/", net=net.net())
    assert (came.final_url, came.body) == ("http://other.test/two?x=y", b"There")
    assert net.looked_up == ["site.test", "other.test", "other.test"]
    assert not any("cookie" in head.lower() or "referer" in head.lower() for head in net.heads)


def test_a_sixth_redirect_is_not_followed(net: Web) -> None:
    net.answers["/"] = to("/")
    failed(net, said="elsewhere for the 6th time")
    assert len(net.heads) == 6


def test_what_fails_behind_a_redirect_names_the_address_where_it_began(net: Web) -> None:
    net.names["inside.test"] = [["192.168.1.1"]]
    begun = "http://site.test/short?a=b leads elsewhere: "
    net.answers["/two"] = to("//inside.test/")
    for location, said in (
        ("//other.test/none", "other.test answered 404 (Not Found) instead of the page"),
        ("//other.test/two", "inside.test is an address inside this network"),
        ("ftp://other.test/", "only addresses that begin with http:// or https:// can be fetched"),
    ):
        net.answers["/short?a=b"] = to(location)
        with pytest.raises(ChatError) as caught:
            fetched(net, "http://site.test/short?a=b")
        assert caught.value.message.startswith(begun + said)
        assert isinstance(caught.value, AddressRefused) or getattr(caught.value, "answered", 0) == 404
    net.answers["/short?a=b"] = to("/slow")
    net.answers["/slow"] = dripping(b"", threading.Event())
    with pytest.raises(FetchFailed, match=r"short.* leads elsewhere: site\.test did not send"):
        get("http://site.test/short?a=b", limits=Limits(seconds=0.3), net=net.net())


@pytest.mark.parametrize("location", ["", "http://[", "http://"])
def test_a_redirect_to_nowhere_is_a_sentence(net: Web, location: str) -> None:
    net.answers["/"] = to(location)
    with pytest.raises(ChatError):
        fetched(net)


def test_a_host_inside_is_fetched_when_it_is_allowed_and_not_on_the_word_of_a_page_outside(net: Web) -> None:
    net.names["wiki.home"] = [["192.168.1.5"]]
    net.answers["/wiki"] = page(b"Ours")
    net.answers["/"] = to("http://wiki.home/wiki")
    allowed = frozenset(("wiki.home",))
    assert get("http://wiki.home/wiki", allowed, net=net.net()).body == b"Ours"
    with pytest.raises(AddressRefused):
        get("http://site.test/", allowed, net=net.net())


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time(net: Web, beginning: bytes) -> None:
    gone = threading.Event()
    net.answers["/"] = dripping(beginning, gone)
    began = time.monotonic()
    failed(net, said="did not send the page within 0.6 seconds")
    assert time.monotonic() - began < 3
    assert gone.wait(5)


def test_a_slow_look_up_ends_in_time() -> None:
    from chatbot.core.sources import wire

    def slow(*_: object, **__: object) -> list[object]:
        threading.Event().wait(3)
        return []

    with pytest.MonkeyPatch.context() as patch, pytest.raises(FetchFailed, match=r"within 0.2 seconds"):
        patch.setattr(wire.socket, "getaddrinfo", slow)
        get("http://site.test/", limits=Limits(seconds=0.2), net=Net())


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x"), bytes(65_536)),
    ],
)
def test_ten_gigabytes_are_not_fetched(net: Web, beginning: bytes, piece: bytes) -> None:
    net.answers["/"] = endless(beginning, piece)
    failed(net, said=r"larger than 0.1 MB")


def test_a_page_may_have_five_megabytes_and_ten_seconds(net: Web) -> None:
    assert Limits().seconds == 10
    net.answers["/"] = page(b"x" * 5_000_000)
    assert len(get("http://site.test/", net=net.net()).body) == 5_000_000
    net.answers["/"] = page(b"x" * 5_000_001)
    with pytest.raises(FetchFailed, match="larger than 5 MB"):
        get("http://site.test/", net=net.net())


def test_an_endless_header_is_not_read(net: Web) -> None:
    net.answers["/"] = endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1_000)
    failed(net, said="did not answer in HTTP")
    net.answers["/"] = endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65_536)
    failed(net, said="did not answer in HTTP")


def test_a_bomb_of_gzip_is_cut(net: Web) -> None:
    net.answers["/"] = page(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
    tracemalloc.start()
    try:
        failed(net, said="larger than 0.1 MB")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b"Hello"), "gzip"),
        (gzip.compress(b"Hel") + gzip.compress(b"lo"), "GZIP"),
        (gzip.compress(b"Hello") + b"\0\0\0", "x-gzip"),
        (zlib.compress(b"Hello"), "deflate"),
        (zlib.compress(b"Hello")[2:-4], "deflate"),
        (b"Hello", "identity"),
    ],
)
def test_what_is_packed_is_unpacked(net: Web, packed: bytes, encoding: str) -> None:
    net.answers["/"] = page(packed, Content_Encoding=encoding)
    assert fetched(net) == b"Hello"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (page(b"Hello", Content_Length="100"), "middle of the page"),
        (page(gzip.compress(b"Hello")[:-9], Content_Encoding="gzip"), "middle of the page"),
        (page(b"no gzip", Content_Encoding="gzip"), "damaged"),
        (page(b"Hello", Content_Encoding="br"), "packed in a way"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHel", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "did not answer in HTTP"),
        (b"", "did not answer in HTTP"),
        (page(b"<p>Not found</p>", "404 Not Found"), r"answered 404 \(Not Found\) instead of the page"),
        (page(b"<p>Log in</p>", "401 Unauthorized", WWW_Authenticate="Basic"), r"answered 401"),
        (page(b"oops", "500 <b>Oops</b>"), r"answered 500 \(Internal Server Error\)"),
        (page(b"", "799 Odd"), "answered 799 instead"),
    ],
)
def test_what_is_not_the_whole_page_is_a_sentence_and_never_the_page(net: Web, answer: bytes, said: str) -> None:
    net.answers["/"] = answer
    failed(net, said=said)


def test_an_unknown_host_and_a_closed_port_are_sentences(net: Web) -> None:
    net.names["site.test"] = [[]]
    failed(net, said="no host called site.test can be found")
    with pytest.raises(FetchFailed, match="takes no connection at port 9"):
        get("http://127.0.0.1:9/", ["127.0.0.1"], limits=QUICK)


def test_the_next_address_is_tried_when_one_does_not_answer(net: Web) -> None:
    net.names["site.test"] = [["2606:4700::1111", "2606:4700::1112", OUTSIDE]]
    net.answers["/"] = page(b"Hello")
    real, waits = net.net(), []

    def connect(address: str, port: int, timeout_s: float) -> socket.socket:
        waits.append(timeout_s)
        if ":" in address:
            raise TimeoutError if address.endswith("1") else OSError
        return real.connect(address, port, timeout_s)

    assert get("http://site.test/", net=Net(real.look_up, connect)).body == b"Hello"
    assert waits[0] <= 3 < waits[2]


def test_tls_is_for_the_name_while_the_connection_is_to_the_checked_address(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "site.test")
    asked: list[str | None] = []
    server.sni_callback = lambda _sock, name, _context: asked.append(name)
    with web(server) as net:
        net.answers["/"] = page(b"Safe")
        reached = net.net(lambda: client)
        assert get("https://site.test/", net=reached).body == b"Safe"
        assert (asked, net.connected) == (["site.test"], [(OUTSIDE, 443)])
        assert "host: site.test\r\n" in net.heads[0].lower()
        with pytest.raises(FetchFailed, match=r"other.test cannot prove that it is other.test"):
            get("https://other.test/", net=reached)
        with pytest.raises(FetchFailed, match="cannot prove"):
            get("https://site.test/", net=net.net(ssl.create_default_context))
        assert len(net.heads) == 1


def test_https_of_a_server_without_it_is_a_sentence(net: Web) -> None:
    net.answers["/"] = page(b"Hello")
    with pytest.raises(FetchFailed, match=r"TLS|within"):
        get("https://site.test/", net=net.net(), limits=QUICK)


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "//", "http://site.test/"]))
def test_any_text_is_an_address_or_an_error_of_ours(text: str, beginning: str) -> None:
    try:
        target = parse(beginning + text)
    except AddressRefused:
        return
    assert parse(target.url) == target
    assert target.url.isascii()
    assert not set(target.url) & set(" \r\n\\")


def test_an_address_is_kept_in_its_plain_spelling() -> None:
    assert parse("HTTPS://Bücher.Example:443/ä b?x=ü".replace(" ", "%20")).url == (
        "https://xn--bcher-kva.example/%C3%A4%20b?x=%C3%BC"
    )
    assert parse("http://[2606:4700::1111]:81").url == "http://[2606:4700::1111]:81/"
