"""Stored suites: the same tasks and the same draws as in memory, opened without being read, damage told apart."""

from __future__ import annotations

import json
import pickle
import random
import shutil
from pathlib import Path

import pytest
from helpers import sized_task
from hypothesis import given
from hypothesis import strategies as st
from toys import choice_task, tag_task, text_task, toy_suite, toy_task

from examples import examples
from task_suites.core.errors import UserError
from task_suites.episodes import LARGE, EpisodeSampler
from task_suites.example import Example
from task_suites.parts import StoredExamples
from task_suites.sources import SuiteConfig, open_suite
from task_suites.store import EXAMPLES, HEADER, StoredPart, open_store, write_store
from task_suites.task import Illustration, Task, TaskSuite

PARTS = ("train", "test")
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1, max_size=20)
sound = text.filter(str.strip)


def suite_of(*tasks: Task, **splits: tuple[str, ...]) -> TaskSuite:
    return TaskSuite("held", {t.name: t for t in tasks}, splits or {"meta_test": tuple(t.name for t in tasks)}, "told")


def without_labels() -> Task:
    return sized_task({"yes": 30, "no": 9}, name="shared options").replace(labels=())


def with_illustrations() -> Task:
    more = {"positive": (Illustration("a", "b", "why"),), "negative": (Illustration("c", "d"),), "licence": "CC0"}
    accepting = [Example("who?", "he", accepted=("him", "she")), Example("what?", "it"), Example("Straße\u2028?", "ja")]
    return Task("illustrated", "generation", lambda part: accepting, metric="exact_match", **more)


