"""MetaICL and CrossFit folders: which files are read, what type a task has, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from foreign import error_of, examples, formats, write

from task_suites import open_suite
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example

LABELS = ["praise", "complaint"]


def rows(task: str, part: str, n: int = 4, **changes: object) -> list[dict]:
    return [
        {"task": task, "input": f"{task} {part} {i}", "output": LABELS[i % 2], "options": LABELS, **changes}
        for i in range(n)
    ]


def metaicl(folder: Path, task: str = "mood", k: int = 16, seed: int = 100, **parts: object) -> Path:
    """A task's files at one k and seed; `part=None` leaves one out."""
    files = {part: rows(task, f"{part} {k} {seed}") for part in ("train", "dev", "test")} | parts
    return write(folder, {f"data/{task}/{task}_{k}_{seed}_{p}.jsonl": c for p, c in files.items() if c is not None})


def inputs(task, part: str) -> list[str]:
    return [e.input for e in task.examples(part)]


def test_the_sample_folder_opens_with_its_setting():
    suite = open_suite(f"metaicl:{formats('metaicl')}?setting=tiny_to_class")
    assert suite.splits == {"meta_train": ("kitchen_why", "shout_back"), "meta_test": ("parcel_mood",)}
    assert [t.type for t in suite.tasks.values()] == ["multiple_choice", "generation", "classification"]
    assert [t.metric for t in suite.tasks.values()] == ["accuracy", "exact_match", "macro_f1"]
    assert suite["parcel_mood"].labels == ("complaint", "praise") and len(suite["parcel_mood"].examples("train")) == 4
    assert len(suite["kitchen_why"].examples("train")) == 2 and len(suite["kitchen_why"].examples("test")) == 1


def test_the_seed_chooses_the_files_of_target_tasks():
    name = f"metaicl:{formats('metaicl')}?setting=tiny_to_class"
    first, other = (open_suite(f"{name}&seed={seed}")["parcel_mood"] for seed in (100, 13))
    assert first.examples("test") == other.examples("test") and first.examples("train") != other.examples("train")
    assert other.examples("train")[0] == Example("Never again.", "complaint", ("complaint", "praise"))


def test_meta_training_tasks_have_a_k_and_seed_of_their_own(tmp_path):
    for k, seed in ((16, 100), (16, 13), (16384, 100)):
        metaicl(tmp_path, "mood", k, seed)
        metaicl(tmp_path, "tone", k, seed)
    write(tmp_path, {"config/x.json": {"train": ["mood"], "test": ["tone"]}})
    suite = open_suite(f"metaicl:{tmp_path}?setting=x&seed=13")
    assert inputs(suite["mood"], "train")[0] == "mood train 16384 100 0"
    assert inputs(suite["tone"], "train")[0] == "tone train 16 13 0" and len(suite["tone"].examples("test")) == 4
    suite = open_suite(f"metaicl:{tmp_path}?setting=x&train_k=16")
    assert inputs(suite["mood"], "train")[0] == "mood train 16 100 0"


def test_without_a_setting_all_tasks_are_for_meta_testing(tmp_path):
    metaicl(tmp_path, "mood")
    metaicl(tmp_path, "tone", 16384, dev=None, test=None)
    suite = open_suite(f"metaicl:{tmp_path}")
    assert suite.splits == {"meta_test": ("mood", "tone")} and len(examples(suite["tone"])) == 4
    assert len(EpisodeSampler(0, 2, 4).draw(suite["mood"], "test", 0).queries) == 4


@pytest.mark.parametrize(
    ("options", "kind", "labels"),
    [(LABELS, "classification", tuple(LABELS)), ([], "generation", ())],
)
def test_without_a_task_config_the_train_file_says_the_type(tmp_path, options, kind, labels):
    both = rows("mood", "all", options=options)
    metaicl(tmp_path, train=both, test=both)
    task = open_suite(f"metaicl:{tmp_path}")["mood"]
    assert (task.type, task.labels) == (kind, labels)


def test_lines_with_choices_of_their_own_are_multiple_choice(tmp_path):
    lines = [
        {"task": "mood", "input": f"pick {i}", "output": f"a{i}", "options": [f"a{i}", "b", "c"][: 2 + i % 2]}
        for i in range(4)
    ]
    metaicl(tmp_path, train=lines, test=lines)
    task = open_suite(f"metaicl:{tmp_path}")["mood"]
    assert task.type == "multiple_choice" and task.examples("test")[1].options == ("a1", "b", "c")


