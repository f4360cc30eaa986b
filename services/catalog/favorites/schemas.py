"""Answers about favourites."""

from pydantic import BaseModel

from libs.common.web.schemas import PlainText


class FavoriteRead(BaseModel):
    is_favorite: bool
    detail: PlainText
