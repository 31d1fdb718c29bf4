"""Folders of tasks: a sound one opens as written, and each mistake gives one error that says where and what to do."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from helpers import LABELS, make_folder, rows, write_task

from task_suites import open_suite
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources import SuiteConfig, load_named
from task_suites.sources.local import open_folder, parse_example

GOOD = {"input": "fine day", "output": "good", "options": LABELS}
TAGGED = {"tokens": ["Zoë", "left"], "tags": ["B-PER", "O"]}
TAGGING = {"labels": None, "type": "tagging", "metric": "span_f1"}


def text_of(*objects: object) -> str:
    return "".join(json.dumps(o) + "\n" for o in objects)


def error_of(folder: Path) -> str:
    """The message of the one error that opening a folder and reading all of it raises."""
    with pytest.raises(UserError) as raised:
        for task in open_folder(folder).tasks.values():
            task.examples("train")
            task.examples("test")
    return str(raised.value)


def test_a_sound_folder_opens_as_it_was_written(tmp_path):
    folder = make_folder(tmp_path)
    header = {**TAGGING, "family": "f", "train_size": 1, "instruction": "Tag the “names”."}
    write_task(folder, "topic", header, train=[TAGGED], test=[TAGGED, TAGGED])
    suite = open_folder(folder)
    assert (suite.name, suite.description) == ("small", "three tasks")
    sides = {side: [t.name for t in suite.split(side)] for side in suite.splits}
    assert sides == {"meta_train": ["mood"], "meta_validation": ["taste"], "meta_test": ["topic"]}
    expected = [Example(r["input"], r["output"], tuple(r["options"])) for r in rows("mood", "train")]
    assert list(suite["mood"].examples("train")) == expected
    topic = suite["topic"]
    assert topic.examples("test") == 2 * (Example(tokens=("Zoë", "left"), tags=("B-PER", "O")),)
    assert (topic.instruction, topic.family, topic.metric, topic.labels) == ("Tag the “names”.", "f", "span_f1", ())


def test_a_folder_without_suite_yaml_is_all_for_meta_testing(tmp_path):
    write_task(tmp_path / "plain", "a")
    write_task(tmp_path / "plain", "b")
    suite = open_suite(str(tmp_path / "plain"))
    assert suite.name == "plain" and [t.name for t in suite.split("meta_test")] == ["a", "b"]
    assert not suite.split("meta_train")


def test_examples_without_options_take_the_tasks_labels(tmp_path):
    bare = [{"input": f"item {i}", "output": LABELS[i % 2]} for i in range(4)]
    write_task(tmp_path, "mood", train=bare)
    task = open_folder(tmp_path)["mood"]
    assert task.form == "options" and {e.options for e in task.examples("train")} == {tuple(LABELS)}
    write_task(tmp_path, "mood", train=[*bare, {"input": "x", "output": "gud"}])
    assert "mood/train.jsonl:5: the answer is not one of the labels; found output 'gud'" in error_of(tmp_path)


def test_tasks_of_one_source_are_one_family(tmp_path):
    folder = make_folder(tmp_path)
    for name in ("mood", "topic"):
        write_task(folder, name, {"source": "the same data set"})
    assert "suite.yaml: suite small: family the same data set is on two sides" in error_of(folder)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + text_of(GOOD, GOOD),
        text_of(GOOD, GOOD).replace("\n", "\r\n"),
        text_of(GOOD, GOOD).rstrip("\n"),
        text_of(GOOD, GOOD | {"input": "line \u2028 separator"}),
        json.dumps(GOOD | {"input": "line \u2028 separator"}, ensure_ascii=False) + "\n" + json.dumps(GOOD),
    ],
    ids=["byte order mark", "CRLF", "no last line break", "escaped separator", "raw separator"],
)
def test_the_ways_of_editors_with_text_are_taken(tmp_path, content):
    write_task(tmp_path, "mood", train=content)
    assert len(open_folder(tmp_path)["mood"].examples("train")) == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        # each line is the second of its file
        ('{"input": "cut he', "not JSON (Unterminated string"),
        ('["a", "b"]', "not a JSON object; found list"),
        ("fine day, good", "not JSON"),
        ("", "empty line; expected one JSON object a line"),
        ("[" * 100_000, "not JSON"),
        ('{"input": ' + "9" * 5000 + "}", "not JSON"),
        ('"text"', "not a JSON object; found str"),
        (GOOD | {"lable": "x"}, "unknown key 'lable'. Known: accepted, input, options, output, tags, tokens."),
        (GOOD | {"ouput": "x"}, "unknown key 'ouput'. Did you mean output"),
        (GOOD | {"input": 5}, "input has a wrong type; found 5; expected a string"),
        (GOOD | {"output": None}, "output has a wrong type; found None; expected a string"),
        (GOOD | {"accepted": ["so so"]}, "the options lack an accepted answer; found 'so so'"),
        (GOOD | {"options": "good"}, "options has a wrong type; found 'good'; expected a list of strings"),
        (GOOD | {"options": ["good", 1]}, "options has a wrong type; found ['good', 1]; expected a list of strings"),
        (GOOD | {"input": ""}, "the input is empty"),
        ({"input": "x", "options": LABELS}, "the output is empty"),
        (
            GOOD | {"output": "fair"},
            "the answer is not one of the labels; found output 'fair'; expected one of ['good', 'bad']",
        ),
        (GOOD | {"options": ["good", "fair"]}, "unknown label; found 'fair'; expected one of ['good', 'bad']"),
        (GOOD | {"options": ["good", "good"]}, "there must be at least two options, all different"),
        (GOOD | {"input": "half \ud83d"}, "not Unicode text"),
        (GOOD | {"tokens": ["fine", "day"]}, "tokens beside input, output or options"),
        (
            TAGGED | {"tags": ["O"]},
            "tokens and tags differ in number; found 2 tokens and 1 tags; expected one tag a token",
        ),
        (TAGGED | {"tags": ["O", "PER"]}, "not a BIO tag; found 'PER'; expected O, B-TYPE or I-TYPE"),
        (TAGGED | {"tokens": "Zoë left"}, "tokens has a wrong type"),
        ({"tokens": ["Zoë", "left"]}, "tokens and tags differ in number; found no tags"),
        (TAGGED, "the examples have different forms; found tags after options; expected one form in a task"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, str) else value[:40],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_bad_line_is_named_by_file_and_number(tmp_path, bad, message, part):
    line = bad if isinstance(bad, str) else json.dumps(bad)
    folder = write_task(tmp_path, "mood", **{part: f"{json.dumps(GOOD)}\n{line}\n{json.dumps(GOOD)}\n"})
    assert error_of(tmp_path).startswith(f"{folder / part}.jsonl:2: {message}")


def test_bytes_that_are_not_utf8_are_named_by_file_line_and_value(tmp_path):
    folder = write_task(tmp_path, "mood", train=text_of(GOOD, GOOD).encode() + b'{"input": "caf\xe9"}\n')
    assert error_of(tmp_path).startswith(f"{folder / 'train.jsonl'}:3: not UTF-8; found b'\\xe9'. Save it as UTF-8")


def test_a_file_that_is_shorter_than_its_stated_size_is_refused(tmp_path):
    folder = write_task(tmp_path, "mood", {"train_size": 7})
    expected = (
        f"{folder / 'train.jsonl'}: the file is not whole; found 6 examples; expected 7 (train_size in task.yaml)"
    )
    assert error_of(tmp_path) == expected
    write_task(tmp_path, "mood", {"train_size": 6, "test_size": 5})
    assert "test.jsonl: the file is not whole; found 6 examples; expected 5" in error_of(tmp_path)


@pytest.mark.parametrize("empty", ["", "\n"])
def test_an_empty_file_is_refused(tmp_path, empty):
    folder = write_task(tmp_path, "mood", test=empty)
    assert error_of(tmp_path) == f"{folder / 'test.jsonl'}: the file is empty; expected one JSON object a line"


def test_two_files_of_different_forms_are_refused(tmp_path):
    write_task(tmp_path, "mood", {"labels": None, "type": "generation"}, test=[{"input": "x", "output": "y"}])
    assert "task mood: the examples have different forms; found ['options', 'text']" in error_of(tmp_path)


@pytest.mark.parametrize(("metric", "row"), [("accuracy", TAGGED), (None, TAGGED), ("span_f1", GOOD)])
def test_a_metric_that_does_not_fit_the_examples_is_refused(tmp_path, metric, row):
    folder = write_task(tmp_path, "mood", {"metric": metric, "labels": None}, train=[row])
    assert error_of(tmp_path).startswith(f"{folder / 'task.yaml'}: the metric does not fit the examples")


def test_a_file_that_goes_away_after_opening_is_one_error(tmp_path):
    folder = write_task(tmp_path, "mood")
    suite = open_folder(tmp_path)
    (folder / "train.jsonl").unlink()
    with pytest.raises(UserError, match=re.escape(f"{folder / 'train.jsonl'}: cannot be read (No such file")):
        suite["mood"].examples("train")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_one_error(tmp_path):
    folder = write_task(tmp_path, "mood")
    (folder / "train.jsonl").chmod(0)
    assert "train.jsonl: cannot be read (Permission denied)" in error_of(tmp_path)


def test_a_missing_or_empty_folder_is_refused(tmp_path):
    assert error_of(tmp_path / "gone").startswith(f"no suite at {tmp_path / 'gone'}; expected a folder of task folders")
    assert error_of(tmp_path) == f"{tmp_path} has no task; expected <task>/task.yaml, train.jsonl and test.jsonl"


@pytest.mark.parametrize("others", [(), ("mood",)])
def test_examples_without_a_task_yaml_are_refused(tmp_path, others):
    for name in (*others, "taste"):
        write_task(tmp_path, name)
    (tmp_path / "taste" / "task.yaml").unlink()
    assert error_of(tmp_path).startswith(f"{tmp_path / 'taste'}: task.yaml is missing. See docs/data.md")


@pytest.mark.parametrize("part", ["train.jsonl", "test.jsonl"])
def test_a_missing_examples_file_is_refused(tmp_path, part):
    folder = write_task(tmp_path, "mood")
    (folder / part).unlink()
    assert error_of(tmp_path) == f"{folder}: {part} is missing; expected task.yaml, train.jsonl and test.jsonl"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"instructions": "x"}, "unknown key 'instructions'. Did you mean instruction"),
        ({"load": "x"}, "unknown key 'load'"),
        ({"_loaded": {}}, "unknown key '_loaded'"),
        ({"name": "moody"}, "name differs from the folder's; found moody; expected mood"),
        ({"name": 5}, "name has a wrong type; found 5; expected text, in quotes"),
        ({"name": None}, "key 'name' is missing"),
        ({"type": None}, "key 'type' is missing"),
        ({"type": "clasification"}, "task mood: unknown type 'clasification'. Did you mean classification"),
        ({"metric": "acuracy"}, "task mood: unknown metric 'acuracy'. Did you mean accuracy"),
        ({"labels": "good, bad"}, "labels has a wrong type; found 'good, bad'; expected a list"),
        ({"labels": [True, False]}, "a label is not text; found True. Put it in quotes"),
        ({"labels": ["good", "good"]}, "task mood: labels occur twice"),
        ({"train_size": "6"}, "train_size has a wrong type; found '6'; expected a whole number"),
        ({"instruction": ["a"]}, "instruction has a wrong type; found ['a']; expected text"),
        ({"positive": [{"input": "a"}]}, "positive has a wrong value; found {'input': 'a'}; expected"),
        ({"negative": "a"}, "negative has a wrong type; found 'a'; expected a list"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_in_task_yaml_is_named(tmp_path, header, message):
    folder = write_task(tmp_path, "mood", header)
    assert error_of(tmp_path).startswith(f"{folder / 'task.yaml'}: {message}")


@pytest.mark.parametrize("content", [b"name: [", b"- a\n- b\n", b"", b"name: caf\xe9\n"])
@pytest.mark.parametrize("name", ["mood/task.yaml", "suite.yaml"])
def test_a_yaml_file_that_is_no_mapping_is_refused(tmp_path, content, name):
    folder = make_folder(tmp_path)
    (folder / name).write_bytes(content)
    wrong = r"(:\d+)?: (not readable as YAML|not a mapping|not UTF-8)"
    assert re.match(re.escape(str(folder / name)) + wrong, error_of(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": {}}, "unknown key 'split'. Did you mean splits"),
        ({"splits": None}, "key 'splits' is missing"),
        ({"name": None}, "key 'name' is missing"),
        ({"splits": ["mood"]}, "splits has a wrong type; found ['mood']; expected a mapping"),
        ({"splits": {"meta_test": "mood"}}, "meta_test has a wrong type; found 'mood'; expected a list of task names"),
        ({"splits": {"meta_test": [5]}}, "meta_test has a wrong type; found [5]; expected a list of task names"),
        ({"splits": {"meta_test": ["moo"]}}, "suite small has no task 'moo'. Did you mean mood"),
        ({"splits": {"test": ["mood"]}}, "suite small: unknown split 'test'. Did you mean meta_test"),
        ({"splits": {"meta_test": ["mood", "mood"]}}, "suite small: meta_test names a task twice"),
        ({"splits": {"meta_test": ["mood"], "meta_train": ["mood"]}}, "suite small: task mood is on two sides"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_in_suite_yaml_is_named(tmp_path, change, message):
    folder = make_folder(tmp_path)
    header = yaml.safe_load((folder / "suite.yaml").read_text())
    (folder / "suite.yaml").write_text(yaml.safe_dump(header | change))
    assert error_of(folder).startswith(f"{folder / 'suite.yaml'}: {message}")


def test_a_split_without_members_is_empty(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "suite.yaml").write_text("name: s\nsplits:\n  meta_train:\n  meta_test: [mood]\n")
    assert not open_folder(folder).split("meta_train")


def test_one_row_is_parsed_without_a_file():
    assert parse_example(GOOD) == Example("fine day", "good", ("good", "bad"))
    with pytest.raises(UserError, match=r"^demos:1: unknown key 'inpt'. Did you mean input\?$"):
        parse_example({"inpt": "x"}, where="demos:1")


def test_long_examples_are_left_out_whole_and_counted(tmp_path):
    long = [{"input": "word " * 9 + str(i), "output": "good", "options": LABELS} for i in range(3)]
    folder = make_folder(tmp_path)
    write_task(folder, "mood", train=[*rows("mood", "train"), *long])
    suite, note = SuiteConfig([str(folder)], max_words=9, min_train=6, min_test=6).open()
    assert note == "3 of 39 examples have inputs of more than 9 words and were left out."
    assert [e.text for e in suite["mood"].examples("train")] == [r["input"] for r in rows("mood", "train")]
    suite, note = SuiteConfig([str(folder)], max_words=10, min_train=6, min_test=6).open()
    assert len(suite["mood"].examples("train")) == 9 and note is None  # nothing was left out, so nothing is said


def test_a_task_with_too_few_short_examples_is_left_out_by_name(tmp_path):
    folder = make_folder(tmp_path)
    write_task(folder, "mood", train=rows("mood", "train", 7))
    suite, note = SuiteConfig([str(folder)], max_words=9, min_train=7, min_test=1).open()
    assert list(suite.tasks) == ["mood"] and note.endswith(
        "so were the tasks taste, topic, of which too few examples remained."
    )
    with pytest.raises(UserError, match=r"no task has enough examples of at most 2 words; .* Raise max_words"):
        SuiteConfig([str(folder)], max_words=2).open()


def test_without_a_limit_nothing_is_left_out(tmp_path):
    suite, note = SuiteConfig([str(make_folder(tmp_path))]).open()
    assert note is None and len(suite.tasks) == 3


def test_forms_and_tasks_choose(tmp_path):
    folder = make_folder(tmp_path)
    write_task(folder, "topic", TAGGING, train=[TAGGED], test=[TAGGED])
    assert list(SuiteConfig([str(folder)], forms=["tags"]).open()[0].tasks) == ["topic"]
    suite, _ = SuiteConfig([str(folder)], tasks=["topic", "mood"], forms=["options"]).open()
    assert list(suite.tasks) == ["mood"] and suite.splits["meta_test"] == ()
    with pytest.raises(UserError, match=r"no task is left. Allow more forms"):
        SuiteConfig([str(folder)], forms=["text"]).open()
    with pytest.raises(UserError, match=r"forms: unknown form 'tag'. Did you mean tags"):
        SuiteConfig([str(folder)], forms=["tag"]).open()
    with pytest.raises(UserError, match=r"no task 'moods'. Did you mean mood"):
        SuiteConfig([str(folder)], tasks=["moods"]).open()


def test_a_planted_leak_across_the_split_is_refused(tmp_path):
    folder = make_folder(tmp_path)
    leak = {"input": "TOPIC  test item 1", "output": "good", "options": LABELS}
    write_task(folder, "mood", train=[*rows("mood", "train"), leak])
    with pytest.raises(UserError, match=r"'topic test item 1' in mood \(meta_train\) and in topic \(meta_test\)"):
        SuiteConfig([str(folder)]).open()
    assert SuiteConfig([str(folder)], tasks=["mood", "taste"]).open()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """`own_source.py` in the working folder."""
    source = (
        "from task_suites import Example, Task, TaskSuite\n"
        "NUMBER = 5\n"
        "def empty(): return TaskSuite('none', {}, {})\n"
        "def wrong(): return [1]\n"
        "def small():\n"
        "    load = lambda split: [Example(f'{split} {i}', 'ab'[i % 2], ('a', 'b')) for i in range(8)]\n"
        "    return TaskSuite('own', {'t': Task('t', 'classification', load)}, {'meta_test': ('t',)})\n"
    )
    (tmp_path / "own_source.py").write_text(source)
    (tmp_path / "needs_more.py").write_text("import no_such_library_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    yield
    for name in ("own_source", "needs_more"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("module")
def test_a_source_of_ones_own_is_a_function_in_the_working_folder():
    suite, _ = SuiteConfig(["own_source:small"]).open()
    assert suite.name == "own" and len(suite["t"].examples("test")) == 8


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_source:smal", r"module own_source has no 'smal'. Did you mean small\?"),
        ("own_sauce:small", "own_sauce:small: No module named 'own_sauce'; expected package.module:Name"),
        ("needs_more:small", "needs_more:small: No module named 'no_such_library_at_all'"),
        ("own_source:NUMBER", "own_source:NUMBER is a int; expected a function that returns a TaskSuite"),
        ("own_source:wrong", "own_source:wrong gave a list; expected a TaskSuite"),
        ("own_source:empty", "suite none from own_source:empty has no task"),
        (
            "own_source:",
            "no source 'own_source'; found own_source:; expected SOURCE:LOCATION or package.module:function",
        ),
        ("big_bench:some/where", "no source 'big_bench'; found big_bench:some/where; expected SOURCE:LOCATION"),
        (":small", "':small' does not name a Python object"),
        ("own..source:small", "does not name a Python object"),
    ],
)
def test_a_mistake_in_a_source_of_ones_own_is_named(name, message):
    with pytest.raises(UserError, match=message):
        open_suite(name)


def test_an_unknown_suite_offers_the_built_in_ones():
    with pytest.raises(UserError, match=r"no suite 'embeded'. Did you mean embedded\? Or give a folder of tasks."):
        open_suite("embeded")
    with pytest.raises(UserError, match="no suite at some/where"):
        open_suite("some/where")


def test_an_object_is_found_by_its_name():
    assert load_named("task_suites.example:Example") is Example
    for file in ("mine.py", "folder/mine.py", "folder/mine"):
        module = file.removesuffix(".py").replace("/", ".")
        with pytest.raises(UserError, match=f"Name the module, not its file: {module}:Mine"):
            load_named(f"{file}:Mine")


@pytest.mark.slow
def test_sixty_real_tasks_open_sound_and_without_a_leak(realtasks):
    suite = open_suite(str(realtasks))
    suite.assert_no_leak()
    counts = {side: len(suite.split(side)) for side in suite.splits}
    assert counts == {"meta_train": 39, "meta_validation": 6, "meta_test": 15}
    for task in suite.tasks.values():
        for part in ("train", "test"):
            assert all(e.problem(task.labels) is None for e in task.examples(part)), task.name
        train = {e.content for e in task.examples("train")}
        assert not [e.content for e in task.examples("test") if e.content in train], task.name


def test_the_examples_of_the_documentation_work(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("json", "yaml", "python")}
    rows_of = [[json.loads(line) for line in block.splitlines()] for block in blocks["json"]]
    forms = [parse_example(row).form for group in rows_of for row in group]
    assert forms == ["options", "options", "text", "text", "tags"]
    header, suite = map(yaml.safe_load, blocks["yaml"][:2])  # those of this layout come first
    for name in [name for side in suite["splits"].values() for name in side]:
        first = [{**rows_of[0][0], "input": name}]
        write_task(tmp_path, name, {**header, "name": name, "source": None}, train=first, test=first)
    (tmp_path / "suite.yaml").write_text(blocks["yaml"][1])
    assert SuiteConfig([str(tmp_path)]).open()[0]["mood"].labels == ("favourable", "unfavourable")
    namespace: dict = {}
    exec(blocks["python"][0], namespace)
    assert len(namespace["suite"]()["temperature"].examples("test")) == 16