def test_free_answers_of_several_lines_become_one(tmp_path):
    lines = rows("mood", "x", output="one\n two", options=[])
    metaicl(tmp_path, train=lines)
    assert open_suite(f"metaicl:{tmp_path}")["mood"].examples("train")[0].output == "one two"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "tone"}, "the line belongs to another task; found 'tone'; expected 'mood'"),
        ({"input": 5}, "input has a wrong type; found 5; expected a string"),
        ({"options": "praise"}, "the options lack|there must be at least two options"),
        ({"options": [1, 2]}, r"options has a wrong type; found \[1, 2\]"),
        ({"output": "neutral"}, "the answer is not one of the labels; found output 'neutral'.*unsound=skip"),
        ({"options": ["praise", "complaint", "other"]}, "unknown label; found 'other'"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path, change, message):
    bad = rows("mood", "x")
    bad[2] |= change
    config = {"config/tasks/mood.json": {"task_type": "classification", "options": LABELS}}
    metaicl(write(tmp_path, config), train=bad)
    error = error_of(f"metaicl:{tmp_path}")
    assert re.match(rf"{re.escape(str(tmp_path))}/data/mood/mood_16_100_train.jsonl:3: ({message})", error), error


def test_a_line_without_a_key_is_refused(tmp_path):
    bad = rows("mood", "x")
    del bad[1]["options"]
    metaicl(tmp_path, train=bad)
    assert "mood_16_100_train.jsonl:2: key 'options' is missing" in error_of(f"metaicl:{tmp_path}")


def test_unsound_lines_are_left_out_when_that_is_asked_for(tmp_path):
    bad = rows("mood", "x")
    bad[2]["output"] = "neutral"
    metaicl(tmp_path, train=bad)
    assert len(open_suite(f"metaicl:{tmp_path}?unsound=skip")["mood"].examples("train")) == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?setting=y", "config: no setting 'y'. Known: lost, two, x."),
        ("?setting=lost", "lost.json: no files of the task 'moods'. Did you mean mood?"),
        ("?setting=two", "task mood is named twice in the split; found meta_train and meta_test"),
        (
            "?setting=x&k=32",
            "mood: the train file for this k and seed is missing; found k=16 seed=100; expected k=32 seed=100",
        ),
        ("?k=x", "option k has a wrong value; found 'x'"),
        ("?unsound=drop", "option unsound: unknown value 'drop'"),
        ("?settings=x", "unknown option 'settings'. Did you mean setting?"),
    ],
)
def test_a_mistake_in_the_options_is_named(tmp_path, query, message):
    metaicl(tmp_path)
    sides = {"x": ([], ["mood"]), "lost": ([], ["moods"]), "two": (["mood"], ["mood"])}
    write(tmp_path, {f"config/{n}.json": {"train": a, "test": b} for n, (a, b) in sides.items()})
    assert message in error_of(f"metaicl:{tmp_path}{query}")


def test_a_target_task_without_a_test_file_is_refused(tmp_path):
    metaicl(write(tmp_path, {"config/x.json": {"train": [], "test": ["mood"]}}), test=None)
    assert "the test file of a target task is missing" in error_of(f"metaicl:{tmp_path}?setting=x")


@pytest.mark.parametrize("config", [{"task_type": "class"}, {}, [], {"task_type": "classification", "options": None}])
def test_a_mistake_in_a_task_config_is_named(tmp_path, config):
    metaicl(write(tmp_path, {"config/tasks/mood.json": config}))
    assert error_of(f"metaicl:{tmp_path}").startswith(f"{tmp_path}/config/tasks/mood.json: ")


def test_tasks_of_one_source_on_two_sides_need_a_word_of_the_user(tmp_path):
    metaicl(tmp_path, "race-high", 16384)
    metaicl(tmp_path, "race-middle")
    write(tmp_path, {"config/x.json": {"train": ["race-high"], "test": ["race-middle"]}})
    error = error_of(f"metaicl:{tmp_path}?setting=x")
    assert "family race is on two sides" in error and "overlap=allow" in error
    suite = open_suite(f"metaicl:{tmp_path}?setting=x&overlap=allow")
    assert {t.source for t in suite.tasks.values()} == {"race"} and len(suite.splits["meta_train"]) == 1


