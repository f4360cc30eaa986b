"""`python -m tests.containers engine | images | compose`."""

import argparse
import sys

from tests.containers import engine
from tests.containers.packages import MissingTool


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.containers", description=__doc__)
    parser.add_argument("what", choices=("engine",))
    options = parser.parse_args()
    try:
        if options.what == "engine":
            engine.hold()
    except MissingTool as missing:
        print(f"containers: {missing}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
