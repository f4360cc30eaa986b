"""What an uploaded picture becomes: decoded, turned upright, shrunk and encoded anew, and nothing else."""

from libs.common.files.pictures import PicturePool, encoded, is_picture, opened, shrunk
from services.identity.errors import FileTypeRefused, PictureRefused

SIDE = 512
MOST_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP")


def check_type(name: str, head: bytes) -> None:
    """The first bytes of a JPEG, PNG or WebP, and an extension of these or none. Raises FileTypeRefused."""
    if not is_picture(name, head):
        raise FileTypeRefused


def make_avatar(data: bytes) -> bytes:
    """A WebP of at most 512 × 512 pixels without metadata, of the first frame. Raises PictureRefused."""
    with opened(data, FORMATS, MOST_PIXELS, PictureRefused, "cannot be read as a picture") as image:
        return encoded(shrunk(image, SIDE), "WEBP", quality=85)


class Pictures(PicturePool):
    """Makes avatars, a few at a time."""

    async def make_avatar(self, data: bytes) -> bytes:
        return await self.run(make_avatar, data)
