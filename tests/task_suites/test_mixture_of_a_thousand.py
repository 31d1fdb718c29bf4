"""A thousand tasks in two stored suites go the way of every mixture: joined, checked, drawn, recorded, audited."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from task_suites.audit.run import audit_suite
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.mixing import Mixing
from task_suites.parts import StoredExamples
from task_suites.provenance import data_record
from task_suites.sources import SuiteConfig
from task_suites.store import write_store
from task_suites.task import Task, TaskSuite

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SIDES = ("meta_train",) * 8 + ("meta_validation", "meta_test")


def made(number: int) -> Task:
    """A task of a data set that it shares with nine others; its size is that of one in a hundred, and its kind."""
    labels = (f"left{number}", f"right{number}")
    choices = number % 4 == 0

    def load(part: str) -> list[Example]:
        size = 4 + number % 100 // 10 if part == "train" else 2
        rows = [(f"{part} item {i} of task {number}", labels[i % 2]) for i in range(size)]
        return [Example(text, answer, labels[::-1] if choices else labels) for text, answer in rows]

    name, home = f"task{number:04}", f"maker/set{number // 10}"
    kind = "multiple_choice" if choices else "classification"
    shared = {"family": home, "source": f"{home}@{COMMIT}", "licence": "mit"}
    return Task(name, kind, load, labels=() if choices else labels, **shared)  # type: ignore[arg-type]


def store(folder: Path, name: str, numbers: range, change: int | None = None) -> str:
    tasks = {task.name: task for task in map(made, numbers)}
    if change is not None:  # an example of another task
        whole = tasks[f"task{change:04}"]
        other = made(change - 10)  # of the data set before it, on the other side
        tasks[whole.name] = whole.replace(labels=(), load=other.load, type="multiple_choice")
    sides: dict[str, list[str]] = {}
    for number, task in zip(numbers, tasks.values(), strict=True):
        sides.setdefault(SIDES[number // 10 % 10], []).append(task.name)
    write_store(TaskSuite(name, tasks, {side: tuple(names) for side, names in sides.items()}), folder / name)
    return f"arrow:{folder / name}"


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> TaskSuite:
    folder = tmp_path_factory.mktemp("stores")
    names = [store(folder, "first", range(500)), store(folder, "second", range(500, 1000))]
    suite, note = SuiteConfig(names).open()
    assert note is None
    return suite


def test_all_tasks_are_joined_and_stay_on_disk(thousand):
    assert [len(names) for names in thousand.splits.values()] == [800, 100, 100]
    assert all(isinstance(t.examples(p), StoredExamples) for t in thousand.tasks.values() for p in ("train", "test"))


def test_tasks_are_drawn_once_a_round_and_by_size(thousand):
    tasks = thousand.split("meta_train")
    once = Mixing().choose(tasks, 0, range(len(tasks)))
    assert Counter(task.name for task in once) == Counter(task.name for task in tasks)
    sizes = {task.name: len(task.examples("train")) for task in tasks}
    for mixing, power in ((Mixing("proportional"), 1.0), (Mixing("temperature", 4.0), 0.25)):
        chances = mixing.chances(tasks)
        small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        assert chances[large] / chances[small] == pytest.approx((sizes[large] / sizes[small]) ** power)
        assert sum(chances.values()) == pytest.approx(1)
        assert len({task.name for task in mixing.choose(tasks, 0, range(200))}) > 150


def test_kinds_of_tasks_are_weighed(thousand):
    tasks = thousand.split("meta_train")
    mixing = Mixing("weights", weights={"multiple_choice": 3, "classification": 1}, by="type")
    mixing.check(tasks)
    kinds: Counter[str] = Counter()
    for name, share in mixing.chances(tasks).items():
        kinds[thousand[name].type] += share  # type: ignore[assignment]
    assert kinds["multiple_choice"] == pytest.approx(0.75) and kinds["classification"] == pytest.approx(0.25)
    drawn = Counter(task.type for task in mixing.choose(tasks, 0, range(400)))
    assert 260 < drawn["multiple_choice"] < 340


def test_an_episode_of_each_task_can_be_drawn(thousand):
    sampler = EpisodeSampler(0, 2, 1)
    for task in thousand.split("meta_train")[::40]:
        episode = sampler.draw(task, "train", 0)
        assert len(episode.support) == 2 and len(episode.queries) == 1


def test_the_record_names_each_task_with_suite_and_revision(thousand):
    record = data_record(thousand.tasks.values())
    assert len(record) == 1000 and len({entry["fingerprint"] for entry in record.values()}) == 1000
    assert all(entry["source"].endswith(f"@{COMMIT}") and entry["licence"] == "mit" for entry in record.values())
    assert Counter(Path(entry["suite"]).name for entry in record.values()) == {"first": 500, "second": 500}


def test_the_audit_of_all_tasks_finds_nothing_where_nothing_is(thousand):
    report = audit_suite(thousand, near=False)
    assert report.clean and not report.pairs


def test_one_held_out_example_among_a_thousand_tasks_is_found(tmp_path):
    names = [store(tmp_path, "first", range(60)), store(tmp_path, "second", range(60, 120), change=80)]
    with pytest.raises(UserError, match=r"examples of held-out tasks also lie in meta-training tasks.*task0070"):
        SuiteConfig(names).open()
