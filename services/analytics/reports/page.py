"""A document in a language: every number and word as it is shown, and what is set or drawn of them."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_time
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from libs.common.files.typesetting import (
    GlyphMissing,
    compile_document,
    has_glyph,
    legible,
    typeset,
    without_marks,
)
from libs.common.runtime.mail_texts import direction
from libs.common.web.zones import zone as zone_of
from services.analytics.reports import words
from services.analytics.reports.content import Column, Document, Table
from services.analytics.reports.drawing import DAY, figure
from services.analytics.reports.words import phrase, say

PLACE = Path(__file__).parent
TEMPLATE = (PLACE / "report.typ").read_bytes()
PAGES = Environment(
    loader=FileSystemLoader(PLACE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
LINES = 20
"""Rows of a table in the text of a mail."""


@dataclass(frozen=True)
class Page:
    """What is shown, in words. `figures` are what `report.typ` draws."""

    title: str
    language: str
    lines: Sequence[str]
    moment: str
    facts: Sequence[Mapping[str, Any]]
    figures: Sequence[Mapping[str, Any]]
    tables: Sequence[Mapping[str, Any]]
    nothing: str | None

    @property
    def is_rtl(self) -> bool:
        return direction(self.language) == "rtl"


def make_page(document: Document, title: str, language: str, zone: str) -> Page:
    """`zone` is the reader's own, for the moment that it is as of."""

    def number(value: Any) -> str:
        return show(value, language, document.zone)

    here = zone_of(zone) or UTC
    moment = phrase(words.AS_OF, language, moment=_moment(document.as_of, here, language), zone=zone)
    lines = [document.subject] if document.subject else []
    if document.period:
        first, last = (format_date(day, "long", locale=language) for day in document.period)
        lines.append(phrase(words.PERIOD, language, first=first, last=last))
    facts = [
        {
            "label": say(words.FACTS.get(fact.key, fact.label), language),
            "value": number(fact.value) + _sign(fact.unit),
            "previous": None
            if fact.previous is None
            else phrase(words.PREVIOUS, language, value=number(fact.previous) + _sign(fact.unit)),
        }
        for fact in document.facts
    ]
    figures = [f for f in (figure(chart, language, number) for chart in document.charts) if f]
    tables = [_table(table, language, document.zone) for table in document.tables if table.rows]
    empty = not facts and not figures and not tables
    nothing = phrase(words.NOTHING, language) if empty else None
    return Page(title, language, [*lines, moment], moment, facts, figures, tables, nothing)


