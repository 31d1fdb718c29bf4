"""What is odd about the answers of a task."""

from __future__ import annotations

from task_suites.audit.answers import answers, note_task
from task_suites.example import Example
from task_suites.task import Task


def task(examples: list[Example], **fields: object) -> Task:
    return Task("t", fields.pop("type", "classification"), lambda split: examples, **fields)  # type: ignore[arg-type]


def test_all_right_answers_of_an_example_count():
    assert answers(Example("q", "a", ("a", "b", "c"), accepted=("c",))) == {"a", "c"}
    tagged = Example(tokens=("x",), tags=("O",))
    assert answers(tagged) == {("O",)}


def test_whole_words_are_looked_for_and_listed_options_give_nothing_away():
    rows = [Example(f"the right one is red, number {i}", "red", ("red", "reddish")) for i in range(10)]
    notes = note_task(task(rows, labels=("red", "reddish")), languages=False).in_input
    assert (notes.answer, notes.one_option, notes.right) == (1.0, 20, 1.0)
    both = [Example(f"red or reddish, number {i}?", "red", ("red", "reddish")) for i in range(10)]
    notes = note_task(task(both, labels=("red", "reddish")), languages=False).in_input
    assert (notes.answer, notes.one_option) == (1.0, 0) and not notes.answer_leaks_into_input


def test_the_position_of_the_right_option_is_noted_only_where_options_are_own():
    own = [Example(f"q{i}", f"b{i}", (f"a{i}", f"b{i}")) for i in range(6)]
    assert note_task(task(own, type="multiple_choice"), languages=False).position == (2, 1.0)
    shared = [Example(f"q{i}", "b", ("a", "b")) for i in range(6)]
    notes = note_task(task(shared, labels=("a", "b")), languages=False)
    assert notes.position is None and notes.majority["train"] == ("b", 1.0)


def test_lengths_are_in_the_unit_that_is_given():
    rows = [Example("one two three", "four"), Example("one", "two")]
    words = note_task(task(rows, type="generation"), context=3, languages=False).lengths
    assert (words.longest, words.over, words.fit) == (4, 2, 1)
    letters = note_task(task(rows, type="generation"), 8, len, languages=False).lengths
    assert letters.longest == len("one two three four") and letters.over == 2
