"""Answers that several folders give."""

from pydantic import BaseModel

from libs.common.web.schemas import PlainText


class Done(BaseModel):
    """An answer that only says what was done."""

    detail: PlainText
