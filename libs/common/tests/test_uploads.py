"""A file is taken when its first bytes are what its name says, as real programs write them; and only then."""

import random
import wave
from collections.abc import Iterable
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
from PIL import Image

from libs.common.files.uploads import HEAD, TYPES, checked_type
from libs.common.runtime.errors import FileTypeRefused

NOISE = random.Random(7).randbytes(20_000)
OFFICE = {"docx": "word/document.xml", "pptx": "ppt/presentation.xml", "xlsx": "xl/workbook.xml"}


def film(brand: str, size: int = 32) -> bytes:
    return size.to_bytes(4, "big") + b"ftyp" + brand.encode() + b"\0\0\2\0isomiso2avc1mp41" + NOISE


def sound() -> bytes:
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(NOISE[:4000])
    return out.getvalue()


def picture(name: str) -> bytes:
    out = BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, name)
    return out.getvalue()


def archive(names: Iterable[str], content: bytes = b"<xml/>", *, streamed: bool = False) -> bytes:
    """A ZIP file; `streamed`, the sizes come behind the content, as Java and browsers write it."""

    class Stream(BytesIO):
        def seekable(self) -> bool:
            return not streamed

    out = Stream()
    with ZipFile(out, "w", ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, content, ZIP_STORED if content is NOISE else None)
    return out.getvalue()


BRANDS = [
    "isom", "iso2", "iso4", "iso5", "iso6", "mp41", "mp42", "avc1", "dash", "cmfc", "hvc1", "qt  ", "M4V ",
    "M4VP", "M4VH", "M4A ", "3gp4", "3gp5", "MSNV", "f4v ",
]  # fmt: skip
FILMS = [film(brand) for brand in BRANDS]
EBML = b"\x1a\x45\xdf\xa3"
REAL = {
    "mp4": FILMS,
    "m4v": FILMS,
    "webm": [
        EBML + b"\x9f\x42\x86\x81\1\x42\xf7\x81\1\x42\xf2\x81\4\x42\xf3\x81\x08\x42\x82\x84webm" + NOISE,
        EBML + b"\1\0\0\0\0\0\0\x1f\x42\x86\x81\1\x42\x82\x40\4webm" + NOISE,
    ],
    "mp3": [
        start + NOISE
        for start in (
            b"\xff\xfb\x90\x64", b"\xff\xfa\xb0\x00", b"\xff\xf3\x48\xc4", b"\xff\xf2\x48\xc0",
            b"\xff\xe3\x18\xc4", b"ID3\2\0\0\0\0\0\0", b"ID3\3\0\0\0\0\0\x0a", b"ID3\4\0\x40\0\0\x1f\x76",
        )
    ],
    "wav": [sound(), b"RF64\xff\xff\xff\xffWAVEds64" + NOISE],
    "ogg": [
        b"OggS\0\2" + b"\0" * 22 + b"\1\x1e\1vorbis" + NOISE,
        b"OggS\0\2" + b"\0" * 22 + b"\1\x13OpusHead" + NOISE,
    ],
    "png": [picture("PNG")],
    "jpg": [picture("JPEG"), b"\xff\xd8\xff\xe1\x12\x34Exif\0\0" + NOISE, b"\xff\xd8\xff\xdb" + NOISE],
    "jpeg": [picture("JPEG"), b"\xff\xd8\xff\xee\0\x0eAdobe" + NOISE],
    "gif": [picture("GIF"), b"GIF87a" + NOISE],
    "webp": [picture("WEBP"), b"RIFF\x10\x20\0\0WEBPVP8X" + NOISE],
    "pdf": [
        b"%PDF-1.7\n%\xe2\xe3" + NOISE, b"\xef\xbb\xbf%PDF-1.4", b"\r\n\r\n%PDF-2.0",
        b"\0" * 128 + b"%PDF-1.3",
    ],
    "zip": [archive(["a.c"]), archive(["a.c"], streamed=True), archive([]), b"PK\7\x08" + archive(["a.c"])],
    "docx": [
        archive(["[Content_Types].xml", "_rels/.rels", "word/document.xml", "docProps/core.xml"]),
        archive(["_rels/.rels", "docProps/app.xml", "word/document.xml"], streamed=True),
        archive(["docMetadata/LabelInfo.xml", "word/numbering.xml", "word/media/image1.png"], NOISE),
        archive(["[Content_Types].xml", "word/document.xml"], NOISE),
    ],
    "xlsx": [
        archive(["xl/drawings/drawing1.xml", "xl/worksheets/sheet1.xml", "[Content_Types].xml"]),
        archive(["docProps/app.xml", "docProps/core.xml", "xl/theme/theme1.xml", "xl/workbook.xml"]),
        archive(["[Content_Types].xml", "_rels\\.rels", "xl\\workbook.xml"], streamed=True),
    ],
    "pptx": [
        archive(["[Content_Types].xml", "_rels/.rels", "ppt/presentation.xml"]),
        archive(["ppt/embeddings/a.docx", "ppt/presentation.xml"], archive(["word/document.xml"])),
    ],
    "txt": [
        b"Sch\xc3\xb6n", b"\xef\xbb\xbfa", "Grüße".encode("utf-16"), b"\xfe\xff" + "أهلا".encode("utf-16-be"),
        b"#include <stdio.h>\nint f(int x) { return x < head; }", b"MZ is a format", b"\x1b[31mred\x1b[0m\f",
        "€".encode() * HEAD, b"a" + "€".encode() * HEAD, b"ab" + "😀".encode() * HEAD,
        ("a" + "😀" * HEAD).encode("utf-16"),
    ],
    "md": [b"# Pages\n\n<script>alert(1)</script>", b"<!doctype html>\n<html>", b"<svg onload=alert(1)>"],
    "csv": [b"name,mark\r\n<b>,1\r\n", b"<?xml version='1.0'?>,1"],
}  # fmt: skip
TEXTS = ("txt", "md", "csv")
ALIKE = ({"mp4", "m4v"}, {"jpg", "jpeg"}, {"zip", *OFFICE}, TEXTS)


