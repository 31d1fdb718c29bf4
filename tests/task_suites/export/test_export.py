"""Exported suites open again as the same examples and episodes, and run in the tools that they are written for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import datasets
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from examples import examples
from metaicl.cli.main import main
from task_suites import EpisodeSampler, Example, Task, TaskSuite, UserError, open_suite
from task_suites.example import labels_problem
from task_suites.export import WRITERS, export
from task_suites.export.metaicl_folder import SEEDS
from task_suites.task import META_SPLITS, Illustration

LABELS = ("good", "bad: {{worse}}", "yes")
OPTIONS = [Example(f"Soup {i}\nwas “{{{{it}}}}” fine?", LABELS[i % 3], LABELS) for i in range(24)]
CHOICES = [Example(f"Why {i}?", f"because {i}", (f"because {i}", "0", "[no]")[:: (-1) ** i]) for i in range(6)]
TEXT = [Example(f"Say {i}", f"[{i}]", accepted=("one", f" {i}. ")[: i % 3]) for i in range(6)]
TAGS = [Example(tokens=("Zoë", "left", f"{i}"), tags=("B-PER", "O", "I-NUM")) for i in range(6)]


def task(name: str, kind: str, examples: list[Example], **head: object) -> Task:
    """A task whose last third is for testing."""
    cut = len(examples) * 2 // 3
    return Task(name, kind, lambda part: examples[:cut] if part == "train" else examples[cut:], **head)  # type: ignore[arg-type]


def suite(*names: str) -> TaskSuite:
    shown = (Illustration("in", "out", "why: {%"),)
    tasks = {
        "mood": task(
            "mood",
            "classification",
            OPTIONS,
            labels=LABELS,
            metric="macro_f1",
            instruction="{{ Rate }} it: {% yes",
            source="a",
        ),
        "why": task("why", "multiple_choice", CHOICES, family="f", licence="MIT", domain="d", description="no: 'x'"),
        "say": task("say", "generation", TEXT, metric="rouge_l", positive=shown, negative=shown * 2),
        "names": task("names", "tagging", TAGS, metric="span_f1", labels=("PER", "NUM")),
    }
    tasks = {name: t for name, t in tasks.items() if name in (names or tasks)}
    side = {"mood": "meta_train", "why": "meta_validation"}
    sides = {s: [n for n in tasks if side.get(n, "meta_test") == s] for s in META_SPLITS}
    return TaskSuite("small", tasks, {side: tuple(n) for side, n in sides.items() if n}, "a suite: with # signs")


def assert_same(before: TaskSuite, after: TaskSuite, k: int = 3) -> None:
    for name, other in after.tasks.items():
        mine = before[name]
        for part in ("train", "test"):
            assert list(mine.examples(part)) == list(other.examples(part))
        assert mine.fingerprint() == other.fingerprint() and mine.labels == other.labels
        for seed in (0, 7):
            sampler = EpisodeSampler(seed, k, 2, arbitrary_labels=0.5)
            for index in range(3):
                drawn = [sampler.draw(t, "test", index) for t in (mine, other)]
                assert (drawn[0].support, drawn[0].queries) == (drawn[1].support, drawn[1].queries)


WHOLE = [to for to in WRITERS if to != "metaicl"]  # layouts that hold all there is


@pytest.mark.parametrize("to", WHOLE)
def test_all_forms_and_heads_come_back(tmp_path, to):
    before = suite()
    after = open_suite(export(before, to, tmp_path / "out"))
    assert (after.name, after.description, after.splits) == (before.name, before.description, before.splits)
    assert list(after.tasks) == list(before.tasks) or to in ("lm-eval", "local"), "sorted there"
    assert_same(before, after)
    for name, mine in before.tasks.items():
        assert mine == after[name], "every field of the head"


@pytest.mark.parametrize("to", WHOLE)
def test_options_that_are_right_too_come_back(tmp_path, to):
    ties = [Example(f"Which {i}?", "a", ("a", "b", "c"), accepted=("c",) * (i % 2)) for i in range(6)]
    classes = {"labels": ("a", "b", "c")}
    tasks = [task("ties", "multiple_choice", ties), task("sub:class", "classification", ties, **classes)]
    before = TaskSuite("s", {t.name: t for t in tasks}, {"meta_test": tuple(t.name for t in tasks)})
    assert_same(before, open_suite(export(before, to, tmp_path / "out")))
    if to == "datasets":
        loaded = datasets.load_dataset(str(tmp_path / "out"), "sub.class", cache_dir=str(tmp_path / "cache"))
        assert loaded["test"]["accepted"] == [["c"] * (i % 2) for i in (4, 5)]
    with pytest.raises(UserError, match="ties: further right answers"):
        export(before, "metaicl", tmp_path / "metaicl")


@pytest.mark.parametrize("names", [("a:b", "a.b"), ("a", "A")])
def test_names_that_would_be_one_folder_are_refused(tmp_path, names):
    made = {name: task(name, "multiple_choice", CHOICES) for name in names}
    with pytest.raises(UserError, match="differ only in case or punctuation"):
        export(TaskSuite("s", made, {}), "datasets", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_stored_suite_holds_tasks_of_any_name(tmp_path):
    before = TaskSuite("s", {"../a": task("../a", "multiple_choice", CHOICES)}, {"meta_test": ("../a",)})
    opened = export(before, "arrow", tmp_path / "out")
    assert opened == f"arrow:{tmp_path / 'out'}"
    assert_same(before, open_suite(opened))


def test_metaicl_folders_come_back_with_their_sides(tmp_path):
    before = suite("mood", "why")
    opened = export(before, "metaicl", tmp_path / "out")
    assert opened == f"metaicl:{tmp_path / 'out'}?setting=suite&k=16384&seed=100&overlap=allow"
    validation = open_suite(opened.replace("setting=suite", "setting=validation"))
    assert [t.name for t in validation.split("meta_train")] == ["mood"]
    assert [t.name for t in validation.split("meta_test")] == ["why"]
    assert_same(before, validation)


def test_metaicl_target_tasks_have_sixteen_shots_at_its_five_seeds(tmp_path):
    alone = TaskSuite("one", {"mood": suite()["mood"]}, {"meta_test": ("mood",)})
    export(alone, "metaicl", tmp_path / "out")
    train = {(e.input, e.output) for e in alone["mood"].examples("train")}
    for seed in SEEDS:
        path = tmp_path / f"out/data/mood/mood_16_{seed}_train.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(rows) == 16 and {(r["input"], r["output"]) for r in rows} <= train
        assert all(r["task"] == "mood" and r["options"] == list(LABELS) for r in rows)
        path = tmp_path / f"out/data/mood/mood_16_{seed}_test.jsonl"
        assert len(path.read_text().splitlines()) == len(alone["mood"].examples("test"))
    assert json.loads((tmp_path / "out/config/tasks/mood.json").read_text())["task_type"] == "classification"


@pytest.mark.parametrize(
    ("to", "tasks", "message"),
    [
        ("metaicl", ["names"], "names: tags"),
        ("metaicl", ["say"], "say: further right answers"),
        ("metaicl", [Example("a", "x", ("x", "y"))], "odd: options that differ from the task's labels"),
        ("lm-eval", [Example("a", "x", accepted=("x",))], "odd: answers that repeat"),
        ("datasets", [Example("a", "x", accepted=("y\r z",))], "odd: answers that repeat or have line breaks"),
        ("local", [Example("a", "x", ("x", "y", "z"))], "odd: the metric span_f1 for examples of the form options"),
        ("metacil", ["mood"], "unknown layout 'metacil'. Did you mean metaicl"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_by_name_before_anything_is_written(tmp_path, to, tasks, message):
    if isinstance(tasks[0], Example):
        labels = ("x", "y", "z") if tasks[0].options else ()
        metric = "span_f1" if to == "local" else "exact_match"
        odd = Task("odd", "generation", lambda part: tasks, labels=labels, metric=metric)
        made = TaskSuite("s", {"odd": odd}, {"meta_test": ("odd",)})
    else:
        made = suite(*tasks)
    with pytest.raises(UserError) as raised:
        export(made, to, tmp_path / "out")
    assert message in str(raised.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "x\0", "", "a" * 200])
def test_names_that_are_no_files_are_refused(tmp_path, name):
    odd = Task(name, "classification", lambda part: OPTIONS, labels=LABELS)
    with pytest.raises(UserError, match="is not a name of a file"):
        export(TaskSuite("s", {name: odd}, {}), "datasets", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_target_that_holds_something_is_left_alone_and_an_empty_one_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    export(suite(), "datasets", tmp_path / "out")
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(UserError, match="this exists already"):
        export(suite(), "lm-eval", tmp_path / "out")
    assert sorted((tmp_path / "out").rglob("*")) == before and [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("to", WRITERS)
def test_an_export_that_breaks_off_leaves_nothing(tmp_path, to, monkeypatch):
    def broken(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(UserError, match="No space left on device"):
        export(suite("mood"), to, tmp_path / "new/out")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("to", WHOLE)
def test_an_exported_folder_can_be_moved(tmp_path, to):
    opened = export(suite(), to, tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").rename(tmp_path / "elsewhere/moved")
    assert_same(suite(), open_suite(opened.replace(str(tmp_path / "out"), str(tmp_path / "elsewhere/moved"))))


def alike(text: str) -> str:
    """What two labels of one task must not have in common."""
    return " ".join(text.split()).casefold()


ANY = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12)
LINE = ANY.filter(lambda text: text.strip() and len(f"{text}.".splitlines()) == 1 and alike(text) not in ("x", "y"))


@examples(25)
@given(
    st.lists(st.tuples(ANY.filter(str.strip), LINE), min_size=2, max_size=6, unique_by=lambda pair: alike(pair[1])),
    st.sampled_from(sorted(WRITERS)),
)
def test_any_text_comes_back(tmp_path_factory, pairs, to):
    labels = tuple(sorted({answer for _, answer in pairs} | {"x", "y"}))
    assume(labels_problem(labels) is None)  # such as a control character, which nobody sees
    classes = [Example(text, answer, labels) for text, answer in pairs]
    free = [Example(text, answer) for text, answer in pairs]
    made = {
        "c": Task("c", "classification", lambda part: classes, labels=labels, instruction=pairs[0][1]),
        "g": Task("g", "generation", lambda part: free, metric="exact_match"),
    }
    before = TaskSuite("s", made, {"meta_test": ("c", "g")})
    after = open_suite(export(before, to, tmp_path_factory.mktemp("any") / "out"))
    assert {n: t.fingerprint() for n, t in after.tasks.items()} == {n: t.fingerprint() for n, t in made.items()}
    assert after["c"].labels == labels


def test_the_harness_reads_the_same_documents_targets_and_choices(tmp_path, monkeypatch):
    tasks = pytest.importorskip("lm_eval.tasks")
    before = suite()
    export(before, "lm-eval", tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    manager = tasks.TaskManager(include_path=".", include_defaults=False)
    loaded = (
        manager.load(list(before.tasks))["tasks"]
        if hasattr(manager, "load")
        else tasks.get_task_dict(list(before.tasks), manager)
    )
    assert set(loaded) == set(before.tasks)
    for name, theirs in loaded.items():
        mine = before[name]
        for part, docs in (("train", theirs.training_docs()), ("test", theirs.test_docs())):
            assert len(docs) == len(mine.examples(part))
            for doc, example in zip(docs, mine.examples(part), strict=True):
                assert theirs.doc_to_text(doc) == f"{example.text}\nAnswer:"
                target = theirs.doc_to_target(doc)
                if example.form == "options":
                    assert theirs.doc_to_choice(doc) == list(example.options)
                    assert theirs.doc_to_choice(doc)[target] == example.output
                elif example.form == "text":
                    assert target == example.output
                else:
                    assert target == f"Zoë = PER; {example.tokens[2]} = NUM"
    assert loaded["mood"].config.description == "{% raw %}{{ Rate }} it: {% yes{% endraw %}\n\n"


def test_datasets_loads_each_task_as_a_config(tmp_path):
    before = suite()
    export(before, "datasets", tmp_path / "out")
    for name, mine in before.tasks.items():
        loaded = datasets.load_dataset(str(tmp_path / "out"), name, cache_dir=str(tmp_path / "cache"))
        assert {part: len(loaded[part]) for part in loaded} == {p: len(mine.examples(p)) for p in ("train", "test")}
    mood = datasets.load_dataset(str(tmp_path / "out"), "mood", split="test", cache_dir=str(tmp_path / "cache"))
    assert mood.features["output"].names == list(LABELS)
    assert mood.features["output"].int2str(mood["output"]) == [e.output for e in before["mood"].examples("test")]


def test_the_command_exports_and_says_how_the_folder_opens(tmp_path, capsys):
    out = tmp_path / "out"
    main(
        [
            "suites",
            "export",
            "--to",
            "metaicl",
            "--tasks",
            "[kitchen_taste, farm_fields]",
            "--forms",
            "[options]",
            "--output",
            str(out),
        ]
    )
    printed = capsys.readouterr().out
    assert printed.startswith(f"{out} holds 1 task and opens as --suite 'metaicl:{out}?setting=suite")
    before = open_suite("embedded")
    assert_same(before, open_suite(printed.split("'")[1]), k=8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "metaicl"], "suites export needs an output folder"),
        (["--to", "x", "--output", "out"], "unknown layout 'x'"),
        (["--to", "metaicl", "--output", "out", "--tasks", "[nothing]"], "has no task 'nothing'"),
        (["--to", "metaicl", "--output", "out", "--forms", "[tgas]"], "unknown form 'tgas'. Did you mean tags"),
    ],
)
def test_the_command_names_a_mistake(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["suites", "export", *words])
    assert stopped.value.code == 2 and message in capsys.readouterr().err and not list(Path().iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("to", WHOLE)
def test_real_tasks_come_back(realtasks, tmp_path, to):
    before = open_suite(str(realtasks))
    after = open_suite(export(before, to, tmp_path / "out"))
    assert len(after.tasks) == len(before.tasks)
    assert_same(before, after, k=4)
