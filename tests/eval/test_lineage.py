"""What a comparison's folder keeps of its trainings and of an audit of its tasks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from pages import Page, make
from scripted import PROTOCOL, scripted
from toys import toy_task

from eval.evaluate import run_all
from eval.harness import Comparison
from eval.lineage import audit_of, training_of, write_lineage, write_trainings
from eval.report.background import audit, trainings
from eval.report.page import write_report
from eval.report.summary import rows
from eval.results import Results


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


def test_audit_counts_what_the_compared_tasks_repeat(tmp_path):
    task = toy_task()
    same = replace(task, name="same")
    found = audit_of([task, same])
    assert found.tasks == 2 and found.counts["between tasks of a side"]["exact"] > 0
    results = Results.from_json(make(tmp_path))
    assert audit(tmp_path, results) is None
    (tmp_path / "audit.json").write_text(json.dumps(asdict(found)))
    assert "between tasks" in audit(tmp_path, results).said


def test_a_comparison_leaves_its_audit_and_takes_away_what_no_longer_holds(tmp_path):
    comparison = Comparison([toy_task()], PROTOCOL, tmp_path)
    contenders = [scripted()]
    run_all(comparison, contenders, False)
    (tmp_path / "trainings.json").write_text("{}")
    write_lineage(tmp_path, contenders, comparison.tasks)
    assert (tmp_path / "audit.json").is_file() and not (tmp_path / "trainings.json").exists()
