"""From bytes to clean text: which encoding they are in, and whether they are text at all. Pure."""

from __future__ import annotations

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like the one of UTF-16, so it is looked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Names that a page may give. Python knows more "encodings" (punycode, unicode_escape), some of them slow on purpose.
_DECLARABLE = re.compile(
    r"(utf-?8|us-ascii|ascii|iso-?8859-\d{1,2}|latin-?\d|windows-125\d|cp125\d|koi8-[ru]|macintosh|utf-16(le|be)?"
    r"|shift[_-]?jis|euc-jp|iso-2022-jp|gb2312|gbk|gb18030|big5|euc-kr)",
    re.IGNORECASE,
)
_SAMPLE = 1_000_000
# Old encodings of other scripts, looked for where more bytes are not ASCII than Latin letters with accents make.
_OTHER = ("cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "shift_jis", "gb18030", "big5", "euc_kr")
_MOST_ACCENTED = 0.25
_GUESS_BYTES = 20_000
_KANA = re.compile(r"[\u3041-\u30ff]")
_LEAST_KANA = 0.2  # of a Japanese text; others have next to none where its encoding has them
# A sign of Windows-1252 within a word is a letter of Central Europe: in Polish that byte is no superscript three.
_SIGN_IN_WORD = re.compile(rb"[A-Za-z\xc0-\xff][\xb1\xb3\xb6\xb9\xbc\xbe\xbf](?=[a-z\xe0-\xff])")
_LEAST_SIGNS = 2
_C1 = re.compile(rb"[\x80-\x9f]")  # letters and quotation marks in Windows-1250, controls in Latin-2
_LEAST_BYTES = 16  # of such letters; less tells nothing
_MOST_CONTROLS = 0.02  # of a text; compressed or compiled bytes have five times as many
_CONTROLS = frozenset(map(chr, range(32))) - frozenset("\t\n\r\f\b\v\x1b")
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]{0,30}[ -/]?[@-~]|[@-Z\\-_])")
_STRAY = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_FEEDS = bytes.maketrans(b"\f", b"\n")
_ASCII_STRAY = bytes(sorted({*range(32), 127} - {*b"\t\n\f"}))
_META = re.compile(rb"<meta[^>]{0,200}?charset\s{0,5}=\s{0,5}[\"']?\s{0,5}([a-z0-9_-]{1,20})", re.IGNORECASE)


class NotText(ValueError):
    """The bytes are no text in any encoding that is known here."""


def decode(data: bytes, declared: str = "") -> str:
    """The text without control characters, lines ended by a newline. declared: what its server said. Raises NotText."""
    text = _decode(data, declared if _DECLARABLE.fullmatch(declared) else "")
    sample = text[:_SAMPLE]
    if sum(sample.count(each) for each in _CONTROLS) > _MOST_CONTROLS * len(sample):
        raise NotText
    return clean(text)


def clean(text: str) -> str:
    """The text with its lines ended by a newline, and without characters that command a terminal or are none."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if text.isascii():  # the same, many times quicker
        return text.encode("ascii").translate(_FEEDS, _ASCII_STRAY).decode("ascii")
    return _STRAY.sub(lambda found: "\n" if found[0] == "\f" else "", text)


def html_charset(data: bytes) -> str:
    """What a page says of its own encoding in its first kilobyte, or nothing."""
    found = _META.search(data[:1024])
    return found[1].decode("ascii") if found else ""


def _decode(data: bytes, declared: str) -> str:
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _strictly(data, name)
    if b"\0" in data[:4096]:
        return _strictly(data, _wide(data[:4096]))
    if data.isascii() and declared.lower() != "iso-2022-jp":
        return data.decode("ascii")
    # What is valid UTF-8 and not ASCII is UTF-8, whatever its server says: other encodings are so by no accident.
    for name in ("utf-8", declared) if not data.isascii() else (declared,):
        try:
            return data.decode(name) if name else _undeclared(data)
        except (UnicodeError, LookupError):
            continue
    return _undeclared(data)


def _undeclared(data: bytes) -> str:
    """What is no UTF-8 and says nothing of itself: Latin letters, else the likeliest of the others. Raises NotText."""
    sample = _begun(data)
    said = sum(byte > 127 for byte in sample)
    if said <= max(_LEAST_BYTES, _MOST_ACCENTED * len(sample)):
        return _central(data) if len(_SIGN_IN_WORD.findall(sample)) >= _LEAST_SIGNS else _western(data)
    if _has_kana(sample, said):
        return data.decode("euc_jp", "replace")
    from charset_normalizer import from_bytes  # where it is needed alone: it is slow to begin

    found = from_bytes(sample, cp_isolation=list(_OTHER)).best()
    if found is None:
        raise NotText
    return data.decode(found.encoding, "replace")


def _begun(data: bytes) -> bytes:
    """The beginning of a text, cut where no character is: behind a line or a blank."""
    sample = data[:_GUESS_BYTES]
    end = 1 + max(sample.rfind(b"\n"), sample.rfind(b" ")) if len(data) > len(sample) else 0
    return sample[:end] or sample


def _has_kana(sample: bytes, said: int) -> bool:
    """Whether the sample, with so many bytes that are not ASCII, is Japanese in EUC-JP; Korean and Chinese ones would
    be valid in it too, but with other characters in the place of kana."""
    text = sample.decode("euc_jp", "replace")
    is_valid = text.count("\ufffd") <= 1  # at its end one may be cut
    return is_valid and 2 * len(_KANA.findall(text)) >= _LEAST_KANA * said


def _central(data: bytes) -> str:
    """Windows-1250 or Latin-2."""
    return data.decode("cp1250" if _C1.search(data) else "iso8859_2", "replace")


def _western(data: bytes) -> str:
    """Windows-1252, which holds Latin-1; the five bytes that it leaves out are taken from Latin-1."""
    try:
        return data.decode("cp1252")
    except UnicodeError:
        return data.decode("latin-1")


def _strictly(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeError as why:
        raise NotText from why


def _wide(sample: bytes) -> str:
    """Which UTF-16 has its zeros where the sample has them. Raises NotText when neither has.

    Without a mark only text that is mostly Latin is taken for it: else any bytes with some zeros would be Chinese.
    """
    half = max(1, len(sample) // 2)
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if odd > 0.7 and even < 0.05:
        return "utf-16-le"
    if even > 0.7 and odd < 0.05:
        return "utf-16-be"
    raise NotText
