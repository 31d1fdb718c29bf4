"""What MetaICL's folders cannot hold, and how many shots a target task gets."""

from __future__ import annotations

import json

from task_suites.example import Example
from task_suites.export.metaicl_folder import SEEDS, TARGET_K, WRITER
from task_suites.task import Task, TaskSuite

YES_NO = ("yes", "no")


def task(name: str, rows: list[Example], type: str = "classification", **fields: object) -> Task:
    return Task(name, type, lambda split: rows, **fields)  # type: ignore[arg-type]


def test_what_the_layout_cannot_hold_is_named():
    assert WRITER.problem(task("a", [Example("q", "yes", YES_NO)], labels=YES_NO)) is None
    tags = task("a", [Example(tokens=("x",), tags=("O",))], "tagging", metric="span_f1")
    assert WRITER.problem(tags) == "tags (MetaICL has options and free text)"
    several = task("a", [Example("q", "a", accepted=("b",))], "generation")
    assert WRITER.problem(several) == "further right answers"
    turned = task("a", [Example("q", "yes", ("no", "yes"))], labels=YES_NO)
    assert WRITER.problem(turned) == "options that differ from the task's labels"


def test_only_target_tasks_with_enough_examples_get_few_shot_files(tmp_path):
    rows = [Example(f"q {i}", YES_NO[i % 2], YES_NO) for i in range(TARGET_K + 4)]
    tasks = {
        "trained": task("trained", rows, labels=YES_NO),
        "target": task("target", rows, labels=YES_NO),
        "small": task("small", rows[:4], labels=YES_NO),
    }
    suite = TaskSuite("s", tasks, {"meta_train": ("trained",), "meta_test": ("target", "small")})
    WRITER.write(suite, tmp_path)
    shots = {
        name: sorted(path.name for path in (tmp_path / "data" / name).glob("*_16_*_train.jsonl")) for name in tasks
    }
    assert shots["trained"] == shots["small"] == [] and len(shots["target"]) == len(SEEDS)
    for name in shots["target"]:
        lines = (tmp_path / "data" / "target" / name).read_text(encoding="utf-8").splitlines()
        assert len({json.loads(line)["input"] for line in lines}) == TARGET_K
