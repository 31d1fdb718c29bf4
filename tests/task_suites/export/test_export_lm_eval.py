"""What the harness gets of a task, and what is kept for our own reader."""

from __future__ import annotations

import json

import yaml
from jinja2 import Template

from task_suites.example import Example
from task_suites.export.lm_eval import WRITER
from task_suites.task import Task, TaskSuite

YES_NO = ("yes", "no")
INSTRUCTION = "Fill {{ this }} in, {% if %} you can {# not #}."


def written(folder, examples, **fields):
    task = Task("a", fields.pop("type"), lambda split: examples, instruction=INSTRUCTION, **fields)
    assert WRITER.write(TaskSuite("s", {"a": task}, {"meta_test": ("a",)}), folder) == "lm-eval:{}"
    config = yaml.safe_load((folder / "a" / "a.yaml").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (folder / "a" / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    return config, rows


def test_an_instruction_with_braces_is_no_template_for_the_harness(tmp_path):
    config, _ = written(tmp_path, [Example("q", "a")], type="generation")
    assert Template(config["description"], keep_trailing_newline=True).render() == INSTRUCTION + "\n\n"


def test_shared_options_are_a_list_and_own_options_a_field(tmp_path):
    config, rows = written(tmp_path / "x", [Example("q", "no", YES_NO)], type="classification", labels=YES_NO)
    assert config["doc_to_choice"] == ["yes", "no"] and rows[0]["label"] == 1
    assert config["tag"] == ["s_meta_test"] and config["metadata"]["metaicl"]["labels"] == ["yes", "no"]
    config, rows = written(tmp_path / "y", [Example("q", "no", YES_NO)], type="multiple_choice")
    assert config["doc_to_choice"] == "options" and rows[0]["options"] == ["yes", "no"]


def test_tags_are_answered_as_text_and_kept_beside_it(tmp_path):
    example = Example(tokens=("Ann", "Lee", "left"), tags=("B-WHO", "I-WHO", "O"))
    config, rows = written(tmp_path, [example], type="tagging", labels=("WHO",), metric="span_f1")
    assert rows == [
        {"input": "Ann Lee left", "output": "Ann Lee = WHO", "tokens": list(example.tokens), "tags": list(example.tags)}
    ]
    assert config["output_type"] == "generate_until" and config["metadata"]["metaicl"]["tags"] == ["tokens", "tags"]
    assert config["metric_list"][0]["ignore_punctuation"] is False
