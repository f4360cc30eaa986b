"""When a stand-in is made again, without an engine."""

from tests.containers.bases import digest_of


def test_a_digest_tells_names_contents_and_base(tmp_path):
    (tmp_path / "libs").mkdir()
    (tmp_path / "kafka.sh").write_text("exec java\n")
    (tmp_path / "libs" / "a.jar").write_bytes(b"1")
    first = digest_of(tmp_path, "base")
    assert digest_of(tmp_path, "base") == first
    assert digest_of(tmp_path, "another base") != first
    (tmp_path / "libs" / "a.jar").rename(tmp_path / "libs" / "b.jar")
    renamed = digest_of(tmp_path, "base")
    assert renamed != first
    (tmp_path / "kafka.sh").write_text("exec java -version\n")
    assert digest_of(tmp_path, "base") not in (first, renamed)
