"""Names in any writing: every character has a glyph, joined and in the right direction, on one page."""

import io
import re
import unicodedata
from datetime import date
from typing import Any

import pytest
from pypdf import PdfReader
from pypdf.generic import ContentStream

from libs.common.files.typesetting import BOX, has_glyph, one_line
from services.learning.certificates.document import PLAIN, Design, render_certificate

NUMBER = "CERT-2026-4F7K2Q"


def made(name: str, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "course_title": "Graphs & *trees* #1",
        "number": NUMBER,
        "completed_on": date(2026, 3, 2),
        "verification_url": f"https://lectern.example/api/certificates/{NUMBER}/verify/",
    }
    return render_certificate(student_name=name, **(values | changes))


def words(pdf: bytes) -> str:
    reader = PdfReader(io.BytesIO(pdf))
    assert len(reader.pages) == 1
    return reader.pages[0].extract_text()


def fonts_of(pdf: bytes) -> dict[str, Any]:
    resources: Any = PdfReader(io.BytesIO(pdf)).pages[0]["/Resources"]
    return {key: font.get_object() for key, font in resources["/Font"].items()}


def glyphs(pdf: bytes) -> dict[str, list[int]]:
    """The glyph ids that are drawn, by font."""
    reader = PdfReader(io.BytesIO(pdf))
    page = reader.pages[0]
    fonts = {key: font["/BaseFont"].partition("+")[2] for key, font in fonts_of(pdf).items()}
    found: dict[str, list[int]] = {}
    current = ""
    for operands, operator in ContentStream(page.get_contents(), reader).operations:
        if operator == b"Tf":
            current = fonts[operands[0]]
        elif operator in (b"Tj", b"TJ"):
            parts = operands[0] if operator == b"TJ" else operands
            for part in parts:
                if isinstance(part, (int, float)):
                    continue
                data = part if isinstance(part, bytes) else part.original_bytes
                codes = [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]
                found.setdefault(current, []).extend(codes)
    return found


@pytest.mark.parametrize(
    ("name", "font"),
    [
        ("Ada Lovelace", "LibertinusSerif"),
        ("Nguyễn Thị Ánh", "LibertinusSerif"),
        ("Юлия Ковалёва", "LibertinusSerif"),
        ("Ελένη Παπαδοπούλου", "LibertinusSerif"),
        ("דוד בן־גוריון", "LibertinusSerif"),
        ("محمد العربي", "NotoNaskhArabic"),
        ("فرشته حسینی‌پور", "NotoNaskhArabic"),
        ("王小明", "NotoSansCJKsc"),
        ("陳大文", "NotoSansCJKsc"),
        ("さとう なおみ", "NotoSansCJKjp"),
        ("김민준", "NotoSansCJKsc"),
        ("अनुष्का शर्मा", "NotoSerifDevanagari"),
        ("সুমন দাস", "NotoSerifBengali"),
        ("கமலா தேவி", "NotoSerifTamil"),
        ("రామ చంద్ర", "NotoSerifTelugu"),
        ("สมชาย ใจดี", "NotoSerifThai"),
        ("გიორგი მაისურაძე", "NotoSerifGeorgian"),
        ("Արամ Խաչատրյան", "NotoSerifArmenian"),
        ("Ada محمد 王", "NotoNaskhArabic"),
    ],
)
def test_a_name_in_any_writing_has_its_glyphs(name: str, font: str):
    pdf = made(name)
    text = words(pdf)
    letters = {c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c)[0] == "L"}
    assert letters <= set(text), letters - set(text)
    assert BOX not in text
    assert "\0" not in text
    drawn = glyphs(pdf)
    assert any(found.startswith(font) for found in drawn), drawn.keys()
    assert all(0 not in codes for codes in drawn.values())  # .notdef


def test_arabic_letters_join_and_run_from_right_to_left():
    def drawn(name: str) -> list[int]:
        return next(codes for font, codes in glyphs(made(name)).items() if font.startswith("NotoNaskh"))

    whole, apart = drawn("ببب"), drawn("ب‌ب‌ب")
    assert len(set(whole)) > len(set(apart))  # initial, medial and final forms, against one isolated form
    pdf = made("ا د ب")
    [font] = [f for f in fonts_of(pdf).values() if "NotoNaskh" in f["/BaseFont"]]
    pairs = re.findall(rb"<(\w{4})> <(\w{4})>", font["/ToUnicode"].get_data())
    meaning = {int(code, 16): chr(int(char, 16)) for code, char in pairs}
    order = "".join(meaning[code] for code in drawn("ا د ب"))
    assert [char for char in order if char in "ادب"] == ["ب", "د", "ا"]  # from the left: the last one first


def test_the_fixed_words_stand_in_the_language_of_the_course():
    english, arabic = words(made("Ada Lovelace")), words(made("Ada Lovelace", language="ar"))
    assert "This certifies that" in english
    assert "2 March 2026" in english
    assert not re.search("certifies|completed|Date|Number|March|Check", arabic)
    for word in ("شهادة", "التاريخ", "الرقم", "مارس"):
        assert word in arabic
    for part in ("Ada Lovelace", NUMBER, "https://lectern.example/"):
        assert part in arabic
    own = Design("Diploma", "has learnt", "", "", "#000000")
    assert "Diploma" in words(made("Ada Lovelace", design=own, language="ar"))


def test_han_characters_take_the_shapes_of_the_learners_language():
    fonts = {
        locale: {font for font in glyphs(made("直美", locale=locale)) if "CJK" in font}
        for locale in ("ja", "zh", "en")
    }
    assert fonts["zh"] == fonts["en"] != fonts["ja"]


def test_what_no_font_has_is_a_box_and_what_is_no_letter_is_left_out():
    text = words(made("𠮷野 Ada 🎓"))
    assert f"{BOX}野 Ada" in text
    assert "🎓" not in text
    text = words(made("\U0001e900\u0301Z 王\u0a73 x"))  # marks of letters that are none, or of another font
    assert f"{BOX}Z 王" in text
    assert not has_glyph("𠮷")
    assert has_glyph("王")


def test_invisible_characters_cannot_turn_a_name_round():
    assert one_line("Ada\u202e ecalevoL\u2066\x07\n\tx") == "Ada ecalevoL x"
    assert one_line("e\u0301") == "é"
    assert words(made("Ada \u202eevil")).count("Ada evil") == 1


@pytest.mark.parametrize(
    "name",
    [
        "Maximiliana Alexandra Theodora Wilhelmina von und zu Hohenlohe-Waldenburg-Schillingsfürst " * 3,
        "W" * 300,
        "王" * 300,
        "محمد " * 60,
        "김민준" * 100,
    ],
)
def test_everything_at_its_longest_still_makes_one_page(name: str):
    design = Design("M" * 80, "W" * 240, "王" * 80, "Dean of " * 15, "#7a1f3a")
    text = words(made(name, design=design, course_title="Wide Words " * 18))
    assert NUMBER in text
    assert set(name) - {" "} <= set(text)


def test_nothing_that_is_written_acts():
    name = '#eval("1+1") *bold* $x^2$ \\ #read("/etc/passwd") <a> @b'
    design = Design(name, name, name, name, PLAIN.accent_color)
    text = words(made(name, design=design, course_title=name)).replace("\n", " ")
    assert text.count('#read("/etc/passwd")') >= 3
    assert text.count("*bold*") == 6
    assert "root:" not in text


def test_the_same_input_makes_the_same_file():
    assert made("محمد العربي") == made("محمد العربي")
