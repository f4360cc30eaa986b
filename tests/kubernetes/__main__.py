"""`python -m tests.kubernetes check | cluster | real`: `make deploy-check`, `k8s-test` and `k8s-real`."""

import argparse
import signal
import sys

from deploy.local.project import SetupError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes", description=__doc__)
    parser.add_argument("what", choices=("check", "cluster", "real"))
    parser.add_argument("--tag", default="dev", help="of the images that `real` runs")
    parser.add_argument("--minutes", type=float, default=5, help="for which `real` kills pods at random")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended all the same
    try:
        if options.what == "check":
            from tests.kubernetes.check import check

            return check()
        if options.what == "cluster":
            from tests.kubernetes.fake import main as fake

            return fake()
        from tests.kubernetes.real import main as real

        return real(options.tag, options.minutes)
    except SetupError as missing:
        print(f"kubernetes: {missing}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
