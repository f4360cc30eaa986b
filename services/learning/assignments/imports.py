"""Taking grades in from CSV (RFC 4180): columns of assignments by id, learners by id or e-mail.

What the export writes can be read again: its other columns and cells that say a status change nothing. An
item is also named by its title alone, as older exports did, where nothing else can be meant. A
score that is taken in stands as it is: lateness does not lower it. Locks: enrolments by id, then submissions
by id.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import UploadFile

from libs.common.data.audit_log import write_entry
from libs.common.files.sheets import unguarded
from libs.common.runtime.errors import PayloadTooLarge, Unprocessable
from libs.common.security.auth import Teacher
from libs.common.security.tokens import Principal
from libs.common.web.paging import choose_bool
from libs.common.web.strict import read_form
from services.learning.access import access_taught_course
from services.learning.assignments.grading import Grade, give_grade
from services.learning.assignments.submissions import new_submission
from services.learning.errors import FileMissing, ImportRefused
from services.learning.gradebook.queries import CourseGrades, GradeItem, RecordedGrade, emails_of, load_grades
from services.learning.gradebook.service import number
from services.learning.gradebook.sheets import FIRST, LAST
from services.learning.models import ENROLLED, Assignment, Enrollment, Submission

RESERVED = frozenset({*FIRST, *LAST, ""})
NAMED = re.compile(r"(.*\[)?(?P<uuid>[0-9a-fA-F-]{36})(?(1)\])", re.DOTALL)
NUMBER = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})")
MOST_BYTES = 4_000_000
MOST_ROWS = 20_000
MOST_ERRORS = 200
IMPORT_BODY = 16 * 1024 * 1024
UNCHANGED = frozenset({"", "(open)", "(submitted)", "(missing)"})
EXCUSED = frozenset({"(excused)", "excused"})
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "CSV, at most 4 MB"},
                        "dry_run": {"type": "boolean", "default": False},
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class Upload:
    """The text of the file, and whether it is only tried."""

    text: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class CellChange:
    """A cell that changes something; no score: excused."""

    row: int
    user: UUID
    item: GradeItem
    before: RecordedGrade
    score: Decimal | None


@dataclass(slots=True)
class ParsedFile:
    """What a file says about a gradebook: changes, and what is wrong by row (1 is the header)."""

    changes: list[CellChange] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    unchanged: int = 0

    def wrong(self, row: int, column: str, message: str) -> None:
        if len(self.errors) < MOST_ERRORS:
            self.errors.append({"row": row, "column": column[:200], "message": message})


async def uploaded(course: UUID, request: Request, who: Teacher) -> Upload:
    """The multipart `file`; users who may not import are refused before the body is read."""
    async with request.app.state.db.sessions() as early:
        await access_taught_course(early, who, course)
    async with read_form(request, max_files=1, max_fields=5) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise FileMissing
        given = form.get("dry_run", request.query_params.get("dry_run"))
        dry_run = choose_bool("dry_run", given if isinstance(given, str) else None)
        if (file.size or 0) > MOST_BYTES:
            raise PayloadTooLarge(f"The file is larger than {MOST_BYTES:,} bytes.")
        data = await file.read()
    try:
        return Upload(data.decode("utf-8-sig"), bool(dry_run))
    except UnicodeDecodeError as error:
        raise Unprocessable.field("file", "must be CSV in UTF-8") from error


Uploaded = Annotated[Upload, Depends(uploaded)]


async def import_grades(
    session: AsyncSession, who: Principal, course: UUID, upload: Upload, now: datetime
) -> dict[str, Any]:
    """Give the grades in the file, all or none; tried only, say what would change. Raises ImportRefused."""
    await access_taught_course(session, who, course)
    if not upload.dry_run:
        # What the file is compared with must stay what it is until the grades are given.
        await session.execute(
            select(Enrollment.uuid)
            .where(Enrollment.course == course, Enrollment.status.in_(ENROLLED))
            .order_by(Enrollment.uuid)
            .with_for_update(key_share=True)
        )
        await session.execute(
            select(Submission.uuid)
            .join(Assignment, Assignment.uuid == Submission.assignment)
            .where(Assignment.course == course)
            .order_by(Submission.uuid)
            .with_for_update(of=Submission, key_share=True)
        )
    grades = await load_grades(session, course, now)
    emails = await emails_of(session, grades.names)
    parsed = read(upload.text, grades, {email.lower(): user for user, email in emails.items()})
    if parsed.errors and not upload.dry_run:
        raise ImportRefused(parsed.errors)
    if not upload.dry_run:
        await _give(session, who, course, parsed.changes, now)
    return {
        "dry_run": upload.dry_run,
        "applied": not upload.dry_run,
        "changes": [_shown(each, grades) for each in parsed.changes],
        "unchanged": parsed.unchanged,
        "errors": parsed.errors,
    }


def _shown(change: CellChange, grades: CourseGrades) -> dict[str, Any]:
    before = change.before.item_grade
    return {
        "row": change.row,
        "user": change.user,
        "name": grades.names[change.user],
        "item": change.item.item.uuid,
        "title": change.item.item.title,
        "before": {"score": number(before.earned), "status": before.status},
        "after": {
            "score": None if change.score is None else float(change.score),
            "status": "excused" if change.score is None else "graded",
        },
    }


def read(text: str, grades: CourseGrades, addresses: dict[str, UUID]) -> ParsedFile:
    """What a CSV would change. Raises Unprocessable where it is no table at all."""
    rows = _rows(text)
    first = next(rows, None)
    if first is None:
        raise Unprocessable.field("file", "is empty")
    header = [unguarded(cell).strip() for cell in first[1]]
    parsed = ParsedFile()
    items = _columns(header, grades, parsed)
    names = [name.lower() for name in header]
    keys: dict[str, int] = {name: names.index(name) for name in ("user", "email") if name in names}
    if not keys:
        raise Unprocessable.field("file", "needs a column user or email")
    seen: set[UUID] = set()
    for line, cells in rows:
        user, key = _learner(cells, keys, grades, addresses)
        if user is None:
            parsed.wrong(line, key, "is nobody who is enrolled in the course")
        elif user in seen:
            parsed.wrong(line, key, "has a row already")
        elif len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            parsed.wrong(line, "", "has more cells than the header")
        else:
            seen.add(user)
            item_grades = {each.item_grade.item.uuid: each for each in grades.item_grades[user]}
            for column, item in items.items():
                if column < len(cells):
                    _read_cell(parsed, line, user, item, item_grades[item.item.uuid], cells[column])
    return parsed


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with their numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for line, cells in enumerate(reader, 1):
            if line > MOST_ROWS:
                raise Unprocessable.field("file", f"may have {MOST_ROWS:,} rows")
            if any(cell.strip() for cell in cells):
                yield line, cells
    except csv.Error as error:
        raise Unprocessable.field("file", "is not CSV") from error


def _columns(header: list[str], grades: CourseGrades, parsed: ParsedFile) -> dict[int, GradeItem]:
    """Which columns are items. What the export has besides is left out."""
    named = {column: item for column, name in enumerate(header) if (item := _by_id(name, grades))}
    found: dict[int, GradeItem] = {}
    for column, name in enumerate(header):
        same = [each for each in grades.items if each.item.title.strip() == name]
        if (item := named.get(column)) is not None:
            if not _is_meant(item, name, same):
                parsed.wrong(1, name, "may be two items: name the column by the uuid alone")
                continue
        elif name.lower() in RESERVED:
            if any(each not in named.values() for each in same):
                parsed.wrong(1, name, "is a column of its own, too: name the item by its uuid")
            continue
        elif len(same) != 1:
            several = "is the title of several items: name the column by its uuid"
            parsed.wrong(1, name, several if same else "is no item of the gradebook")
            continue
        else:
            [item] = same
        if item in found.values():
            parsed.wrong(1, name, "is there twice")
        else:
            found[column] = item
    if not found and not parsed.errors:
        parsed.wrong(1, "", "names no item of the gradebook")
    return found


def _by_id(name: str, grades: CourseGrades) -> GradeItem | None:
    """The item of a header `Title [uuid]`, or of a uuid alone."""
    if (match := NAMED.fullmatch(name)) is None:
        return None
    return next((each for each in grades.items if str(each.item.uuid) == match["uuid"].lower()), None)


def _is_meant(item: GradeItem, name: str, same: list[GradeItem]) -> bool:
    """Whether a header means the item of its uuid. It may be the title of another one: then only as the
    export writes it."""
    uuid = str(item.item.uuid)
    return not same or name.lower() == uuid or name == f"{item.item.title} [{uuid}]".strip()


def _learner(
    cells: list[str], keys: dict[str, int], grades: CourseGrades, addresses: dict[str, UUID]
) -> tuple[UUID | None, str]:
    """Who a row is about, and the column that says so: by id, or by address where there is no id."""
    given = {key: unguarded(cells[place].strip()) for key, place in keys.items() if place < len(cells)}
    key = "user" if given.get("user") or "email" not in given else "email"
    text = given.get(key, "")
    if key == "email":
        return addresses.get(text.lower()), key
    try:
        user = UUID(text)
    except ValueError:
        return None, key
    return user if user in grades.names else None, key


def _read_cell(
    parsed: ParsedFile, line: int, user: UUID, item: GradeItem, before: RecordedGrade, cell: str
) -> None:
    text = unguarded(cell.strip()).lower()
    title = item.item.title
    if text in UNCHANGED:
        parsed.unchanged += 1
        return
    score: Decimal | None = None
    if text not in EXCUSED:
        if not NUMBER.fullmatch(text):
            parsed.wrong(line, title, "must be a number, or (excused)")
            return
        score = Decimal(text)
        if not 0 <= score <= item.item.points:
            parsed.wrong(line, title, f"must be from 0 to {item.item.points.normalize():f}")
            return
        if score != round(score, 4):
            parsed.wrong(line, title, "may have four decimal places")
            return
    shown = number(before.item_grade.earned)
    same = (
        before.item_grade.status == "excused"
        if score is None
        else before.item_grade.status == "graded" and shown is not None and score == Decimal(str(shown))
    )
    if same:
        parsed.unchanged += 1
    elif item.kind != "assignment":
        parsed.wrong(line, title, "is a quiz, which is graded in its attempts")
    else:
        parsed.changes.append(CellChange(line, user, item, before, score))


async def _give(
    session: AsyncSession, who: Principal, course: UUID, changes: list[CellChange], now: datetime
) -> None:
    """Grade submissions, and make those that are missing."""
    if not changes:
        return
    wanted = {change.item.item.uuid for change in changes}
    assignments = {
        row.uuid: row for row in await session.scalars(select(Assignment).where(Assignment.uuid.in_(wanted)))
    }
    enrolled = await session.scalars(select(Enrollment).where(Enrollment.course == course))
    enrollments = {row.student: row for row in enrolled}
    rows = await session.scalars(
        select(Submission).where(Submission.assignment.in_(wanted)).execution_options(populate_existing=True)
    )
    submissions = {(row.assignment, row.student): row for row in rows}
    for change in changes:
        assignment = assignments[change.item.item.uuid]
        submission = submissions.get((assignment.uuid, change.user))
        if submission is None:
            submission = new_submission(assignment, enrollments[change.user])
            session.add(submission)
        submission.individual = submission.team is not None
        await give_grade(session, who, submission, assignment, Grade(change.score), None, now, late=0)
    details = {"grades": len(changes), "items": sorted(map(str, wanted))}
    await write_entry(session, "gradebook.imported", course, actor=who.user, details=details)
