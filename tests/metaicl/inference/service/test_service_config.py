"""The configuration of the service: who may reach it, and with which tokens."""

from __future__ import annotations

import pytest

from metaicl.inference.service.config import TOKENS, ServeRun, read_tokens
from task_suites.core.errors import UserError


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch):
    monkeypatch.delenv(TOKENS, raising=False)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_an_address_of_this_machine_alone_is_known(host, local):
    config = ServeRun(host=host)
    assert config.is_local is local
    if local:
        assert read_tokens(config) == ()
    else:
        with pytest.raises(UserError, match=r"is open to others, and no token is set.*127\.0\.0\.1"):
            read_tokens(config)


def test_tokens_of_the_environment_and_of_the_file_are_all_taken(monkeypatch, tmp_path):
    (tmp_path / "tokens").write_text("three\n\n four \n")
    monkeypatch.setenv(TOKENS, " one two ")
    assert read_tokens(ServeRun(host="0.0.0.0", token_file=tmp_path / "tokens")) == ("one", "two", "three", "four")


@pytest.mark.parametrize(("content", "message"), [(b"\n \n", "the file has no tokens"), (b"\xff", "cannot be read")])
def test_a_file_that_gives_no_token_is_refused_also_where_none_is_needed(tmp_path, content, message):
    (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_tokens(ServeRun(token_file=tmp_path / "tokens"))
    with pytest.raises(UserError, match="cannot be read"):
        read_tokens(ServeRun(token_file=tmp_path / "nowhere"))


@pytest.mark.parametrize("changes", [{"port": -1}, {"port": 65536}, {"batch": 0}, {"timeout": 0.0}, {"memory": -1.0}])
def test_a_number_outside_its_range_is_refused_by_its_name(changes):
    with pytest.raises(UserError, match=f"^{next(iter(changes))} must be"):
        ServeRun(**changes)
