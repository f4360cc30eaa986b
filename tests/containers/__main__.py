"""`python -m tests.containers engine | images | compose | profiles`."""

import argparse
import sys

from deploy.local.project import SetupError
from tests.containers import compose, engine, images, profiles


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.containers", description=__doc__)
    parser.add_argument("what", choices=("engine", "images", "compose", "profiles"))
    parser.add_argument("--tag", default="dev", help="of the images that are built")
    parser.add_argument("--once", action="store_true", help="build each image once only")
    parser.add_argument("--built", action="store_true", help="use the images that are there")
    options = parser.parse_args()
    try:
        if options.what == "engine":
            engine.hold()
        elif options.what == "images":
            images.images(options.tag, again=not options.once)
        elif options.what == "profiles":
            profiles.profiles_test(built=options.built)
        else:
            compose.compose_test(built=options.built)
    except (SetupError, AssertionError, RuntimeError) as failure:
        print(f"{options.what}: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
