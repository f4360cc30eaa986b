"""Table of exports and erasures."""

from libs.common.privacy.parts import PrivacyPartTable
from services.learning.models.base import Base


class PrivacyPart(PrivacyPartTable, Base):
    """What learning was asked to pack or to erase."""

    __topics__ = ("learning.privacy.events",)