TASKS = [
    toy_task(),
    choice_task(),
    text_task(),
    tag_task(),
    without_labels(),
    with_illustrations(),
    sized_task({"a": 1500, "b": 1500, "c": 20}, test=LARGE + 30, name="large"),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "suite"
    write_store(suite_of(*TASKS), folder)
    return folder


def test_a_stored_suite_has_the_tasks_and_examples_that_were_written(stored):
    suite, opened = suite_of(*TASKS), open_suite(f"arrow:{stored}")
    assert (opened.name, opened.splits, opened.description) == (suite.name, suite.splits, suite.description)
    for task in TASKS:
        again = opened[task.name]
        assert again == task and again.fingerprint() == task.fingerprint() and again.form == task.form
        for part in PARTS:
            examples = again.examples(part)
            assert isinstance(examples, StoredExamples) and tuple(examples) == task.examples(part)
            assert tuple(examples[i] for i in range(len(examples))) == task.examples(part)
            assert examples[-1] == task.examples(part)[-1] and examples[1:7:2] == task.examples(part)[1:7:2]
            assert examples.outputs() == [e.output for e in task.examples(part)]
            with pytest.raises(IndexError):
                examples[len(examples)]


@examples(60)
@given(
    st.sampled_from([t for t in TASKS if t.name != "illustrated"]),
    st.integers(0, 10**6),
    st.sampled_from(["train", "test"]),
    st.sampled_from(
        [
            {},
            {"balance": "natural"},
            {"k": 2, "per_class": True},
            {"max_classes": 2, "arbitrary_labels": 0.5},
            {"stratified": True},
        ]
    ),
    st.integers(0, 20),
)
def test_a_draw_from_a_store_is_the_draw_from_memory(stored, task, seed, role, setting, index):
    sampler = EpisodeSampler(**{"seed": seed, "k": 8, "queries": 8, **setting})
    assert sampler.draw(open_store(stored)[task.name], role, index) == sampler.draw(task, role, index)


def test_a_duplicate_of_a_demonstration_in_a_small_stored_part_is_never_a_query(tmp_path):
    def load(part: str) -> list[Example]:
        return [Example(f"{'ITEM' if i % 2 else 'item'} {i // 8}", "xy"[i % 2], ("x", "y")) for i in range(160)]

    task = Task("repeats", "classification", load, labels=("x", "y"))
    write_store(suite_of(task), tmp_path / "s")
    for index in range(20):
        drawn = [
            EpisodeSampler(0, 4, 99).draw(t, "train", index) for t in (task, open_store(tmp_path / "s")["repeats"])
        ]
        assert drawn[0] == drawn[1] and not {e.content for e in drawn[0].support} & {
            e.content for e in drawn[0].queries
        }


@examples(30)
@given(st.lists(st.tuples(sound, sound, st.lists(sound, max_size=2)), min_size=1, max_size=6))
def test_any_text_comes_back_as_it_was(tmp_path_factory, rows):
    examples = tuple(Example(a, b, accepted=tuple(more)) for a, b, more in rows)
    folder = tmp_path_factory.mktemp("any") / "suite"
    write_store(suite_of(Task("t", "generation", lambda part: examples, metric="exact_match")), folder)
    back = open_store(folder)["t"].examples("test")
    assert tuple(back) == examples == tuple(back[i] for i in range(len(back)))
    assert back.content_keys().tolist() == [int(k) for k in back.content_keys()] and len(back.content_keys()) == len(
        rows
    )
    shutil.rmtree(folder.parent)


def test_opening_reads_no_example_and_a_draw_makes_few(stored, monkeypatch):
    made = []
    plain = StoredPart._add_labels
    monkeypatch.setattr(StoredPart, "_add_labels", lambda self, values: made.append(1) or plain(self, values))
    task = open_store(stored)["large"]
    assert not made
    EpisodeSampler(0, 16, 8).draw(task, "test", 0)
    made.clear()
    EpisodeSampler(0, 16, 8).draw(task, "test", 1)
    assert 24 <= len(made) <= 26


def test_a_stored_task_travels_to_another_process(stored):
    task = open_store(stored)["toy"]
    drawn = EpisodeSampler(0, 4, 4).draw(task, "test", 0)
    unopened, opened = (pickle.loads(pickle.dumps(t)) for t in (task.replace(), task))
    assert all(EpisodeSampler(0, 4, 4).draw(t, "test", 0) == drawn for t in (unopened, opened))
    assert len(pickle.dumps(task)) < 2000


def test_a_leak_across_the_split_of_a_stored_suite_is_found(tmp_path):
    clean, leaking = toy_task("clean"), toy_task("leaking")
    told_apart = clean.replace(
        load=lambda part: [Example(f"clean {e.input}", e.output, e.options) for e in leaking.examples(part)]
    )
    for task, name in ((told_apart, "a"), (clean.replace(load=leaking.load), "b")):
        write_store(suite_of(task, leaking, meta_train=("clean",), meta_test=("leaking",)), tmp_path / name)
    SuiteConfig([f"arrow:{tmp_path}/a"]).open()
    with pytest.raises(UserError, match="120 examples of held-out tasks also lie in meta-training tasks"):
        SuiteConfig([f"arrow:{tmp_path}/b"]).open()


def test_a_sound_store_is_read_by_plain_arrow(stored):
    import pyarrow as pa

    table = pa.ipc.open_file(str(stored / EXAMPLES)).read_all()
    assert table.num_rows == sum(len(t.examples(part)) for t in TASKS for part in PARTS)
    assert table["input"][0].as_py() == TASKS[0].examples("train")[0].input


def test_an_unsound_example_or_a_folder_that_is_there_stops_the_writing_without_a_trace(tmp_path):
    with pytest.raises(UserError, match="already exists"):
        write_store(toy_suite(), tmp_path)
    bad = Task("bad", "generation", lambda part: [Example("a", "b"), Example("", "c")])
    with pytest.raises(UserError, match="task bad, train example 2: the input is empty"):
        write_store(suite_of(toy_task(), bad), tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_writing_keeps_no_task_in_memory(tmp_path):
    suite = toy_suite()
    write_store(suite, tmp_path / "s")
    assert not any(task._loaded for task in suite.tasks.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop("tasks"), "not the header of a stored suite; found KeyError: 'tasks'"),
        (lambda h: h.update(store=9), "the store was written by another version of metaicl; found 9; expected 1"),
        (lambda h: h.update(splits=3), "not the header of a stored suite"),
        (lambda h: h["tasks"][0].pop("labels"), "not the header of a stored suite; found KeyError: 'labels'"),
        (lambda h: h["tasks"][0].update(type="sport"), "unknown type 'sport'"),
        (
            lambda h: (h["tasks"].pop(), h.update(splits={})),
            "the file does not hold the examples that suite.json describes; found 14 parts",
        ),
        (
            lambda h: h["tasks"][0].update(train=61),
            "part 0 has another size than suite.json says; found 60; expected 61",
        ),
        (lambda h: h.update(bytes=5), "the file of examples is incomplete"),
    ],
)
def test_a_header_that_does_not_fit_is_one_clear_error(stored, tmp_path, change, message):
    folder = Path(shutil.copytree(stored, tmp_path / "s"))
    header = json.loads((folder / HEADER).read_text())
    change(header)
    (folder / HEADER).write_text(json.dumps(header))
    with pytest.raises(UserError, match=message) as error:
        open_store(folder)["toy"].examples("train")
    assert str(folder) in str(error.value)