def test_a_folder_without_tasks_is_refused(tmp_path):
    (tmp_path / "data" / "notes").mkdir(parents=True)
    assert "data: no task is here; expected <task>/<task>_<k>_<seed>_<split>.jsonl" in error_of(f"metaicl:{tmp_path}")
    assert "cannot be read" in error_of(f"metaicl:{tmp_path / 'gone'}")


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = metaicl(tmp_path / "folder")
    (tmp_path / "secret").write_text("secret")
    file = folder / "data" / "mood" / "mood_16_100_test.jsonl"
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    assert "the link leads out of the folder" in error_of(f"metaicl:{folder}")


# --- CrossFit ---------------------------------------------------------------------------------------------------------


def crossfit(folder: Path, text: str, k: int = 16, task: str = "mood", seed: int = 100) -> str:
    write(folder, {f"data/{task}/{task}_{k}_{seed}_{part}.tsv": text for part in ("train", "dev", "test")})
    return f"crossfit:{folder}"


def test_the_sample_of_crossfit_is_a_classification():
    task = open_suite(f"crossfit:{formats('crossfit')}")["parcel_mood"]
    assert (task.type, task.labels, task.metric) == ("classification", ("complaint", "praise"), "macro_f1")
    assert task.examples("test")[1] == Example("Lovely service from start to finish.", "praise", task.labels)


def test_crossfit_splits_have_three_sides(tmp_path):
    for task in ("a", "b", "c"):
        crossfit(tmp_path, "x\ty\nu\tv\n", task=task)
    write(tmp_path, {"dataloader/custom_tasks_splits/s.json": {"train": ["a"], "dev": ["b"], "test": ["c"]}})
    suite = open_suite(f"crossfit:{tmp_path}?setting=s")
    assert suite.splits == {"meta_train": ("a",), "meta_validation": ("b",), "meta_test": ("c",)}


def test_further_columns_are_further_right_answers(tmp_path):
    task = open_suite(crossfit(tmp_path, "who?\tAnn\tAnn Lee\nwhere?\tRome\n", k=32))["mood"]
    assert task.examples("train") == (Example("who?", "Ann", accepted=("Ann Lee",)), Example("where?", "Rome"))
    assert task.type == "generation" and task.metric == "exact_match"


def test_choices_in_the_input_are_options(tmp_path):
    text = "Why salt? (A) for taste (B) to cool\tfor taste\nWhy a lid? (A) weight (B) steam (C) looks\tsteam\n"
    task = open_suite(crossfit(tmp_path, text, k=32))["mood"]
    assert task.type == "multiple_choice"
    assert task.examples("train")[1] == Example("Why a lid?", "steam", ("weight", "steam", "looks"))


def test_the_tasks_own_k_is_found_and_16_goes_first(tmp_path):
    crossfit(tmp_path, "x\ty\n", k=32)
    assert open_suite(f"crossfit:{tmp_path}")["mood"].type == "generation"
    crossfit(tmp_path, "x\ty\nu\tv\n", k=16)
    assert open_suite(f"crossfit:{tmp_path}")["mood"].type == "classification"
    assert open_suite(f"crossfit:{tmp_path}?k=32")["mood"].type == "generation"
    assert "the train file for this k and seed is missing; found k=16 seed=100" in error_of(
        f"crossfit:{tmp_path}?seed=13"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no tab", "the output is empty"),
        ("", "the input is empty"),
        ("x\tother", "the answer is not one of the labels"),
    ],
)
def test_a_bad_line_of_crossfit_is_named(tmp_path, line, message):
    crossfit(tmp_path, "x\ty\nu\tv\n")
    (tmp_path / "data/mood/mood_16_100_test.tsv").write_text(f"x\ty\n{line}\nu\tv\n")
    assert error_of(f"crossfit:{tmp_path}").startswith(f"{tmp_path}/data/mood/mood_16_100_test.tsv:2: {message}")


def test_a_line_of_many_blanks_takes_no_time(tmp_path):
    crossfit(tmp_path, "x" + " " * 300_000 + "y\ta\nu\tb\n", k=32)
    assert open_suite(f"crossfit:{tmp_path}")["mood"].type == "generation"
