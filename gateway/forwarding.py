"""Header lines that the gateway adds: to a request who its client is, to an answer the date."""

import time
from email.utils import formatdate
from urllib.parse import urlsplit

from gateway.addresses import Address
from libs.common.runtime.settings import SuiteSettings
from libs.common.web.border import HEADER, gateway_key


class Forwarding:
    """Tells a service of its client, with the key by which it knows the gateway."""

    def __init__(self, settings: SuiteSettings) -> None:
        self._key = f"{HEADER.decode()}: {gateway_key(settings.secret).decode()}\r\n"
        self._scheme = urlsplit(settings.public_url).scheme or "http"

    def lines(self, address: Address) -> bytes:
        """All lines up to the value of `X-Forwarded-Host`."""
        client = f"X-Forwarded-For: {address.text}\r\nX-Forwarded-Proto: {self._scheme}\r\n"
        return f"{self._key}{client}X-Forwarded-Host: ".encode()


class DateLine:
    """The `Date` header line, made once a second."""

    def __init__(self) -> None:
        self._made = (0, b"")

    def __call__(self) -> bytes:
        now = int(time.time())
        if self._made[0] != now:
            self._made = (now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode())
        return self._made[1]
