"""Identity consumes nothing: it is the authority on who there is."""

from typing import Any

from libs.common.inbox import Handler

HANDLERS: dict[type[Any], Handler] = {}
