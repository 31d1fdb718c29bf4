"""Which labels are taken for which, on tasks whose queries all have the same options."""

from __future__ import annotations

import json

import pytest
from pages import Page, make

from eval.report.confusion import confusions
from eval.report.page import write_report
from eval.report.summary import rows
from eval.results import Results


def write_answers(folder, task, pairs, options=("yes", "no")):
    """Predictions of the method of interest: (right, answered) of each query."""
    (folder / "predictions").mkdir(exist_ok=True)
    with (folder / "predictions" / "metaicl.jsonl").open("a") as out:
        for index, (truth, answer) in enumerate(pairs):
            line = {"method": "metaicl", "task": task, "seed": 0, "k": 16, "index": index, "input": f"{task} {index}"}
            scores = [1.0 * (option == answer) for option in options]
            line |= {"options": list(options), "scores": scores, "truth": truth, "answer": answer}
            out.write(json.dumps(line) + "\n")


def test_confusion_counts_the_answers_by_right_label(tmp_path):
    make(tmp_path, predictions=False)
    write_answers(tmp_path, "plain", [("yes", "yes"), ("yes", "no"), ("yes", "no"), ("no", "no")])
    results = Results.load(tmp_path)
    (found,) = confusions(tmp_path, results, rows(results)[0])
    assert (found.task, found.labels) == ("plain", ["yes", "no"])
    assert found.counts == [[1, 2], [0, 1]] and (found.right, found.total) == (2, 4)
    assert found.shares() == [[pytest.approx(1 / 3), pytest.approx(2 / 3)], [0.0, 1.0]]
    assert "plain: 2 of 4 right" in Page(write_report(tmp_path).read_text("utf-8")).text


def test_tasks_whose_queries_have_options_of_their_own_have_no_confusion_matrix(tmp_path):
    make(tmp_path, predictions=False)
    write_answers(tmp_path, "plain", [("yes", "yes")])
    write_answers(tmp_path, "plain", [("left", "right")], ("left", "right"))
    write_answers(tmp_path, "third", [("0", "1")], [str(i) for i in range(13)])
    results = Results.load(tmp_path)
    assert confusions(tmp_path, results, rows(results)[0]) == []
