"""What tools of analysts are given is what the dictionary says."""

from deploy.analysts.superset import stale


def test_superset_s_assets_are_those_of_the_dictionary():
    assert stale() == []
