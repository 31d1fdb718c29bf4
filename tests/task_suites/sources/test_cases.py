"""Small inputs that once went wrong without a word, read from the folder of cases where it is there.

What each stands for is tested on inputs made in test_json_files.py, test_questions.py and test_label_identity.py,
so that nothing is left untested where the folder is absent.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from question_files import queries_of

from metaicl.inference.questions import read_questions
from task_suites.core.errors import UserError
from task_suites.sources import open_suite

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
LINES, OPTIONS, RATINGS = CASES / "lines", CASES / "options", CASES / "ratings"


def error_of(make) -> str:
    with pytest.raises(UserError) as raised:
        make()
    return str(raised.value)


def test_there_are_as_many_queries_as_lines_that_end_at_lf():
    questions = read_questions(LINES / "demos.jsonl", LINES / "inputs.jsonl")
    assert len(queries_of(questions)) == (LINES / "inputs.jsonl").read_bytes().count(b"\n")
    assert len(questions.support) == (LINES / "demos.jsonl").read_bytes().count(b"\n")


def test_a_byte_order_mark_is_taken():
    assert [q.input for q in queries_of(read_questions(LINES / "demos.jsonl", LINES / "inputs-bom.jsonl"))] == [
        "a warm afternoon"
    ]


def test_a_second_and_a_third_evaluation_compute_nothing(tmp_path):
    from eval.config import Protocol
    from eval.contenders import Backbones, contender
    from eval.harness import Comparison
    from metaicl.lm.config import BackboneConfig
    from task_suites.formats.prompt_format import PromptFormat

    made = contender("majority", BackboneConfig(model="tiny-random"), PromptFormat(), Backbones())
    sizes = []
    for _ in range(3):
        suite = open_suite(str(LINES / "suite"))
        comparison = Comparison(suite.split("meta_test"), Protocol(k=[2, 4], seeds=2, queries=4), tmp_path)
        comparison.run(made)
        sizes.append((tmp_path / "cells.jsonl").read_bytes().count(b"\n"))
    assert sizes == [4, 4, 4]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("string", "options has a wrong type; found 'white'; expected a list of strings"),
        ("duplicate", "there must be at least two options, all different"),
        ("blank", "an option is empty"),
        ("single", "there must be at least two options, all different"),
        ("numbers", "options has a wrong type; found [1, 2]"),
    ],
)
def test_unsound_options_are_refused_as_in_a_suite(file, message):
    path = OPTIONS / f"{file}.jsonl"
    assert error_of(lambda: read_questions(OPTIONS / "demos.jsonl", path)).startswith(f"{path}:1: {message}")


def test_options_of_queries_of_a_classification_are_refused():
    path = OPTIONS / "duplicate.jsonl"
    assert error_of(lambda: read_questions(LINES / "demos.jsonl", path)).startswith(f"{path}:1: ")


def test_demonstrations_of_one_class_are_said_to_be_taken_for_free_text():
    assert "free text" in read_questions(OPTIONS / "one-class.jsonl", LINES / "inputs.jsonl").note


@pytest.mark.parametrize("file", ["four", "five"])
def test_ratings_are_never_shifted(file):
    suite = open_suite(f"table:{RATINGS / file}.yaml")
    assert "a number stands for no label" in error_of(lambda: suite[file].examples("train"))


def test_booleans_of_yaml_are_matched():
    task = open_suite(f"table:{RATINGS / 'truth.yaml'}")["truth"]
    examples = [*task.examples("train"), *task.examples("test")]
    assert {(int(e.input.split()[1]) % 2, e.output) for e in examples} == {(0, "wrong"), (1, "right")}
