"""The example of the environment."""

import re

from deploy.local.env_example import generated, main


def test_the_committed_example_is_what_the_settings_say():
    assert main(["--check"]) == 0


def test_every_setting_stands_there_once_and_under_its_sentence():
    lines = generated().splitlines()
    names = [match[1] for line in lines if (match := re.match(r"#([A-Z_]+)=", line))]
    assert len(names) == len(set(names))
    assert {"LECTERN_SECRET", "LEARNING_DATABASE_URL", "GATEWAY_PORT", "LECTERN_PORT_KAFKA"} <= set(names)
    settings = [n for n, line in enumerate(lines) if re.match(r"#[A-Z]", line)]
    assert all(lines[n - 1].startswith("# ") for n in settings)
