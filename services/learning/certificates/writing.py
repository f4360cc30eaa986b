"""Texts of people, in whatever writing, made ready to be set on one line of a certificate."""

import textwrap
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Labels:
    """What every certificate says, in the language of the course."""

    title: str
    certifies: str
    completed: str
    dated: str
    numbered: str
    check: str
    months: tuple[str, ...]

    def day(self, day: date) -> str:
        return f"{day.day} {self.months[day.month - 1]} {day.year}"


ENGLISH = Labels(
    "Certificate of completion", "This certifies that", "has completed the course", "Date", "Number",
    "Check it at",
    ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
     "November", "December"),
)  # fmt: skip
ARABIC = Labels(
    "شهادة إتمام", "تشهد هذه الوثيقة بأن", "قد أتم الدورة", "التاريخ", "الرقم", "للتحقق منها:",
    ("يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر", "أكتوبر", "نوفمبر",
     "ديسمبر"),
)  # fmt: skip


def labels_in(language: str) -> Labels:
    """Arabic or English, as the mails of the suite are."""
    return ARABIC if language.lower().startswith("ar") else ENGLISH


def typeset(text: str, hint: str) -> dict[str, Any]:
    """A text as the template takes it: one line, with its direction, language and fonts.

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
