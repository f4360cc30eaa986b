"""Answers about favourites."""

from pydantic import BaseModel


class FavoriteAnswer(BaseModel):
    is_favorite: bool
    detail: str