@pytest.mark.parametrize("extension", REAL)
def test_what_real_programs_write_is_taken(extension: str):
    for data in REAL[extension]:
        assert checked_type(extension, data[:HEAD]) == TYPES[extension], data[:60]


@pytest.mark.promise("uploads")
@pytest.mark.parametrize("extension", TYPES)
def test_no_file_passes_for_one_of_another_kind(extension: str):
    for other, examples in REAL.items():
        if not any({other, extension} <= set(kinds) for kinds in (*ALIKE, {extension})):
            for data in examples:
                with pytest.raises(FileTypeRefused):
                    checked_type(extension, data[:HEAD])


@pytest.mark.promise("uploads")
@pytest.mark.parametrize("extension", sorted(set(TYPES) - set(TEXTS)))
def test_nothing_that_a_browser_takes_for_a_page_passes_for_a_file(extension: str):
    for page in (
        b"<html>",
        b"<!DOCTYPE html>",
        b"  <svg onload=alert(1)>",
        b"\xef\xbb\xbf<script>",
        b"<?xml",
    ):
        for data in (page, *(page + example for example in REAL[extension])):
            with pytest.raises(FileTypeRefused):
                checked_type(extension, data[:HEAD])


@pytest.mark.promise("uploads")
@pytest.mark.parametrize("extension", OFFICE)
def test_an_archive_is_no_document_of_office(extension: str):
    others = [name for kind, name in OFFICE.items() if kind != extension]
    for names in (
        ["notes.txt"], ["content.xml", "mimetype"], ["[Content_Types].xml"], ["word.xml"], ["a/word/x.xml"],
        [], ["AndroidManifest.xml", "META-INF/MANIFEST.MF"], [OFFICE[extension], *others],
        *(["[Content_Types].xml", other] for other in others),
    ):  # fmt: skip
        for streamed in (False, True):
            with pytest.raises(FileTypeRefused):
                checked_type(extension, archive(names, streamed=streamed)[:HEAD])
    with pytest.raises(FileTypeRefused):
        checked_type(extension, archive(["program.exe", OFFICE[extension]], NOISE)[:HEAD])


@pytest.mark.promise("uploads")
@pytest.mark.parametrize("extension", TEXTS)
def test_what_is_not_text_is_refused_however_long_it_is(extension: str):
    binary = bytes(each or 1 for each in NOISE)
    for data in (
        NOISE, binary, b"a" * 8000 + binary, b"a\0b", b"a" * 8000 + b"\0" + b"a" * 500, b"\xc3",
        b"a" * (HEAD - 2) + b"\xc3", "Schön".encode("latin-1"), b"\xed\xa0\x80", "a\0b".encode("utf-16"),
        b"\xff\xfe\xfd", b"\xff\xfe" + binary, "abc".encode("utf-32"), b"\x89PNG\r\n" + binary, b"%PDF-1.4 a",
    ):  # fmt: skip
        with pytest.raises(FileTypeRefused):
            checked_type(extension, data[:HEAD])
