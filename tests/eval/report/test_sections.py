"""The sections of the page that say more than the means: confusion, sensitivity, reliability, cost, lineage, audit."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from pages import Page, make
from scripted import PROTOCOL, scripted
from toys import toy_task

from eval.calibration import expected_calibration_error, reliability
from eval.evaluate import run_all
from eval.harness import Comparison
from eval.lineage import audit_of, training_of, write_lineage, write_trainings
from eval.report import charts
from eval.report.background import audit, contamination, trainings
from eval.report.confusion import confusions
from eval.report.page import write_report
from eval.report.sensitivity import sensitivities
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


def test_sensitivity_is_the_standard_deviation_over_support_sets_pooled_over_tasks(tmp_path):
    results = Results.from_json(make(tmp_path))
    found = {one.row.method.name: one for one in sensitivities(rows(results))}
    points = {}
    for cell in results.cells_of("metaicl", 16):
        points.setdefault(cell.task, []).append(100 * cell.score)
    assert found["metaicl"].typical == pytest.approx(np.sqrt(np.mean([np.var(v, ddof=1) for v in points.values()])))
    assert sum(found["metaicl"].deviations) == pytest.approx(0)
    once = replace(results, cells=tuple(c for c in results.cells if c.seed == 0))
    assert sensitivities(rows(once)) == []


def test_reliability_bins_add_up_to_all_answers_and_give_the_error():
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0.2, 1, 500), rng.uniform(size=500) < 0.6
    bins = reliability(confidence, right)
    assert sum(b.share for b in bins) == pytest.approx(1)
    assert sum(b.share * b.accuracy for b in bins) == pytest.approx(right.mean())
    gap = sum(b.share * abs(b.accuracy - b.confidence) for b in bins)
    assert expected_calibration_error(confidence, right) == pytest.approx(gap)
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)


def test_cost_figure_names_the_methods_that_none_beats_in_both(tmp_path):
    results = Results.from_json(make(tmp_path))
    assert "is both better and quicker than: MetaICL &lt;b> " in charts.by_cost(rows(results))
    free = replace(results, cells=tuple(replace(c, seconds=0.0) for c in results.cells))
    assert charts.by_cost(rows(free)) is None


def test_small_multiples_have_a_panel_for_each_task(tmp_path):
    results = Results.from_json(make(tmp_path))
    panels = charts.by_k_and_task(results, rows(results))
    assert len(panels) == 3 and "plain: score at k = 4, 16: MetaICL" in panels[0]
    one = replace(results, cells=tuple(c for c in results.cells if c.k == 16))
    assert charts.by_k_and_task(one, rows(one)) == []


def test_lineage_of_a_comparison_says_what_a_training_learned_from(tmp_path):
    run = tmp_path / "run"
    (run / "best").mkdir(parents=True)
    record = {"suite": "mine", "source": "web", "licence": "MIT", "fingerprint": "f"}
    training = {"run": {"model": "tiny"}, "data": {}, "trained_on": {"one": record, "two": record}}
    (run / "best" / "method.json").write_text(json.dumps({"training": training}))
    finished = {"steps": 2000, "best_step": 1000, "best_value": 0.5, "seconds": 60}
    (run / "run.json").write_text(
        json.dumps({"manifest": {"arguments": ["metaicl", "train", "a b"]}, "finished": finished})
    )
    lines = [{"step": s, "loss": 1.0} for s in range(1, 2001)] + [{"step": 1000, "validation": 0.5}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = training_of(run / "best")
    assert len(made.curve["loss"]) == 400 and made.curve["validation"] == [(1000, 0.5)]

    results = Results.from_json(make(tmp_path))
    write_trainings(tmp_path, {"metaicl": made})
    (found,) = trainings(tmp_path, rows(results))
    assert found.learned == ["2 tasks of mine, from web (MIT)"] and found.names == ["one", "two"]
    assert found.command == "metaicl train 'a b'"
    assert found.ended == "2,000 steps in 1 min 00 s, best weights after 1,000"
    text = Page(write_report(tmp_path).read_text("utf-8")).text
    assert "2 tasks of mine, from web (MIT)" in text and "MetaICL <b>, on tiny" in text


def test_a_training_of_unknown_past_is_said_to_be_one(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "method.json").write_text("{}")
    results = Results.from_json(make(tmp_path))
    write_trainings(tmp_path, {"metaicl": training_of(tmp_path / "best")})
    assert trainings(tmp_path, rows(results))[0].learned == ["Nothing says what it was trained on."]


def test_audit_counts_what_the_compared_tasks_repeat(tmp_path):
    task = toy_task()
    same = replace(task, name="same")
    found = audit_of([task, same])
    assert found.tasks == 2 and found.counts["between tasks of a side"]["exact"] > 0
    results = Results.from_json(make(tmp_path))
    assert audit(tmp_path, results) is None
    (tmp_path / "audit.json").write_text(json.dumps(asdict(found)))
    assert "between tasks" in audit(tmp_path, results).said


def test_a_test_example_that_stands_elsewhere_too_flags_its_task(tmp_path):
    task, results = toy_task("plain"), Results.from_json(make(tmp_path))
    leaky = task.replace(load=lambda part: [*task.examples(part), *task.examples("train")[: 2 * (part == "test")]])
    for given, flag in ((task, None), (leaky, 2)):
        found = audit_of([given])
        assert found.contaminated.get("plain") == flag
        (tmp_path / "audit.json").write_text(json.dumps(asdict(found)))
        assert ("2 of plain" in contamination(tmp_path, results)) == bool(flag)
        remarks = dict(audit(tmp_path, results).remarks)
        assert ("contaminated: 2 test examples" in remarks.get("plain", "")) == bool(flag)


def test_a_comparison_leaves_its_audit_and_takes_away_what_no_longer_holds(tmp_path):
    comparison = Comparison([toy_task()], PROTOCOL, tmp_path)
    contenders = [scripted()]
    run_all(comparison, contenders, False)
    (tmp_path / "trainings.json").write_text("{}")
    write_lineage(tmp_path, contenders, comparison.tasks)
    assert (tmp_path / "audit.json").is_file() and not (tmp_path / "trainings.json").exists()
