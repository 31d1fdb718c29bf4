"""How documents of lm-evaluation-harness become examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources.lm_eval_documents import Documents, documents_of

PATH = Path("task.yaml")


def test_a_number_or_its_digits_name_a_choice():
    choices = Documents("{{q}}", "answer", True, choices=["no", "yes"])
    assert choices.example({"q": "?", "answer": 1}, "x") == Example("?", "yes", ("no", "yes"))
    digits = Documents("q", "{{ answer }}", True, choices="options")
    assert digits.example({"q": "?", "answer": 0, "options": ["a", "b"]}, "x").output == "a"
    with pytest.raises(UserError, match="not the number of a choice; found 2; expected 0 to 1"):
        choices.example({"q": "?", "answer": 2}, "x")


def test_a_template_may_write_a_list_of_choices_or_of_answers():
    choices = Documents("q", "right", True, choices="{{ [a, b] }}")
    assert choices.example({"q": "?", "right": "y", "a": "x", "b": "y"}, "d:1").options == ("x", "y")
    free = Documents("q", "{{ answers }}", False)
    assert free.example({"q": "?", "answers": ["one", "two"]}, "d:1") == Example("?", "one", accepted=("two",))
    with pytest.raises(UserError, match="doc_to_choice must give a list"):
        Documents("q", "right", True, choices="{{ a }}").example({"q": "?", "right": "y", "a": "x"}, "d:1")


def test_only_a_written_list_of_choices_is_a_list_of_labels():
    assert Documents("q", "a", True, choices=["x", "y"]).labels() == ("x", "y")
    assert Documents("q", "a", True, choices={"k": "x", "l": "y"}).labels() == ("x", "y")
    assert Documents("q", "a", True, choices="field").labels() == ()
    assert Documents("q", "a", False, choices=["x", "y"]).labels() == ()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"doc_to_target": "a"}, "doc_to_text is missing"),
        ({"doc_to_text": 3, "doc_to_target": "a"}, "doc_to_text has a wrong type; found 3"),
        ({"doc_to_text": "q"}, "doc_to_target is missing"),
        ({"doc_to_text": "q", "doc_to_target": "a"}, "doc_to_choice is missing"),
        (
            {"doc_to_text": "q", "doc_to_target": "a", "doc_to_choice": ["x"], "fewshot_config": {"doc_to_text": "z"}},
            "fewshot_config.doc_to_text: demonstrations of another form",
        ),
    ],
)
def test_keys_that_make_no_document_are_refused(config, said):
    with pytest.raises(UserError, match=said):
        documents_of(config, {}, True, PATH)


def test_a_choice_among_inputs_is_refused():
    with pytest.raises(UserError, match="a choice among inputs is not supported"):
        Documents("{{ n }}", "a", True, choices=["x", "y"]).example({"n": 1, "a": 0}, "x")
