"""What is kept in Valkey, and which user may reach it: one for each service, the gateway and the tasks.

A ticket opens a socket as the person that it names, so only the service that makes tickets may write them,
and those that have sockets may take one out, which deletes it.
"""

from collections.abc import Iterable

from libs.common.runtime.settings import SERVICES

GATEWAY, TASKS = "gateway", "tasks"
USERS = (*SERVICES, GATEWAY)
"""Users of Kafka too; the tasks, Celery's workers and beat, need none there."""

TICKET_KEYS = "lectern:ticket:"
LIMIT_KEYS = "limit:"
QUEUE_KEYS = "lectern:celery:"
BEAT_KEYS = "lectern:beat:"

MINT, REDEEM = ("notify",), ("forum", "notify")
"""The services that make tickets, and those that have sockets and take them."""

_CONNECT = ("ping", "hello", "auth", "select", "client|setinfo", "client|setname", "client|id")
# What kombu sends to put a task on a queue.
_ENQUEUE = ("multi", "exec", "lpush", "sadd", "smembers", "llen", "info")


def valkey_rules(user: str) -> str:
    """The rules of one user as in Valkey's ACL file, without its password."""
    if user == TASKS:
        return _rules((QUEUE_KEYS, BEAT_KEYS), ("@all", "info"), channels="&*", never=("@admin",))
    if user == GATEWAY:
        return _rules((LIMIT_KEYS,), (*_CONNECT, "evalsha", "eval", "script|load", "time", "get", "set"))
    keys = [QUEUE_KEYS + name + user for name in ("", "_kombu.binding.", "_kombu.binding_permanent.")]
    commands = [*_CONNECT, *_ENQUEUE]
    if user in MINT:
        keys.append(TICKET_KEYS)
        commands += ["set"]
    if user in REDEEM:
        keys.append(TICKET_KEYS)
        commands += ["getdel"]
    return _rules(dict.fromkeys(keys), commands)


def _rules(
    keys: Iterable[str],
    commands: Iterable[str],
    *,
    channels: str = "resetchannels",
    never: Iterable[str] = (),
) -> str:
    parts = [*(f"~{key}*" for key in keys), channels, "-@all"]
    return " ".join(parts + [f"+{name}" for name in commands] + [f"-{name}" for name in never])
