"""BIG-bench JSON tasks with subtasks, and BIG-Bench Hard: options, ties, free answers, the division into parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from foreign import error_of, examples, formats, write

from eval.metrics import score
from task_suites import open_suite
from task_suites.example import Example

SCORED = [{"input": f"q {i}", "target_scores": {"yes": i % 2, "no": 1 - i % 2}} for i in range(6)]
FREE = [{"input": f"q {i}", "target": [f"a {i}", f"an a {i}"]} for i in range(6)]


def task(rows: Any, **keys: Any) -> dict[str, Any]:
    return {"name": "t", "description": "Say it.", "keywords": [], "metrics": ["x"], "examples": rows, **keys}


def opened(folder: Path, rows: Any, query: str = "", **keys: Any) -> Any:
    return open_suite(f"big-bench:{write(folder, {'t/task.json': task(rows, **keys)})}{query}")["t"]


def test_the_sample_opens_with_its_subtasks():
    suite = open_suite(f"big-bench:{formats('big_bench')}")
    assert suite.splits["meta_test"] == ("add_the_days", "odd_tool_out", "with_subtasks:first", "with_subtasks:second")
    tool = suite["odd_tool_out"]
    assert Example("sonnet, spanner, saw", "sonnet", ("sonnet", "spanner", "saw")) in examples(tool)
    assert (tool.type, tool.metric, tool.instruction) == ("multiple_choice", "accuracy", "Which one is not a tool?")
    days = suite["add_the_days"]
    assert Example("Eight days after Friday", "Saturday", accepted=("a Saturday",)) in examples(days)
    assert {suite[f"with_subtasks:{n}"].family for n in ("first", "second")} == {"with_subtasks"}
    assert open_suite(f"big-bench:{formats('big_bench') / 'odd_tool_out'}")["odd_tool_out"].type == "multiple_choice"


def test_the_same_choices_everywhere_are_labels(tmp_path):
    made = opened(tmp_path, SCORED)
    assert (made.type, made.labels, made.instruction) == ("classification", ("yes", "no"), "Say it.")
    assert [e.output for e in sorted(examples(made), key=lambda e: e.input)] == ["no", "yes"] * 3


def test_of_several_best_choices_each_is_right(tmp_path):
    rows = [{"input": f"q {i}", "target_scores": {"a": 0.5, "b": 0, "c": 0.5, f"d{i}": 0.25}} for i in range(2)]
    made = opened(tmp_path, rows)
    for e in examples(made):
        assert (e.output, e.accepted) == ("a", ("c",))
        assert [score(made.metric, [o], [e.output], [e.accepted]) for o in e.options] == [1, 0, 1, 0]


def test_choices_none_of_which_is_best_are_unsound(tmp_path):
    rows = [*SCORED, {"input": "tie", "target_scores": {"yes": 1, "no": 1}}]
    write(tmp_path, {"t/task.json": task(rows)})
    assert "(examples[6]): the output is empty" in error_of(f"big-bench:{tmp_path}")
    assert len(examples(opened(tmp_path, rows, "?unsound=skip"))) == 6


@pytest.mark.parametrize(
    ("keys", "metric"),
    [
        ({}, "exact_match"),
        ({"preferred_score": "rouge1"}, "rouge_l"),
        ({"metrics": ["bleu"]}, "rouge_l"),
        ({"preferred_score": "exact_str_match", "metrics": ["bleu"]}, "exact_match"),
    ],
)
def test_free_answers_have_the_metric_nearest_to_the_tasks_own(tmp_path, keys, metric):
    made = opened(tmp_path, FREE, **keys)
    assert (made.type, made.metric) == ("generation", metric)
    assert all(len(e.accepted) == 1 for e in examples(made))


def test_the_division_is_by_text_and_its_share_is_an_option(tmp_path):
    rows = [{"input": f"q {i}", "target": "x"} for i in range(20)]
    assert len(opened(tmp_path, rows).examples("test")) == 10
    kept = set(opened(tmp_path, rows, "?test_share=0.2").examples("test"))
    assert len(kept) == 4 and kept == set(opened(tmp_path, rows[::-1], "?test_share=.2").examples("test"))
    for value in ("0", "1", "0.", "x", "0.0", "1e-1"):
        assert "option test_share has a wrong value" in error_of(f"big-bench:{tmp_path}?test_share={value}")


def test_a_parent_with_examples_of_its_own_is_a_task_too(tmp_path):
    write(tmp_path, {"t/task.json": task(SCORED, subtasks=["t:low"]), "t/low/task.json": task(FREE)})
    assert list(open_suite(f"big-bench:{tmp_path}").tasks) == ["t", "t:low"]


@pytest.mark.parametrize("entry", ["t:..", "t:../../secret", "t:/etc", "t:.", "t:", "t:a\\b"])
def test_a_subtask_is_the_name_of_a_folder(tmp_path, entry):
    write(tmp_path, {"secret/task.json": task(FREE), "in/t/task.json": task([], subtasks=[entry])})
    assert "an entry of subtasks names none" in error_of(f"big-bench:{tmp_path / 'in'}")


def test_subtasks_do_not_go_in_circles(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "again").symlink_to(tmp_path / "t")
    write(tmp_path, {"t/task.json": task([], subtasks=["t:again"])})
    assert "a subtask has subtasks of its own" in error_of(f"big-bench:{tmp_path}")
    write(tmp_path, {"t/task.json": task([], subtasks=["t:b", "t:b"])})
    assert "subtasks names one subtask twice" in error_of(f"big-bench:{tmp_path}")
    write(tmp_path, {"t/task.json": task([], subtasks=["t:gone"])})
    assert "t/gone/task.json: cannot be read (No such file" in error_of(f"big-bench:{tmp_path}")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"input": 5, "target": "x"}], ":9 (examples[0]): input has a wrong type; found 5"),
        ([{"input": "a"}], ":9 (examples[0]): key 'target' is missing"),
        ([{"input": "a", "target": 3}], ":9 (examples[0]): target has a wrong type; found 3"),
        ([{"input": "a", "target_scores": {"x": True, "y": 0}}], ":9 (examples[0]): target_scores has a wrong type"),
        ([{"input": "a", "target_scores": {"x": "1", "y": 0}}], ":9 (examples[0]): target_scores has a wrong type"),
        ([{"input": "a", "target_scores": ["x"]}], ":9 (examples[0]): target_scores has a wrong type"),
        ([{"input": "a", "target_scores": {}}], ":9 (examples[0]): there must be at least two options, all different"),
        (
            [{"input": "a", "target_scores": {"x": 1}}],
            ":9 (examples[0]): there must be at least two options, all different",
        ),
        ([*FREE[:1], *SCORED[:1]], ":16 (examples[1]): the examples have different forms; found options after text"),
        ([], ": no example"),
        (FREE[:1], ": too few items for a train and a test part"),
        ({}, ": examples must be a list of objects"),
        (None, ": examples must be a list of objects"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_in_a_task_is_named(tmp_path, rows, message):
    write(tmp_path, {"t/task.json": task(rows)})
    error = error_of(f"big-bench:{tmp_path}")
    assert error.startswith(f"{tmp_path}/t/task.json{message}"), error


def test_numbers_beyond_all_bounds_are_scores_or_refused(tmp_path):
    row = '{"input": "%s", "target_scores": {"x": %s, "y": 0}}'
    text = '{"examples": [' + row % ("a", "%s") + ", " + row % ("b", 1) + "]}"
    write(tmp_path, {"t/task.json": text % ("1" + "0" * 400)})
    assert {e.output for e in examples(open_suite(f"big-bench:{tmp_path}")["t"])} == {"x"}
    write(tmp_path, {"t/task.json": text % "1e999"})
    assert "not JSON (1e999 is too large a number)" in error_of(f"big-bench:{tmp_path}")


# --- BIG-Bench Hard ---------------------------------------------------------------------------------------------------

LETTERS = "{0}: which is food?\nOptions:\n(A) soup {0}\n(B) saw"
DASHES = "Turn {}. Do you return?\nOptions:\n- Yes\n- No"


def hard(folder: Path, rows: list[tuple[str, str]], name: str = "food", query: str = "") -> Any:
    file = {"canary": "none", "examples": [{"input": text, "target": target} for text, target in rows]}
    return open_suite(f"bbh:{write(folder, {f'bbh/{name}.json': file})}{query}")[name]


def test_lettered_options_become_options(tmp_path):
    made = hard(tmp_path, [(LETTERS.format(i), f"({'AB'[i % 2]})") for i in range(4)])
    assert (made.type, made.metric, made.family) == ("multiple_choice", "accuracy", "food")
    assert Example("2: which is food?", "soup 2", ("soup 2", "saw")) in examples(made)
    assert Example("3: which is food?", "saw", ("soup 3", "saw")) in examples(made)


def test_options_with_dashes_are_labels_where_they_are_the_same(tmp_path):
    made = hard(tmp_path, [(DASHES.format(i), ["Yes", "No"][i % 2]) for i in range(4)])
    assert (made.type, made.labels) == ("classification", ("Yes", "No"))
    assert Example("Turn 3. Do you return?", "No", ("Yes", "No")) in examples(made)


def test_without_options_the_target_is_free_text(tmp_path):
    made = hard(tmp_path, [(f"not ( True ) is {i}", "False") for i in range(4)])
    assert (made.type, made.metric) == ("generation", "exact_match")
    made = hard(tmp_path, [(f"{i}: what next?\nOptions:\nsee below", "x") for i in range(4)])
    assert made.type == "generation"


def test_a_target_that_names_no_option_is_unsound(tmp_path):
    rows = [(f"{i}: which?\nOptions:\n(A) soup\n(B) saw", "(A)") for i in range(3)] + [
        ("which then?\nOptions:\n(A) soup\n(B) saw", "(C)")
    ]
    assert len(examples(hard(tmp_path, rows, query="?unsound=skip"))) == 3
    assert "(examples[3]): the options lack the answer; found output '(C)'" in error_of(f"bbh:{tmp_path}")


def test_the_three_sizes_of_a_task_are_one_family(tmp_path):
    for size in ("three", "seven"):
        rows = [(f"{size} {i}", "x") for i in range(3)]
        made = hard(tmp_path, rows, f"logical_deduction_{size}_objects")
        assert made.family == "logical_deduction"


def test_a_folder_without_tasks_is_refused(tmp_path):
    assert error_of(f"bbh:{tmp_path}") == f"{tmp_path}: no task is here; expected <task>.json"
    assert error_of(f"big-bench:{tmp_path}") == f"{tmp_path}: no task is here; expected task.json, or <task>/task.json"
    write(tmp_path, {"x.json": []})
    assert "x.json: not a JSON object; found list" in error_of(f"bbh:{tmp_path}")


def test_blank_lines_before_options_take_no_time(tmp_path):
    made = hard(tmp_path, [("x" + "\n" * 200_000 + str(i), "a") for i in range(2)])
    assert made.type == "generation"
