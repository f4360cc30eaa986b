"""Catalog's parts of exports and erasures."""

from libs.common.privacy.parts import PrivacyPartTable
from services.catalog.models.base import Base


class PrivacyPart(PrivacyPartTable, Base):
    """Catalog's part of an export or an erasure."""

    __topics__ = ("catalog.privacy.events",)
