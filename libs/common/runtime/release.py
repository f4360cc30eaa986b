"""Which release this is: of the installed package, or of the image, where nothing is installed."""

import os
from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """Such as `0.1.0`; an image says it in `LECTERN_VERSION`."""
    try:
        return version("lectern")
    except PackageNotFoundError:
        return os.environ.get("LECTERN_VERSION", "unknown")
