"""The base of every table of learning, by itself so that each noun can hold its own tables."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Numeric, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase

from libs.common.data.tables import TYPES, service_metadata


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = {
        **TYPES,
        list[UUID]: ARRAY(Uuid()),
        list[str]: ARRAY(Text()),
        list[dict[str, Any]]: JSONB(),
        Decimal: Numeric(20, 10),
    }
