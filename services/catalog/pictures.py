"""Uploaded pictures: decoded, turned upright, shrunk and encoded again, without metadata."""

from functools import partial

from PIL import Image

from libs.common.files.pictures import PicturePool, encoded, is_picture, opened, shrunk, without_metadata
from services.catalog.errors import PictureRefused

WIDTHS = (320, 640, 1280)
"""Pixels of the variants' widths; a smaller picture is not blown up."""
MOST_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP")


def check_type(name: str, head: bytes) -> None:
    """Check the first bytes and the extension, if any: JPEG, PNG or WebP. Raises PictureRefused."""
    if not is_picture(name, head):
        raise PictureRefused("must be a JPEG, PNG or WebP")


def make_variants(data: bytes) -> dict[int, bytes]:
    """WebP in each width, of the first frame. Raises PictureRefused."""
    made = {}
    with opened(data, FORMATS, MOST_PIXELS, PictureRefused, "cannot be read as a picture") as image:
        pixels = shrunk(image, 2 * WIDTHS[-1])
        for width in reversed(WIDTHS):
            pixels.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
            made[width] = encoded(pixels, "WEBP", quality=85)
    return made


class Pictures(PicturePool):
    """Decodes and encodes, a few pictures at a time."""

    async def make_variants(self, data: bytes) -> dict[int, bytes]:
        return await self.run(make_variants, data)

    async def without_metadata(self, data: bytes, media_type: str) -> bytes:
        """The picture in its own format. Raises FileTypeRefused."""
        return await self.run(partial(without_metadata, media_type=media_type), data)
