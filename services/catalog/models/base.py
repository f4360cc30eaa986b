"""What every table of catalog starts from."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped

from libs.common.data.tables import TYPES, service_metadata


class Base(DeclarativeBase):
    metadata = service_metadata()
    type_annotation_map = {
        **TYPES,
        list[UUID]: ARRAY(Uuid()),
        list[str]: ARRAY(Text()),
        list[dict[str, Any]]: JSONB(),
    }


class StoredObject:
    """Columns of a table of stored objects: the row is written before the object, and deleted after it.

    `unused_since` is when a sweep first found no use of the object. Once it is condemned, it cannot be used
    any more.
    """

    unused_since: Mapped[datetime | None]
    condemned_at: Mapped[datetime | None]
