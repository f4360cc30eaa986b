"""The declared topics: names, kinds, settings, and what is said about a topic that differs."""

import pytest

from libs.common.events.topics import TOPICS, Topic, differences, main, topic
from libs.common.runtime.settings import SERVICES


def test_names_are_unique_and_begin_with_their_owner() -> None:
    names = [each.name for each in TOPICS]
    assert len(names) == len(set(names))
    for each in TOPICS:
        assert each.name.split(".")[0] == each.owner
        assert each.owner in SERVICES
        assert set(each.consumers) <= {*SERVICES, "gateway"}
        assert (each.kind == "log") == each.name.endswith(".events")


def test_logs_are_kept_for_ever_and_states_are_compacted() -> None:
    for each in TOPICS:
        assert each.config["retention.ms"] == "-1"
        assert each.config["cleanup.policy"] == ("delete" if each.kind == "log" else "compact")


def test_a_topic_is_named_with_the_prefix_and_an_undeclared_one_is_refused() -> None:
    assert topic("learning.events") == "learning.events"
    assert topic("learning.events", "t1-") == "t1-learning.events"
    with pytest.raises(KeyError):
        topic("learning.evnets")


def test_a_topic_as_declared_has_no_differences() -> None:
    for each in TOPICS:
        partitions = each.partitions or 6
        assert differences(each, each.name, partitions, {**each.config, "segment.bytes": "1"}, 6) == []


def test_each_difference_is_one_sentence() -> None:
    log = Topic("sample.events", "log", "samples", "sample", ())
    found = differences(log, "p-sample.events", 3, {**log.config, "retention.ms": "1000"}, 6)
    assert found == [
        "p-sample.events: 3 partitions, declared 6",
        "p-sample.events: retention.ms=1000, declared -1",
    ]
    wide = Topic("sample.events", "log", "samples", "sample", (), partitions=12)
    assert differences(wide, "sample.events", 12, wide.config, 6) == []


def test_list_prints_every_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--prefix", "t-"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        f"t-{t.name}" for t in TOPICS
    ]