def test_a_missing_or_cut_store_is_one_clear_error(stored, tmp_path):
    with pytest.raises(UserError, match=r"no stored suite at .*nowhere"):
        open_suite(f"arrow:{tmp_path}/nowhere")
    folder = Path(shutil.copytree(stored, tmp_path / "s"))
    (folder / EXAMPLES).write_bytes((folder / EXAMPLES).read_bytes()[:-9])
    with pytest.raises(UserError, match=r"examples.arrow: the file of examples is incomplete; found \d+"):
        open_store(folder)
    (folder / HEADER).write_bytes(b"\xff{")
    with pytest.raises(UserError, match=r"suite\.json: not the header"):
        open_store(folder)


def test_damaged_bytes_read_right_or_give_one_clear_error(tmp_path):
    """400 seeded damages of a small store: no other error than a `UserError`, and no crash of the process."""
    write_store(suite_of(toy_task(size=5), tag_task(size=4), with_illustrations()), tmp_path / "s")
    whole = {name: (tmp_path / "s" / name).read_bytes() for name in (HEADER, EXAMPLES)}
    refused = 0
    for number in range(400):
        rng = random.Random(f"damage/{number}")
        name = rng.choice((HEADER, EXAMPLES, EXAMPLES))
        data = bytearray(whole[name])
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "s" / name).write_bytes(data)
        try:
            for task in open_store(tmp_path / "s").tasks.values():
                for part in PARTS:
                    assert all(isinstance(e.text, str) and e.content is not None for e in task.examples(part))
        except UserError:
            refused += 1
        (tmp_path / "s" / name).write_bytes(whole[name])
    assert 50 < refused < 400


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists the open files of a process")
def test_an_open_store_keeps_no_file_open(tmp_path):
    def stored(number: int) -> Task:
        rows = [Example(f"text {i}", "ab"[i % 2], ("a", "b")) for i in range(4)]
        task = Task("t", "classification", lambda part: rows, labels=("a", "b"))
        write_store(TaskSuite("s", {"t": task}, {}), tmp_path / str(number))
        return open_store(tmp_path / str(number))["t"]

    tasks = [stored(number) for number in range(20)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert [task.examples("train")[3].text for task in tasks] == ["text 3"] * 20
    assert len(list(Path("/proc/self/fd").iterdir())) - before < 5
    assert [task.examples("train")[2].text for task in tasks] == ["text 2"] * 20


def test_a_store_of_an_earlier_version_has_no_benchmarks_and_a_new_one_keeps_them(tmp_path):
    rows = [Example("text", "a", ("a", "b"))]
    task = Task("t", "classification", lambda part: rows, evaluation_only=True)
    write_store(TaskSuite("s", {"t": task}, {"meta_test": ("t",)}), tmp_path / "new")
    assert open_store(tmp_path / "new")["t"].evaluation_only
    header = json.loads((tmp_path / "new" / "suite.json").read_text())
    del header["tasks"][0]["evaluation_only"]
    (tmp_path / "new" / "suite.json").write_text(json.dumps(header))
    assert not open_store(tmp_path / "new")["t"].evaluation_only
