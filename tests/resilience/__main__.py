"""`python -m tests.resilience PROOF` prints what held, and ends with 1 where something did not."""

import argparse
import asyncio
import sys
import time
import traceback
from importlib import import_module

PROOFS = ("disaster", "pooler", "kafka", "postgres", "upgrade")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.resilience")
    parser.add_argument("proof", choices=PROOFS)
    parser.add_argument("only", nargs="*", help="of the disasters, only these")
    arguments = parser.parse_args()
    proof = arguments.proof
    began = time.monotonic()
    try:
        held = asyncio.run(import_module(f"tests.resilience.{proof}").run(*arguments.only))
    except Exception:
        traceback.print_exc()
        print(f"{proof}: FAILED after {time.monotonic() - began:.0f} s")
        return 1
    print(f"{proof}: {held} in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
