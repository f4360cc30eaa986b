"""Whether the process in this container is ready: exit 0 or 1. It runs often, so it imports next to nothing.

Celery's processes are asked by the age of their file, all others by `/readyz`.
"""

import os
import socket
import sys
import time

# A container has this directory to itself, also where its root is read-only.
READY = "/dev/shm/lectern-ready"  # noqa: S108
PORT = "8000"
OLDEST = 60.0


def port() -> int:
    return int(os.environ.get(f"{os.environ.get('LECTERN_IMAGE', '').upper()}_PORT", PORT))


def is_ready() -> bool:
    try:
        return time.time() - os.stat(READY).st_mtime < OLDEST
    except FileNotFoundError:
        pass
    try:
        with socket.create_connection(("127.0.0.1", port()), timeout=4) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(16).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not is_ready())
