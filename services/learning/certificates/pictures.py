"""Logos and signatures: decoded, shrunk and encoded anew as PNG; nothing else of the upload is kept."""

from PIL import Image, ImageOps

from libs.common.files.pictures import encoded, opened
from services.learning.errors import PictureRefused

MOST_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 12_000_000
MOST_STORED = 512 * 1024
SIZES = ((900, 300), (600, 200), (300, 100))
"""Boxes into which a picture is shrunk, until it is small enough to store."""
FORMATS = ("JPEG", "PNG", "WEBP")


def clean_picture(data: bytes) -> bytes:
    """A PNG without metadata. Pure CPU. Raises PictureRefused."""
    unreadable = "cannot be read as a JPEG, PNG or WebP"
    with opened(data, FORMATS, MOST_PIXELS, PictureRefused, unreadable) as image:
        upright = ImageOps.exif_transpose(image) or image
        pixels = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    for box in SIZES:
        pixels.thumbnail(box, Image.Resampling.LANCZOS)
        clean = encoded(pixels, "PNG", optimize=True)
        if len(clean) <= MOST_STORED:
            break
    return clean
