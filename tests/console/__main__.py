"""The console in a real browser: `make console`; with `--pictures` writes docs/pictures/console-*.png.

Needs Chromium, Debian's or another named by `CHROMIUM`.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.console.browser import find_chromium

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.console", description=__doc__)
    parser.add_argument("--pictures", action="store_true", help="write the pictures of README and docs")
    options, rest = parser.parse_known_args()
    if find_chromium() is None:
        print("console: Chromium is missing: install it with 'apt-get install chromium'", file=sys.stderr)
        return 1
    files = [HERE / "pages.py", *([HERE / "pictures.py"] if options.pictures else [])]
    command = [sys.executable, "-m", "pytest", "-q", *map(str, files), *rest]
    done = subprocess.run(command, check=False).returncode
    print("console: every page holds" if done == 0 else "console: failed", flush=True)
    return done


if __name__ == "__main__":
    sys.exit(main())
