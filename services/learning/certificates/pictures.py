"""Logos and signatures: decoded, shrunk and encoded anew as PNG; nothing else of the upload is kept."""

from io import BytesIO

from PIL import Image, ImageOps

from libs.common.logs import get_logger
from services.learning.errors import PictureRefused

log = get_logger(__name__)

MOST_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 12_000_000
MOST_STORED = 512 * 1024
SIZES = ((900, 300), (600, 200), (300, 100))
"""Boxes into which a picture is shrunk, until it is small enough to store."""
FORMATS = ("JPEG", "PNG", "WEBP")


def clean_picture(data: bytes) -> bytes:
    """A PNG without metadata. Pure CPU. Raises PictureRefused."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise PictureRefused(f"has more than {MOST_PIXELS // 1_000_000} million pixels")
            upright = ImageOps.exif_transpose(image) or image
            pixels = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except PictureRefused:
        raise
    except Exception as error:  # decoders raise whatever malformed data makes them trip over
        log.info("picture_refused", error=repr(error)[:200])
        raise PictureRefused("cannot be read as a JPEG, PNG or WebP") from error
    for box in SIZES:
        pixels.thumbnail(box, Image.Resampling.LANCZOS)
        clean = Image.new(pixels.mode, pixels.size)
        clean.paste(pixels)
        out = BytesIO()
        clean.save(out, "PNG", optimize=True)
        if out.tell() <= MOST_STORED:
            break
    return out.getvalue()
