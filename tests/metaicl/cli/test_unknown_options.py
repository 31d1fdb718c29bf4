"""An option that is unknown is answered with the one of ours that it means."""

from __future__ import annotations

import pytest

from metaicl.cli.main import COMMANDS, build_parser, main
from metaicl.cli.unknown_options import ELSEWHERE, meant

OPTIONS = {
    name: {action.dest for action in parser._actions} for name, parser in build_parser(tuple(COMMANDS))[1].items()
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_each_name_of_another_tool_is_answered_with_an_option_that_a_command_has(name):
    answered = [meant(name, known) for known in OPTIONS.values() if set(ELSEWHERE[name]) & known]
    assert answered
    assert all(any(option in answer for option in ELSEWHERE[name]) for answer in answered)
    assert set(ELSEWHERE[name]) <= set().union(*OPTIONS.values())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("train --learning_rate 3", "unknown option --learning_rate. Did you mean trainer.learning_rate?"),
        ("train --learning-rate=3", "unknown option --learning-rate. Did you mean trainer.learning_rate?"),
        ("train --lora-r 3", "unknown option --lora-r. Did you mean backbone.lora_r?"),
        ("train --trainer.lora_r 3", "Did you mean backbone.lora_r?"),
        ("train --trainer.warmup-steps 3", "Did you mean trainer.warmup_steps?"),
        ("evaluate --num_fewshot 3", "unknown option --num_fewshot. Did you mean protocol.k?"),
        ("evaluate --model gpt2", "unknown option --model. Did you mean backbone.model?"),
        ("evaluate --wholly_else 3", "unknown option --wholly_else. Known, nearest first: "),
    ],
)
def test_an_unknown_option_is_answered_with_the_one_that_it_means(words, answer, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(words.split())
    assert answer in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
