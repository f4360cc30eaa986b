"""Tables of the search in courses."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from services.catalog.models.base import Base


class CourseLexeme(Base):
    """A word stem of published courses: what misspelt words are compared with.

    Noted when a course is published, and drawn anew from the search index by a sweep (`search/lexemes.py`);
    the words of an erased instructor's name go with it.
    """

    __tablename__ = "course_lexemes"

    word: Mapped[str] = mapped_column(primary_key=True)
    courses: Mapped[int]

    __table_args__ = (
        Index(
            "ix_course_lexemes_word_trigrams",
            "word",
            postgresql_using="gin",
            postgresql_ops={"word": "gin_trgm_ops"},
        ),
    )
