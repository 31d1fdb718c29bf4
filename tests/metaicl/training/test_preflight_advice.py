"""Each message's way out is taken, in the command that shows it: the outcome changes."""

from __future__ import annotations

import json
import re

import pytest
from helpers import sized_task
from toys import toy_task

from metaicl.cli.main import main
from metaicl.lm.backbone import Backbone
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.task import Task


def test_lower_k_where_a_task_has_too_few_examples():
    task = sized_task({"a": 3, "b": 9})
    for sampler in (EpisodeSampler(0, 13, 2), EpisodeSampler(0, 4, 2, per_class=True)):
        with pytest.raises(UserError, match="Lower k"):
            sampler.draw(task, "test", 0)
    assert EpisodeSampler(0, 12, 2).draw(task, "test", 0)
    assert EpisodeSampler(0, 3, 2, per_class=True).draw(task, "test", 0)


def test_a_class_without_an_example_is_not_answered_with_a_lower_k():
    task = sized_task({"a": 3, "b": 9, "c": 0})
    with pytest.raises(UserError) as raised:
        EpisodeSampler(0, 2, 2, per_class=True).draw(task, "test", 0)
    assert "class 'c' has 0 examples" in str(raised.value) and "Lower k" not in str(raised.value)
    assert "Take 'c' out of the task's labels, or unset per_class" in str(raised.value)
    assert EpisodeSampler(0, 2, 2).draw(task, "test", 0)
    assert EpisodeSampler(0, 2, 2, per_class=True).draw(sized_task({"a": 3, "b": 9}), "test", 0)


def test_where_no_query_is_left_a_lower_k_is_advised_only_where_it_helps():
    task = toy_task(size=6)
    with pytest.raises(UserError, match="Lower k, or add examples"):
        EpisodeSampler(0, 6, 2).draw(task, "train", 0)
    assert EpisodeSampler(0, 5, 2).draw(task, "train", 0)
    one = Task("one", "generation", lambda split: [Example("same", "x")], metric="exact_match")
    with pytest.raises(UserError, match=r"Add different examples to the task\.$"):
        EpisodeSampler(0, 1, 1).draw(one, "train", 0)


def predict(folder, capsys, demos: int, words: int) -> str:
    """What `predict` says of this many demonstrations of this many words."""
    rows = [{"input": f"{i} " + "word " * words, "output": ("good", "bad")[i % 2]} for i in range(demos)]
    (folder / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "inputs.jsonl").write_text('{"input": "fine"}\n')
    files = ["--demos", str(folder / "demos.jsonl"), "--inputs", str(folder / "inputs.jsonl")]
    try:
        main(["predict", *files, "--model", "tiny-random"])
    except SystemExit as stop:
        assert stop.code == 2
    said = capsys.readouterr()
    return said.err or said.out


def test_predict_advises_what_predict_has_and_each_of_it_helps(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Backbone, "context", 1500)
    message = predict(tmp_path, capsys, 8, 40)
    assert "Use fewer or shorter demonstrations" in message
    assert not re.search(r"Lower k|max_words|overflow", message)
    for demos, words in ((3, 40), (8, 5)):  # fewer, shorter
        assert json.loads(predict(tmp_path, capsys, demos, words))["answer"] in ("good", "bad")
