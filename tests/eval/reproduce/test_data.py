"""The tasks of a paper's protocol: its seeds, its files, and its length of an example."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign import write
from papers import LABELS, asked, lines

from eval.reproduce.data import cut, held_out_tasks, training_suite
from eval.reproduce.protocol import Published
from metaicl.lm.tiny import tiny_tokenizer
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task


def test_demonstrations_are_those_of_the_seed_and_queries_those_of_the_first(data):
    tasks = held_out_tasks(Published.read("metaicl"), asked(data, Path("unused")), tiny_tokenizer())
    assert tasks[13][0].examples("train")[0].input == "mood train 13 0"
    assert tasks[13][0].examples("test") == tasks[100][0].examples("test")
    assert [task.name for task in tasks[100]] == ["mood", "race-middle"]


def test_an_example_is_cut_so_that_it_has_the_papers_tokens():
    tokenizer = tiny_tokenizer()  # a token a byte
    example = Example("x" * 300, "praise", tuple(LABELS))
    short = Example("short", "praise", tuple(LABELS))
    task = Task("mood", "classification", lambda split: [example, short], labels=tuple(LABELS))
    first, second = cut(task, tokenizer, 256).examples("train")
    assert len(first.input) == 256 - 2 - len("\ncomplaint") and second == short
    assert cut(task, tokenizer, 0) is task


def test_a_train_file_of_another_size_than_k_is_refused(data, tmp_path):
    folder = write(tmp_path, {"config/hr_to_lr.json": {"train": [], "test": ["mood"]}})
    for part in ("train", "test"):
        write(folder, {f"data/mood/mood_16_100_{part}.jsonl": lines("mood", part, 15)})
    with pytest.raises(UserError, match=r"train file of seed 100 has 15 examples.*k=16"):
        held_out_tasks(Published.read("metaicl"), asked(folder, Path("unused"), seeds=1), tiny_tokenizer())


def test_meta_training_reads_the_settings_training_tasks(data):
    suite = training_suite(Published.read("metaicl"), asked(data, Path("unused")), tiny_tokenizer())
    assert [task.name for task in suite.split("meta_train")] == ["race-high", "sky"]
