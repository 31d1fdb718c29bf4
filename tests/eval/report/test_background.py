"""What the report says of what lies before a comparison."""

from __future__ import annotations

import json
from dataclasses import asdict

from pages import make
from toys import toy_task

from eval.lineage import audit_of, training_of, write_trainings
from eval.report.background import audit, contamination, trainings
from eval.report.summary import rows
from eval.results import Results


def test_a_training_of_unknown_past_is_said_to_be_one(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "method.json").write_text("{}")
    results = Results.from_json(make(tmp_path))
    write_trainings(tmp_path, {"metaicl": training_of(tmp_path / "best")})
    assert trainings(tmp_path, rows(results))[0].learned == ["Nothing says what it was trained on."]


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
