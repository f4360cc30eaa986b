"""Taking grades of assignments in from a file."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from libs.common.data.db import SessionDep
from libs.common.security.auth import Teacher
from libs.common.web.clock import Now
from libs.common.web.openapi import raises
from libs.common.web.schemas import Answer, PlainText
from services.learning.assignments.imports import FORM, IMPORT_BODY, Uploaded, import_grades
from services.learning.errors import FileMissing, ImportRefused
from services.learning.gradebook.schemas import GradeCell

router = APIRouter(prefix="/api/courses/{course}", tags=["gradebook"])


class GradeImportChange(Answer):
    """A grade that an import changes, or would change; `row` 1 is the header."""

    row: int
    user: UUID
    name: PlainText
    item: UUID
    title: PlainText
    before: GradeCell
    after: GradeCell


class GradeImportError(Answer):
    row: int
    column: PlainText
    message: PlainText


class GradeImport(Answer):
    """Tried only (`dry_run`), `applied` is false and `errors` says what is wrong in the other rows."""

    dry_run: bool
    applied: bool
    changes: list[GradeImportChange]
    unchanged: int
    errors: list[GradeImportError]


@router.post(
    "/gradebook/import/",
    response_model=GradeImport,
    max_body_size=IMPORT_BODY,
    openapi_extra=FORM,
    responses=raises(FileMissing, ImportRefused),
)
async def import_gradebook(
    course: UUID, upload: Uploaded, who: Teacher, session: SessionDep, now: Now
) -> Any:
    """Grades of assignments from CSV, all or none; with `dry_run` only say who changes from what to what.

    Commas separate cells. Columns are those of the export; `user` or `email` is needed, and an item may also
    be named by its uuid alone, or by its title if no other item and no other column has it.
    """
    return await import_grades(session, who, course, upload, now)