def show(value: Any, language: str, zone: str) -> str:
    """A value as people read it: numbers grouped and with two decimals at most, days and moments in words."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return phrase(words.YES if value else words.NO, language)
    if isinstance(value, (int, float, Decimal)):
        return str(format_decimal(round(float(value), 2), locale=language))
    if isinstance(value, datetime):
        return _moment(value, zone_of(zone) or UTC, language)
    if isinstance(value, str) and DAY.match(value):
        value = date.fromisoformat(value)
    if isinstance(value, date):
        return str(format_date(value, "medium", locale=language))
    return say(str(value), language)


def _moment(value: datetime, zone: tzinfo, language: str) -> str:
    day = format_date(value.astimezone(zone), "medium", locale=language)
    return f"{day}, {format_time(value, 'short', tzinfo=zone, locale=language)}"


def _sign(unit: str | None) -> str:
    return "\u00a0%" if unit == "percent" else ""


def _table(table: Table, language: str, zone: str) -> dict[str, Any]:
    numbers = [_is_number(row[place] for row in table.rows) for place in range(len(table.columns))]
    more = phrase(words.MORE, language, count=len(table.rows)) if table.truncated else None
    return {
        "title": say(table.title, language) if table.title else None,
        "columns": [
            {"name": _heading(column, language), "number": is_number}
            for column, is_number in zip(table.columns, numbers, strict=True)
        ],
        "rows": [[show(value, language, zone) for value in row] for row in table.rows],
        "more": more,
    }


def _heading(column: Column, language: str) -> str:
    said = say(words.COLUMNS.get(column.key, column.label), language)
    return f"{said} (%)" if column.unit == "percent" else said


def _is_number(values: Any) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in known
    )


def as_pdf(page: Page) -> bytes:
    """PDF/UA-1. Pure CPU, as all that is below: call it in a thread."""
    return _set(_values(page), page.language)


def as_pictures(page: Page) -> list[bytes]:
    """Each chart as a PNG."""
    values = _values(page)
    bare = values | {"facts": [], "charts": [], "tables": [], "nothing": None}
    return [_set(bare | {"only": each}, page.language, "png") for each in values["charts"]]


def as_fragment(page: Page, pictures: Sequence[str]) -> Markup:
    """HTML to be put into a page or a mail; `pictures` are the addresses of the charts."""
    return Markup(  # noqa: S704 - escaped by Jinja2
        PAGES.get_template("report.html.j2").render(
            page=page, direction=direction(page.language), pictures=pictures, whole=False
        )
    )


def as_html(page: Page, pictures: Sequence[bytes]) -> bytes:
    """A page of its own, which loads nothing."""
    inline = [f"data:image/png;base64,{b64encode(each).decode()}" for each in pictures]
    html = PAGES.get_template("report.html.j2").render(
        page=page, direction=direction(page.language), pictures=inline, whole=True
    )
    return html.encode()


def as_text(page: Page) -> str:
    """What the HTML says, without the charts."""
    parts = ["\n".join(page.lines)]
    parts += [f"{fact['label']}: {fact['value']}" for fact in page.facts]
    for table in page.tables:
        heads = " | ".join(column["name"] for column in table["columns"])
        rows = [" | ".join(one.replace("\n", " ") for one in row) for row in table["rows"][:LINES]]
        if len(table["rows"]) > LINES:
            rows.append("…")
        parts.append("\n".join([*([table["title"]] if table["title"] else []), heads, *rows]))
    if page.nothing:
        parts.append(page.nothing)
    return "\n\n".join(parts) + "\n"


def _values(page: Page) -> dict[str, Any]:
    return {
        "only": None,
        "rtl": page.is_rtl,
        "language": page.language,
        "title": page.title,
        "lines": list(page.lines),
        "moment": page.moment,
        "facts": list(page.facts),
        "charts": list(page.figures),
        "tables": list(page.tables),
        "nothing": page.nothing,
    }


def _set(values: dict[str, Any], language: str, format: Any = "pdf") -> bytes:
    """Set it; what no font has glyphs for is shown by plainer forms, as on certificates."""
    files = {"main.typ": TEMPLATE}
    plainer = (
        lambda text: text,
        lambda text: legible(text, has_glyph),
        lambda text: without_marks(legible(text, has_glyph)),
    )
    for simplify in plainer[:-1]:
        try:
            return compile_document(files, _typeset(values, language, simplify), format=format)
        except GlyphMissing:
            continue
    return compile_document(files, _typeset(values, language, plainer[-1]), format=format)


PLAIN = frozenset({"language", "kind", "color", "alt"})


def _typeset(value: Any, language: str, simplify: Any, key: str = "") -> Any:
    """Every text as the template takes it; what is no text for people stays as it is."""
    if isinstance(value, str):
        return value if key in PLAIN else typeset(simplify(value), language)
    if isinstance(value, Mapping):
        if value.keys() == {"text", "rtl", "lang", "fonts"}:
            return typeset(simplify(value["text"]), language)
        return {name: _typeset(each, language, simplify, name) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_typeset(each, language, simplify, key) for each in value]
    return value


FORBIDDEN = re.compile(r"[\[\]:*?/\\']")


def sheet_name(title: str) -> str:
    """A name that a workbook takes."""
    return FORBIDDEN.sub(" ", title)[:31].strip() or "1"
