"""Files for the tests, built by hand: PDF, DOCX, and hostile ones."""

from __future__ import annotations

import io
import zipfile
import zlib

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(*pages: str, title: str = "A title") -> bytes:
    """A PDF with a line of text on each page; an empty line makes a page without text."""
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>",
    ]
    for number, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else "0 0 100 100 re f"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {6 + 2 * number} 0 R >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    return _assemble([each.encode("latin-1") for each in objects])


def pdf_bomb(n_bytes: int) -> bytes:
    """A PDF whose one page unpacks to so many bytes."""
    packed = zlib.compress(b" " * n_bytes, 9)
    packed = zlib.compress(packed, 9)
    head = f"<< /Length {len(packed)} /Filter [/FlateDecode /FlateDecode] >>\nstream\n".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        b"<< >>",
        b"<< >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 6 0 R >>",
        head + packed + b"\nendstream",
    ]
    return _assemble(objects)


def pdf_loop() -> bytes:
    """A PDF whose tree of pages holds itself."""
    return _assemble(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>", b"<< >>", b"<< >>"]
    )


def locked_pdf(password: str, owner: str = "owner") -> bytes:
    """A PDF that opens with a password; an empty one opens for everybody."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("Secret words"))))
    writer.encrypt(password, owner, algorithm="RC4-128")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def _assemble(objects: list[bytes]) -> bytes:
    made = bytearray(b"%PDF-1.4\n")
    places = []
    for number, each in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj\n".encode() + each + b"\nendobj\n"
    table = len(made)
    made += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    made += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    made += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(made)


def docx(body: str, head: str = "", **parts: str) -> bytes:
    """A DOCX with this body; head stands before the document's first tag, parts are further files of word/."""
    document = f'<?xml version="1.0" encoding="UTF-8"?>{head}<w:document {W}><w:body>{body}</w:body></w:document>'
    return archive({"word/document.xml": document, **{f"word/{name}.xml": text for name, text in parts.items()}})


def archive(files: dict[str, str]) -> bytes:
    """A ZIP of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return made.getvalue()


def paragraph(text: str, style: str = "", level: int | None = None) -> str:
    """A paragraph of a DOCX."""
    chosen = f'<w:pStyle w:val="{style}"/>' if style else ""
    listed = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>' if level is not None else ""
    return f'<w:p><w:pPr>{chosen}{listed}</w:pPr><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def png(width: int = 8, height: int = 6, shade: int = 120) -> bytes:
    """A real picture of one shade."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 0, 0, 0, 0))
    rows = (b"\0" + bytes((shade,)) * width) * height
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg_header(width: int, height: int, before: bytes = b"", marker: int = 0xC0) -> bytes:
    """The beginning of a JPEG file, up to its frame; before: segments that a camera wrote."""
    sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"\xff\xd8" + before + bytes((0xFF, marker)) + b"\0\x11\x08" + sides + bytes(12)


def turned(orientation: int) -> bytes:
    """The segment in which a camera says how it was held, behind another one."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + orientation.to_bytes(2, "little") + bytes(6)
    exif = b"Exif\0\0" + tiff
    return b"\xff\xe0\0\x04ab" + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
