"""Files of the lake, for PyIceberg, on the storage client of the suite: a local directory or S3."""

import io
import re
from types import TracebackType
from typing import Any, Self

import obstore
from obstore.exceptions import NotFoundError
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from libs.common.files.storage import open_area
from libs.common.runtime.failpoints import failpoint

AREA = "lake"
STORAGE = "lectern.storage"
"""Property of the catalog: the storage's URL."""
IMPLEMENTATION = "services.analytics.lake.files.StorageIO"
# Tables know their files by URL. What follows the area is the path in it, also where the storage has moved.
PLACE = re.compile(r"/lake/([a-z0-9_]+/(?:data|metadata)/.+)$")


def path_of(location: str) -> str:
    """The path in the area of a file of a table."""
    found = PLACE.search(location)
    if found is None:
        raise FileNotFoundError(f"{location} is no file of the lake")
    return found[1]


class _Reading(io.RawIOBase):
    """A stored object as a seekable file."""

    def __init__(self, store: Any, path: str) -> None:
        try:
            self._file = obstore.open_reader(store, path)
        except NotFoundError as error:
            raise FileNotFoundError(path) from error

    def read(self, size: int | None = -1, /) -> bytes:
        return bytes(self._file.readall() if size is None or size < 0 else self._file.read(size))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class _Writing:
    """An object that is there when it is closed, whole."""

    def __init__(self, store: Any, path: str) -> None:
        self._file = obstore.open_writer(store, path)
        self._size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._size += len(data)
        self._file.write(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Nothing is to be seen before the end."""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._file.close()
            failpoint("lake.file_written")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Object(InputFile, OutputFile):
    def __init__(self, store: Any, location: str) -> None:
        super().__init__(location)
        self._store, self._path = store, path_of(location)

    def __len__(self) -> int:
        return int(obstore.head(self._store, self._path)["size"])

    def exists(self) -> bool:
        try:
            obstore.head(self._store, self._path)
        except (NotFoundError, FileNotFoundError):
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:
        return _Reading(self._store, self._path)

    def create(self, overwrite: bool = False) -> OutputStream:
        if not overwrite and self.exists():
            raise FileExistsError(self.location)
        return _Writing(self._store, self._path)

    def to_input_file(self) -> InputFile:
        return self


class StorageIO(FileIO):
    """What `py-io-impl` of the catalog names."""

    def __init__(self, properties: Any = None) -> None:
        super().__init__(properties or {})
        self._store, _, _ = open_area(str(self.properties[STORAGE]), AREA)

    def new_input(self, location: str) -> InputFile:
        return _Object(self._store, location)

    def new_output(self, location: str) -> OutputFile:
        return _Object(self._store, location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        place = location if isinstance(location, str) else location.location
        obstore.delete(self._store, path_of(place))
