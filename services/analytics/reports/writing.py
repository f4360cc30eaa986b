"""The files of reports: rows of a query as exports write them, dashboards as sheets, pages set by typst."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.common.files.letters import Enclosure, Letter
from libs.common.files.sheets import write_cells
from services.analytics.exports.writing import WRITERS
from services.analytics.reports import words
from services.analytics.reports.content import Document
from services.analytics.reports.page import (
    Page,
    as_fragment,
    as_html,
    as_pdf,
    as_pictures,
    as_text,
    make_page,
    sheet_name,
)
from services.analytics.reports.rules import TYPES
from services.analytics.reports.words import phrase, say


@dataclass(frozen=True)
class Written:
    """A file, and what the mail shows of the same numbers."""

    rows: int
    page: Page
    pictures: list[bytes]


def write_page(
    document: Document, title: str, language: str, zone: str, kind: str | None, file: Path
) -> Written:
    """A document as a file of this kind; without one (it has been written) only the page. Pure CPU."""
    page = make_page(document, title, language, zone)
    pictures = as_pictures(page)
    match kind:
        case "pdf":
            file.write_bytes(as_pdf(page))
        case "html":
            file.write_bytes(as_html(page, pictures))
        case "xlsx":
            _write_book(document, language, file)
        case "csv":
            _write_lines(document, file)
    return Written(sum(len(table.rows) for table in document.tables), page, pictures)


def make_letter(written: Written, attachment: Enclosure | None) -> Letter:
    """The mail's part: the same numbers as HTML with pictures, and as text."""
    page = written.page
    names = [f"chart-{number}@lectern" for number in range(1, len(written.pictures) + 1)]
    pictures = [
        Enclosure(name, "image/png", data) for name, data in zip(names, written.pictures, strict=True)
    ]
    html = as_fragment(page, [f"cid:{name}" for name in names])
    return Letter(page.title, page.language, html, as_text(page), pictures, attachment)


def enclosure(kind: str, day: Any, data: bytes) -> Enclosure:
    return Enclosure(f"lectern-{day:%Y-%m-%d}.{kind}", TYPES[kind], data)


def _write_book(document: Document, language: str, file: Path) -> None:
    """A sheet for the numbers and one for each table."""
    import xlsxwriter

    book = xlsxwriter.Workbook(str(file), {"constant_memory": True, "tmpdir": str(file.parent)})
    quoted = book.add_format({"quote_prefix": True})
    facts = [[say(words.FACTS.get(f.key, f.label), language), _cell(f.value)] for f in document.facts]
    sheets = [(phrase(words.NUMBERS, language), facts)] if facts or not document.tables else []
    for table in document.tables:
        heads = [say(words.COLUMNS.get(c.key, c.label), language) for c in table.columns]
        sheets.append(
            (say(table.title, language), [heads, *([_cell(value) for value in row] for row in table.rows)])
        )
    for title, rows in sheets:
        sheet = book.add_worksheet(sheet_name(title))
        for number, cells in enumerate(rows):
            write_cells(sheet, quoted, number, cells)
    book.close()


def _write_lines(document: Document, file: Path) -> None:
    """A line for each number, under names that stay the same in every language."""
    columns = [(name, "string") for name in ("table", "row", "name", "value")]
    writer = WRITERS["csv"](file, columns)
    writer.write(["summary", None, fact.key, _cell(fact.value)] for fact in document.facts)
    for table in document.tables:
        for number, row in enumerate(table.rows, 1):
            writer.write(
                [table.title, number, column.key, _cell(value)]
                for column, value in zip(table.columns, row, strict=True)
            )
    writer.close()


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
