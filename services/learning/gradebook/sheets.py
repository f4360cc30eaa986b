"""The gradebook as a file: CSV (RFC 4180), or XLSX written row by row, with the same columns.

The header names an item as `Title [uuid]`: the uuid says which one it is, whatever its title. No text in
either is taken for a formula.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import UUID

import xlsxwriter

from libs.common.files.sheets import guarded, write_cells
from services.learning.gradebook.queries import CourseGrades
from services.learning.gradebook.service import row

CHUNK = 256 * 1024
FIRST, LAST = ("user", "name", "email"), ("current", "final", "letter")
"""Columns before and after those of the items."""
Cell = str | float | None


def table(grades: CourseGrades, emails: Mapping[UUID, str]) -> Iterator[list[Cell]]:
    """The header, then a row for each learner; a cell without a score says why in brackets."""
    yield [*FIRST, *(f"{each.item.title} [{each.item.uuid}]" for each in grades.items), *LAST]
    for user in grades.names:
        shown = row(grades, user)
        scores = [_score(shown["cells"][each.item.uuid]) for each in grades.items]
        who = (str(user), shown["name"], emails.get(user, ""))
        yield [*who, *scores, *(shown[name] for name in LAST)]


def _score(cell: dict[str, Any]) -> Cell:
    return f"({cell['status']})" if cell["score"] is None else float(cell["score"])


def as_csv(grades: CourseGrades, emails: Mapping[UUID, str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    for cells in table(grades, emails):
        writer.writerow(["" if cell is None else guarded(str(cell)) for cell in cells])
    return text.getvalue()


def as_xlsx(grades: CourseGrades, emails: Mapping[UUID, str]) -> IO[bytes]:
    """A file that is gone once it is closed. Blocks: call it in a thread."""
    file: IO[bytes] = TemporaryFile()  # noqa: SIM115 (whoever sends it closes it)
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as workbook:
        quoted = workbook.add_format({"quote_prefix": True})
        sheet = workbook.add_worksheet("Gradebook")
        sheet.freeze_panes(1, len(FIRST))
        for place, cells in enumerate(table(grades, emails)):
            write_cells(sheet, quoted, place, cells)
    file.seek(0)
    return file


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The file's bytes; it is closed at their end."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
