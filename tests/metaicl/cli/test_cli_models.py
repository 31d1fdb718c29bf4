"""`metaicl models`: what there is, whether it was pulled, and under which licence."""

from __future__ import annotations

import re

import pytest
from commands import fails

from metaicl.cli.main import main
from metaicl.lm import models, pulling
from metaicl.lm.released import RELEASED


@pytest.mark.parametrize(("folder", "state"), [(None, "not pulled"), ("/somewhere", "pulled")])
def test_each_model_is_listed_once_with_its_state_and_licence(capsys, monkeypatch, folder, state):
    monkeypatch.setattr(models, "local_folder", lambda name: folder)
    main(["models", "list"])
    head, *lines = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
    assert head == ["model", "state", "licence", "description"]
    assert [line[0] for line in lines] == [*models.MODELS, *RELEASED]
    assert {line[1] for line in lines} == {state, "shipped"}
    assert [line[2] for line in lines] == [of.licence for of in (*models.MODELS.values(), *RELEASED.values())]


def test_pulling_prints_the_folder_alone_on_standard_output(capsys, monkeypatch):
    def pull(name, say):
        say(f"fetching {name}")
        return "/there"

    monkeypatch.setattr(pulling, "pull", pull)
    main(["models", "pull", "minilm-l6"])
    said = capsys.readouterr()
    assert (said.out, said.err) == ("/there\n", "fetching minilm-l6\n")


def test_another_action_is_refused_with_the_nearest(capsys):
    assert "unknown action 'lists'. Did you mean list" in fails(capsys, "models", "lists")
