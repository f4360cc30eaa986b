"""Types of fields that several kinds have."""

from typing import Annotated
from uuid import UUID

from libs.common.web.schemas import Answer, Length, PlainText

Side = Annotated[PlainText, Length(1, 5_000)]


class PartRead(Answer):
    """What there is to choose from or to put in place."""

    uuid: UUID
    text: PlainText
