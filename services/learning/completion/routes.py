"""When a course counts as completed."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from libs.common.data.db import SessionDep
from libs.common.security.auth import CurrentUser, Teacher
from libs.common.web import etags
from libs.common.web.clock import Now
from libs.common.web.etags import IfMatch
from libs.common.web.openapi import raises
from services.learning.completion import course_rules
from services.learning.completion.queries import as_rule
from services.learning.completion.schemas import (
    CompletionPreview,
    CompletionRulesRead,
    CompletionRulesUpdate,
    rule_read,
)
from services.learning.errors import NotEnrolled

router = APIRouter(prefix="/api/courses/{course}/completion-rules", tags=["completion"])


@router.get("/", response_model=CompletionRulesRead, responses=raises(NotEnrolled))
async def get_completion_rules(
    course: UUID, who: CurrentUser, session: SessionDep, now: Now, request: Request, response: Response
) -> Any:
    """What completes the course, for its learners with what of it they have met."""
    rules, version = await course_rules.read_rules(session, who, course, now)
    tag = etags.etag(version, *(rule.met for rule in rules))
    return etags.answer(request, response, tag) or {"rules": rules}


@router.put("/", response_model=CompletionRulesRead | CompletionPreview)
async def save_completion_rules(
    course: UUID,
    body: CompletionRulesUpdate,
    who: Teacher,
    session: SessionDep,
    now: Now,
    if_match: IfMatch,
    response: Response,
    dry_run: bool = False,
) -> Any:
    """Save what completes the course; with `dry_run=true` only say which learners would complete it at once.

    Learners who meet the rules already complete the course within moments; a completion is never taken back.
    """
    if dry_run:
        return {"completes": await course_rules.try_rules(session, who, course, body, now)}
    saved = await course_rules.save_rules(session, who, course, body, if_match, now)
    rules = [as_rule(content) for content in saved.content]
    response.headers["ETag"] = etags.etag(saved.version, *(None for _ in rules))
    return {"rules": [rule_read(rule, None) for rule in rules]}
