"""Documents set by typst: texts of people in whatever writing. Pure CPU: call it in a thread.

typst is imported where something is set: only the images of those who set documents have it, and the fonts.
"""

import textwrap
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    import typst

PLACE = Path(__file__).parent / "fonts"
PROBE = b'#set document(title: "-")\n#set text(font: "Libertinus Serif")\n#sys.inputs.text'
JOINERS = "\u200c\u200d"  # of Persian and Indic writing
LONGEST_WORD = 40
OTHERS = tuple(
    f"Noto {name}"
    for name in (
        "Sans CJK SC", "Naskh Arabic", "Serif Devanagari", "Serif Bengali", "Serif Tamil", "Serif Telugu",
        "Serif Thai", "Serif Georgian", "Serif Armenian",
    )
)  # fmt: skip
"""Named one by one: a font that typst has to look for shapes no conjuncts."""
FONTS = ("Libertinus Serif", *OTHERS)
JAPANESE = ("Libertinus Serif", "Noto Sans CJK JP", *OTHERS)
BOX = "\u25a1"


def typeset(text: str, hint: str) -> dict[str, Any]:
    """A text as a template takes it: one line, with its direction, language and fonts.

    `hint` is the language that its writer uses otherwise: it decides for Han characters alone.
    """
    text = one_line(text)
    kinds = [unicodedata.bidirectional(char) for char in text]
    first = next((kind for kind in kinds if kind in ("L", "R", "AL")), "L")
    language = _language(text, hint, first)
    return {
        "text": text,
        "rtl": first != "L",
        "lang": language,
        "fonts": JAPANESE if language == "ja" else FONTS,
    }


def one_line(text: str) -> str:
    """Without invisible characters that could turn it round, and with breaks in endless words."""
    composed = unicodedata.normalize("NFC", text)
    plain = "".join(c for c in composed if c in JOINERS or c.isspace() or unicodedata.category(c)[0] != "C")
    words = (textwrap.wrap(word, LONGEST_WORD, break_on_hyphens=False) for word in plain.split())
    return " ".join("\u200b".join(parts) for parts in words)


def legible(text: str, has_glyph: Callable[[str], bool]) -> str:
    """What can be shown of a text: plainer forms of characters; else symbols are left out, letters boxes.

    Marks go with the letters that they stand on.
    """
    shown = ""
    bare = True
    for char in unicodedata.normalize("NFC", text):
        is_mark = unicodedata.category(char)[0] == "M"
        if is_mark and bare:
            continue
        new = _shown(char, has_glyph)
        bare = bare if is_mark else new in ("", BOX)
        shown += new
    return shown


def without_marks(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char)[0] != "M")


def _shown(char: str, has_glyph: Callable[[str], bool]) -> str:
    if char.isspace() or unicodedata.category(char)[0] == "C" or has_glyph(char):
        return char
    plainer = unicodedata.normalize("NFKC", char)
    if plainer != char and all(has_glyph(each) for each in plainer):
        return plainer
    return BOX if unicodedata.category(char)[0] in "LN" else ""


def _language(text: str, hint: str, direction: str) -> str:
    if direction == "AL":
        return "ar"
    if direction == "R":
        return "he"
    if any("\u3041" <= char <= "\u30ff" for char in text):
        return "ja"
    if any("\u4e00" <= char <= "\u9fff" for char in text):
        return "ja" if hint.lower().startswith("ja") else "zh"
    return "ko" if any("\uac00" <= char <= "\ud7a3" for char in text) else "en"


@cache
def fonts() -> "typst.Fonts":
    """Those of the house and those that typst brings along: the same on every machine."""
    import typst

    return typst.Fonts(include_system_fonts=False, font_paths=[str(PLACE)])


@cache
def has_glyph(char: str) -> bool:
    try:
        compile_document({"main.typ": PROBE}, text=char)
    except GlyphMissing:
        return False
    return True


class GlyphMissing(Exception):
    """A document refused by its standard: PDF/UA-1 wants a glyph for every character."""


def compile_document(
    files: Mapping[str, bytes],
    values: Mapping[str, Any] | None = None,
    *,
    format: Literal["pdf", "png"] = "pdf",
    ppi: int = 144,
    **inputs: str,
) -> bytes:
    """`main.typ` of `files` as a PDF (PDF/UA-1) or a picture of its page.

    Texts reach it as values (`sys.inputs.data`, JSON), never as markup. Raises GlyphMissing.
    """
    import typst

    if values is not None:
        inputs["data"] = orjson.dumps(values).decode()
    kind: dict[str, Any] = {"pdf_standards": "ua-1", "timestamp": 0} if format == "pdf" else {"ppi": ppi}
    try:
        made = typst.compile(
            dict(files),
            format=format,
            sys_inputs=inputs,
            font_paths=fonts(),
            **kind,
        )
    except typst.TypstError as error:
        raise GlyphMissing(str(error)) from error
    assert isinstance(made, bytes)
    return made
