import os
import stat
from pathlib import Path

import psutil
import psycopg
import pytest

from deploy.local import postgres as module
from deploy.local.kafka import jars
from deploy.local.kafka.server import find_java
from deploy.local.project import Project, SetupError
from deploy.local.servers import Server, server_command, start_postgres, start_valkey
from deploy.local.testing import temporary_directory


def test_postgres_keeps_its_data_over_a_restart(private_directory: Path):
    directory = private_directory / "kept"
    server = start_postgres(directory)
    try:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        pid = server.pid
    finally:
        server.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    again = start_postgres(directory)
    try:
        with psycopg.connect(again.url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        again.stop()


def test_a_stale_pid_file_of_a_stranger_does_not_stop_postgres(private_directory: Path):
    directory = private_directory / "stale"
    server = start_postgres(directory)
    server.stop()
    data = Path(server.command.argv[2])
    # After a reboot the number may be that of any process; ours surely lives.
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n\n127.0.0.1\n")
    again = start_postgres(directory)
    assert again.pid != os.getpid()
    again.stop()


def test_postgres_never_runs_as_root_and_its_password_is_private(postgres: Server):
    assert postgres.pid is not None
    assert psutil.Process(postgres.pid).uids().real != 0
    secrets = list(Path(postgres.command.argv[2]).parents[1].glob("*.password"))
    assert secrets
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give way to another user")
def test_in_a_private_directory_the_data_lies_where_the_unprivileged_user_reaches_it():
    with temporary_directory() as directory:
        directory.chmod(0o700)
        server = start_postgres(directory / "checkout")
        try:
            link = directory / "checkout" / "postgres"
            assert link.is_symlink()
            assert link.readlink().parent == module.SHARED
            psycopg.connect(server.url).close()
        finally:
            server.stop()
            module.delete_data(directory / "checkout")
        assert not link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give way to another user")
def test_a_wheel_in_a_private_directory_is_copied_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(module, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(module, "reachable", lambda path, user: False)
    place = module.installation("nobody")
    assert place.is_relative_to(tmp_path / "shared")
    assert os.access(place / "bin" / "postgres", os.X_OK)
    assert module.installation("nobody") == place


def test_valkey_starts_and_says_that_it_is_embedded(private_directory: Path):
    server = start_valkey(private_directory / "valkey", durable=False)
    assert (server.kind, server.command.probe()) == ("embedded", None)
    server.stop()
    assert server.command.probe() is not None


def test_a_server_given_by_url_is_taken_before_all_others(tmp_path: Path):
    project = Project.for_tests(tmp_path, extra={"LECTERN_KAFKA": "kafka.example:9092"})
    command = server_command(project, "kafka")
    assert (command.kind, command.url, command.argv) == ("url", "kafka.example:9092", ())


def test_the_committed_sums_name_the_45_jars_of_this_pom():
    assert len(jars.expected()) == 45
    assert jars._belongs()


def test_a_spoilt_jar_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "kafka_2.13-4.4.0.jar").write_bytes(b"not the jar")
    assert "kafka_2.13-4.4.0.jar" in jars._differences(tmp_path)


def test_missing_maven_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SetupError, match=r"Maven is missing.*apt-get install maven"):
        jars.jars()


def test_missing_java_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("deploy.local.kafka.server._java_of_wheel", lambda: None)
    with pytest.raises(SetupError, match=r"Java 17 or newer.*apt-get install default-jre-headless"):
        find_java()
