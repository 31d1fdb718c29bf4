"""An option that is unknown is answered with the one of ours that it means."""

from __future__ import annotations

import pytest

from metaicl.cli.main import COMMANDS, command_of, main
from metaicl.cli.unknown_options import ELSEWHERE, meant
from task_suites.core.flat import options_of

OPTIONS = {name: set(options_of(command_of(name).config)) for name in COMMANDS}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_each_name_of_another_tool_is_answered_with_an_option_that_a_command_has(name):
    answered = [meant(name, known) for known in OPTIONS.values() if set(ELSEWHERE[name]) & known - {name}]
    assert answered
    assert set(ELSEWHERE[name]) <= set().union(*OPTIONS.values())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("train --lr 3", "unknown option --lr. Did you mean learning_rate?"),
        ("train --learning-rate=3", "unknown option --learning-rate. Did you mean learning_rate?"),
        ("train --trainer.lr=3", "unknown option --trainer.lr. Did you mean learning_rate?"),
        ("train --lora-r 3", "unknown option --lora-r. Did you mean lora_r?"),
        ("train --trainer.lora_r 3", "Did you mean lora_r?"),
        ("train --validation.k 3", "Did you mean validation_k?"),
        ("train --protocol.k 3", "Did you mean k?"),
        ("train --suite.name x", "Did you mean suite?"),
        ("train --backbone.name x", "Did you mean model?"),
        ("train --format.choices letters", "Write --format choices=VALUE."),
        ("evaluate --num_fewshot 3", "unknown option --num_fewshot. Did you mean k?"),
        ("evaluate --pretrained gpt2", "unknown option --pretrained. Did you mean model?"),
        ("evaluate --wholly_else 3", "unknown option --wholly_else. Known"),
    ],
)
def test_an_unknown_option_is_answered_with_the_one_that_it_means(words, answer, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(words.split())
    assert answer in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
