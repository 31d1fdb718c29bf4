"""Super-NaturalInstructions: both layouts, what is read at opening, the division of instances, sides and families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from foreign import error_of, formats, write

from task_suites import open_suite
from task_suites.example import Example
from task_suites.sources import natural_instructions
from task_suites.task import Illustration

SCHEME = "natural-instructions:"


def body(n: int = 8, **changes: Any) -> dict[str, Any]:
    """A task in the current layout with `n` instances; a change to None leaves a key out."""
    keys = {
        "Source": ["soups"],
        "Categories": ["Sentiment Analysis"],
        "Definition": ["Say how\nthe soup is."],
        "Domains": ["Food", "Reviews"],
        "Positive Examples": [{"input": "hot", "output": "good", "explanation": "it is"}],
        "Negative Examples": [{"input": "cold", "output": "good"}],
        "Instances": [
            {"id": f"task1-{i}", "input": f"soup {i}", "output": [("good", "bad")[i % 2], "so so"]} for i in range(n)
        ],
        "Instance License": ["CC0 1.0"],
    } | changes
    return {key: value for key, value in keys.items() if value is not None}


def one(folder: Path, value: Any) -> str:
    write(folder, {"tasks/task1_soup.json": value})
    return f"{SCHEME}{folder}"


def test_the_sample_opens_in_both_layouts():
    suite = open_suite(f"{SCHEME}{formats('natural_instructions')}")
    names = {side: [t.name[:8] for t in suite.split(side)] for side in suite.splits}
    assert names == {"meta_train": ["task9002", "task9003"], "meta_test": ["task9001"]}
    plural, old = suite.split("meta_train")
    assert Example("hoof", "hooves", accepted=("hoofs",)) in plural.examples("train")
    assert (plural.type, plural.metric, plural.licence, plural.domain) == (
        "generation",
        "rouge_l",
        "CC0 1.0",
        "Linguistics",
    )
    assert old.instruction.startswith("Answer `Yes` if") and old.licence == ""
    assert old.negative == (Illustration("Sentence: The door is open.", "Yes.", "No colour is named."),)


def test_a_task_is_read_with_all_that_it_says(tmp_path):
    task = open_suite(one(tmp_path, body()))["task1_soup"]
    assert (task.instruction, task.domain, task.family) == ("Say how the soup is.", "Food, Reviews", "soups")
    assert task.positive == (Illustration("hot", "good", "it is"),) and task.negative == (Illustration("cold", "good"),)
    assert task.examples("test")[0] == Example("soup 0", "good", accepted=("so so",))


def test_the_first_hundred_instances_are_the_test_part_and_never_more_than_half(tmp_path):
    for n, test in ((250, 100), (9, 4), (2, 1)):
        task = open_suite(one(tmp_path, body(n)))["task1_soup"]
        assert [e.input for e in task.examples("test")] == [f"soup {i}" for i in range(test)]
        assert [e.input for e in task.examples("train")] == [f"soup {i}" for i in range(test, n)]


def test_opening_does_not_read_the_instances(tmp_path, monkeypatch):
    one(tmp_path, body(5000, Definition=["x" * 300_000 + "Ω"]))
    monkeypatch.setattr(natural_instructions, "read_text", lambda path: pytest.fail("the whole file was read"))
    task = open_suite(f"{SCHEME}{tmp_path}")["task1_soup"]
    assert task.licence == "CC0 1.0" and task.instruction.endswith("xΩ")


@pytest.mark.parametrize("first", ["Instances", "Instance License", "Negative Examples"])
def test_the_order_of_keys_does_not_matter(tmp_path, first):
    value = body()
    expected = open_suite(one(tmp_path, value))["task1_soup"]
    others = {k: v for k, v in value.items() if k != first}
    for changed in ({first: value[first], **others}, {**others, first: value[first]}):
        task = open_suite(one(tmp_path, changed))["task1_soup"]
        assert task == expected and task.fingerprint() == expected.fingerprint()


def test_an_early_task_has_texts_for_lists_and_no_licence(tmp_path):
    instances = [{"input": f"s {i}", "output": "good"} for i in range(4)]
    old = body(Definition="Say it.", Instances=instances, **{"Instance License": None, "Domains": None})
    task = open_suite(one(tmp_path, old) + "?licence=MIT")["task1_soup"]
    assert (task.instruction, task.licence, task.examples("test")[0].output) == ("Say it.", "MIT", "good")


def test_few_repeated_outputs_make_a_classification_where_that_is_asked_for(tmp_path):
    instances = [{"input": f"s {i}", "output": [("good", "bad")[i % 2]]} for i in range(8)]
    name = one(tmp_path, body(Instances=instances))
    assert open_suite(name)["task1_soup"].type == "generation"
    task = open_suite(f"{name}?form=auto")["task1_soup"]
    assert (task.type, task.labels, task.metric) == ("classification", ("bad", "good"), "macro_f1")
    assert task.examples("test")[1] == Example("s 1", "bad", ("bad", "good"))
    for outputs in (["a", "a", "b"], ["a", "a", "a"], [["a", "b"], ["a", "b"]]):
        some = [{"input": f"s {i}", "output": output} for i, output in enumerate(outputs)]
        assert open_suite(one(tmp_path, body(Instances=some)) + "?form=auto")["task1_soup"].type == "generation"


def test_several_lines_become_one_and_empty_answers_do_not_count(tmp_path):
    instances = [{"input": "a", "output": ["", "one\ntwo", "one two"]}, {"input": "b\nc", "output": ["x"]}]
    task = open_suite(one(tmp_path, body(Instances=instances)))["task1_soup"]
    assert task.examples("test") == (Example("a", "one two"),) and task.examples("train") == (Example("b\nc", "x"),)


def test_tasks_that_share_a_source_by_way_of_others_are_one_family(tmp_path):
    sources = {"task1": ["A", "b"], "task2": ["B", "c"], "task3": ["C"], "task4": ["d"], "task5": ["synthetic"]}
    write(tmp_path, {f"tasks/{name}.json": body(Source=named) for name, named in sources.items()})
    families = {t.name: t.family for t in open_suite(f"{SCHEME}{tmp_path}").tasks.values()}
    assert families == {"task1": "a", "task2": "a", "task3": "a", "task4": "d", "task5": ""}


def split(folder: Path, train: str, test: str, track: str = "default") -> str:
    write(folder, {f"tasks/task{n}_soup.json": body(Source=[f"s{n % 2}"]) for n in (1, 2, 3)})
    write(folder, {f"splits/{track}/train_tasks.txt": train, f"splits/{track}/test_tasks.txt": test})
    return f"{SCHEME}{folder}"


def test_the_track_says_the_sides_and_the_rest_is_in_no_split(tmp_path):
    name = split(tmp_path, "task1_soup\r\n\r\n", "task2_soup\n")
    assert open_suite(name).splits == {"meta_train": ("task1_soup",), "meta_test": ("task2_soup",)}
    assert len(open_suite(name).tasks) == 3
    assert len(open_suite(f"{name}?track=none").splits["meta_test"]) == 3


def test_a_source_on_two_sides_needs_a_word_of_the_user(tmp_path):
    name = split(tmp_path, "task1_soup\n", "task3_soup\n")
    error = error_of(name)
    assert "family s1 is on two sides" in error and "overlap=allow" in error
    assert open_suite(f"{name}?overlap=allow").splits["meta_test"] == ("task3_soup",)


@pytest.mark.parametrize(
    ("train", "query", "message"),
    [
        ("task1_soup\ntask9_soup\n", "", "train_tasks.txt:2: no task 'task9_soup'. Did you mean"),
        ("../../secret\n", "", "train_tasks.txt:1: no task '../../secret'"),
        ("task1_soup\ntask1_soup\n", "", "task task1_soup is named twice in the split"),
        ("", "?track=xlingual", "splits: no track 'xlingual'. Known: default."),
        ("", "?track=../x", "splits: no track '../x'"),
        ("", "?form=options", "option form: unknown value 'options'"),
    ],
)
def test_a_mistake_in_splits_and_options_is_named(tmp_path, train, query, message):
    assert message in error_of(split(tmp_path, train, "task2_soup\n") + query)


def items(*rows: Any) -> dict[str, Any]:
    return body(Instances=[{"input": "a", "output": ["b"]}, *rows])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (items({"input": 5, "output": ["b"]}), ":35 (Instances[1]): input has a wrong type; found 5"),
        (items({"input": "a"}), ":35 (Instances[1]): key 'output' is missing"),
        (items({"input": "a", "output": [3]}), ":35 (Instances[1]): output has a wrong type; found [3]"),
        (items({"input": "a", "output": []}), ":35 (Instances[1]): the output is empty"),
        (items("text"), " (Instances[1]): not a JSON object; found str"),
        (body(Instances={"a": 1}), ": Instances must be a list of at least two"),
        (body(Definition=None), ": key 'Definition' is missing"),
        (body(Definition=[5]), ": Definition has a wrong type"),
        (body(**{"Positive Examples": "-"}), ": Positive Examples has a wrong type"),
        (body(**{"Negative Examples": [{"input": "x"}]}), " (Negative Examples[0]): key 'output' is missing"),
        (body(**{"Instance License": [1]}), ": Instance License has a wrong type"),
        ([], ": not a JSON object; found list"),
        ('{"Definition": "x", "Definition": "y"}', ":1: key 'Definition' occurs twice"),
        ('{"Definition": ["x"],\n"Instances": [{"input": "cut', ":2: not JSON (Unterminated string"),
        (b'{"Definition": ["x"],\n"Source": ["\xff"], "Instances": []}', ":2: not UTF-8"),
        (body(Definition=["half \ud800"]), ":9: not Unicode text"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_a_mistake_in_a_task_is_named(tmp_path, value, message):
    error = error_of(one(tmp_path, value))
    assert error.startswith(f"{tmp_path}/tasks/task1_soup.json{message}"), error


def test_a_folder_without_tasks_is_refused(tmp_path):
    write(tmp_path, {"tasks/README.json": {}})
    assert error_of(f"{SCHEME}{tmp_path}") == f"{tmp_path}/tasks: no task is here; expected files task*.json"
