"""Answers that several folders give."""

from pydantic import BaseModel

from libs.common.web.schemas import PlainText


class Done(BaseModel):
    """The answer of an action that has nothing else to return."""

    detail: PlainText
