"""Examples from tasksource's standard form: what is not a class, a choice or a tag is refused or left out."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from task_suites import Example, UserError
from task_suites.sources.tasksource_examples import MAX_OPTIONS, make_examples


def made(kind: str, question: str = "", features: Features | None = None, **columns: list):
    rows = Dataset.from_dict(columns, features)
    examples, labels = make_examples(kind, question, {"train": rows}, "here")  # type: ignore[arg-type]
    return examples["train"], labels


def test_whole_numbers_without_names_are_classes_and_other_numbers_are_not():
    examples, labels = made("classification", sentence1=["a", "b", "c"], labels=[3, 1, 3])
    assert labels == ("1", "3") and examples[0] == Example("a", "3", ("1", "3"))
    for wrong in ([0.5, 1.0], [[0], [0, 1]], list(range(30))):
        with pytest.raises(UserError, match="here: the labels are not classes"):
            made("classification", sentence1=["a"] * len(wrong), labels=wrong)


def test_labels_are_the_classes_that_occur():
    features = Features({"sentence1": Value("string"), "labels": ClassLabel(names=["no", "maybe", "yes"])})
    _, labels = made("classification", features=features, sentence1=["a", "b", "c"], labels=[2, 0, 2])
    assert labels == ("no", "yes")
    with pytest.raises(UserError, match="fewer than two classes"):
        made("classification", features=features, sentence1=["a"], labels=[2])
    alike = Features({"sentence1": Value("string"), "labels": ClassLabel(names=["Yes", "yes"])})
    with pytest.raises(UserError, match="two labels differ only by blanks or case"):
        made("classification", features=alike, sentence1=["a", "b"], labels=[0, 1])


def test_a_row_without_the_text_that_its_question_needs_is_left_out():
    question = "Is this so?\n{sentence2}"
    pairs = {"sentence1": ["a", "b", "c"], "sentence2": ["x", "", "z"], "labels": [0, 1, 1]}
    examples, _ = made("classification", question, **pairs)
    assert [e.text for e in examples] == ["a\nIs this so?\nx", "c\nIs this so?\nz"]


def test_choices_that_are_empty_or_repeat_are_dropped_and_the_answer_stays():
    columns = {f"choice{n}": [text] for n, text in enumerate(["no", "no", "", None, "yes"])}
    (example,), labels = made("multiple_choice", inputs=["Is it?"], labels=[4], **columns)
    assert labels == () and example.output == "yes" and sorted(example.options or ()) == ["no", "yes"]


def test_many_choices_are_cut_with_the_answer_kept():
    columns = {f"choice{n}": [f"number {n}"] for n in range(40)}
    (example,), _ = made("multiple_choice", inputs=["Which?"], labels=[33], **columns)
    assert len(example.options or ()) == MAX_OPTIONS and example.output == "number 33"


def test_without_an_input_the_choices_are_it():
    (example,), _ = made("multiple_choice", inputs=[""], labels=[0], choice0=["a dog ran"], choice1=["a cat ran"])
    assert example.text == "a cat ran\na dog ran" and example.output == "a dog ran"


@pytest.mark.parametrize(
    ("names", "bio"),
    [
        (["O", "I-X", "I-X", "B-X"], ["O", "B-X", "I-X", "B-X"]),  # IOB1
        (["B-X", "I-X", "E-X", "S-X"], ["B-X", "I-X", "I-X", "B-X"]),  # IOBES
        (["B-X", "L-X", "U-Y", "O"], ["B-X", "I-X", "B-Y", "O"]),  # BILOU
        (["NN", "I-=", "_", "a b"], ["B-NN", "B-I-_", "O", "B-a_b"]),  # not of spans
    ],
)
def test_tags_of_every_scheme_become_bio(names, bio):
    examples, _ = made("tagging", tokens=[list("wxyz")], labels=[names])
    assert list(examples[0].tags or ()) == bio


def test_token_labels_without_names_are_refused():
    features = Features({"tokens": List(Value("string")), "labels": List(Value("int64"))})
    with pytest.raises(UserError, match="here: the labels of tokens have no names"):
        made("tagging", features=features, tokens=[["a"]], labels=[[3]])


def test_no_sound_row_is_an_error():
    with pytest.raises(UserError, match="here: no train row makes an example; found 1 rows"):
        made("tagging", tokens=[["two words"]], labels=[["O"]])
