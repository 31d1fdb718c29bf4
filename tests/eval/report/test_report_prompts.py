"""The prompts of a report: what is written is read back, and what is wrong in a file is named."""

from __future__ import annotations

import json

import pytest

from eval.report.prompts import (
    EXAMPLE,
    MISTAKES,
    ExamplePrompt,
    MistakePrompt,
    MistakePrompts,
    ShownSegment,
    read_example,
    read_mistakes,
    write_prompt,
)
from task_suites.core.errors import UserError

SEGMENTS = [ShownSegment("query", "È vero?"), ShownSegment("option", " no", True)]
PROMPT = {"task": "plain", "seed": 0, "index": 2, "segments": [{"role": "query", "text": "Is it?"}]}


def test_prompts_come_back_as_they_were_and_may_be_absent(tmp_path):
    assert read_example(tmp_path) is None and read_mistakes(tmp_path) is None
    example = ExamplePrompt("plain", 4, SEGMENTS)
    shown = MistakePrompts("icl", 4, [MistakePrompt("plain", 0, 2, SEGMENTS)])
    write_prompt(tmp_path / EXAMPLE, example)
    write_prompt(tmp_path / MISTAKES, shown)
    assert read_example(tmp_path) == example and read_mistakes(tmp_path) == shown


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("no", "prompts in the top level has a wrong type"),
        ([3], r"prompts\[0\] is not an object"),
        ([{**PROMPT, "segments": "no"}], r"segments in prompts\[0\] has a wrong type"),
        ([PROMPT, {**PROMPT, "segments": []}], r"prompts\[1\] has no segments. Delete the file, or evaluate again"),
        ([{**PROMPT, "segments": [{"role": "query"}]}], r"segments\[0\] of prompts\[0\] lacks text"),
        ([{**PROMPT, "index": "2"}], r"index in prompts\[0\] has a wrong type"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, prompts, message):
    (tmp_path / MISTAKES).write_text(json.dumps({"method": "icl", "k": 4, "prompts": prompts}))
    with pytest.raises(UserError, match=rf"mistakes\.json: {message}"):
        read_mistakes(tmp_path)
