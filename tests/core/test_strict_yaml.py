"""Every mistake in a YAML file is named with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrail import strict_yaml
from guardrail.errors import ConfigurationError
from guardrail.settings import Settings, load


def mistake(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        strict_yaml.loads(text, Settings, source="site.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("server:\n  prot: 3", "site.yaml:2: unknown key 'prot'; did you mean 'port'?"),
        ("server:\n  port: abc", "site.yaml:2: server.port: expected 'int', got 'str'."),
        ("server:\n  port: 70000", "site.yaml:2: server.port: expected 'int' <= 65535."),
        ("version: 1\nrails:\n- id: grounding\n  mode: maybe", "site.yaml:4: rails[0].mode: invalid enum value 'maybe'."),
        ("version: 2", "site.yaml:1: version: invalid enum value 2."),
        ("version: 1\nversion: 1", "site.yaml:2: the key 'version' stands twice."),
        ("- a\n- b", "site.yaml:1: holds no mapping of keys to values."),
        ("server:\n  port: ${NO_SUCH_VARIABLE}", "site.yaml:2: the environment variable NO_SUCH_VARIABLE is not set."),
        ("rails:\n- mode: shadow", "site.yaml:2: rails[0]: missing required field 'id'."),
    ],
)
def test_a_mistake_is_named_with_file_and_line(text: str, sentence: str) -> None:
    assert mistake(text) == sentence


def test_broken_yaml_names_the_line() -> None:
    assert mistake("server:\n  port: [1").startswith("site.yaml:")


def test_a_setting_that_needs_another_says_so() -> None:
    assert (
        mistake("generator: {kind: openai, model: m}")
        == "site.yaml: generator.base_url is missing: the openai generator needs a server, e.g. http://127.0.0.1:8001/v1."
    )


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_PORT", "9000")
    monkeypatch.setenv("CHAT_KEY", "8000")
    settings = strict_yaml.loads("server:\n  port: ${CHAT_PORT}\n  host: ${CHAT_HOST:-localhost}\n  api_keys: ['${CHAT_KEY}']", Settings)
    assert (settings.server.port, settings.server.host, settings.server.api_keys) == (9000, "localhost", ("8000",))


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "guardrail.yaml"
    path.write_text("# nothing yet\n")
    assert load(path) == Settings() == load(None)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read \(No such file or directory\)"):
        load(tmp_path / "none.yaml")
