"""The prompts of mistakes: those that the method answered, demonstration by demonstration."""

from __future__ import annotations

import json

import pytest
from scripted import PROTOCOL, scripted
from toys import toy_task

from eval.config import Protocol
from eval.contenders import Backbones, contender
from eval.evaluate import finish, run_all
from eval.harness import Comparison
from metaicl.lm.config import BackboneConfig
from task_suites.formats.prompt_format import PromptFormat


def text_of(segments):
    return "".join(segment["text"] for segment in segments)


def prompts(folder, contenders, protocol=PROTOCOL, **header):
    """Evaluate on one task, and return (the comparison, mistakes.json)."""
    comparison = Comparison([toy_task()], protocol, folder)
    run_all(comparison, contenders, progress=False)
    finish(comparison, contenders, PromptFormat(), **header)
    path = folder / "mistakes.json"
    return comparison, json.loads(path.read_text()) if path.is_file() else None


def test_each_mistake_of_the_page_has_its_demonstrations_and_its_query(tmp_path):
    comparison, kept = prompts(tmp_path, [scripted(False)])
    assert (kept["method"], kept["k"]) == ("wrong", 4) and kept["prompts"]
    for one in kept["prompts"]:
        (episode,) = comparison.episodes(comparison.tasks[0], one["seed"], 4)
        query = episode.queries[one["index"]]
        shown = "".join(f"{e.text}\nAnswer: {e.output}\n\n" for e in episode.support)
        assert text_of(one["segments"]).startswith(f"{shown}{query.text}\nAnswer: ")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<summary>the prompt</summary>") == len(kept["prompts"])


def test_a_method_without_mistakes_has_no_prompts(tmp_path):
    assert prompts(tmp_path, [scripted()])[1] is None


@pytest.mark.parametrize(("options", "shown"), [({"shown": 1}, 1), ({"demonstrations": False}, 0)])
def test_an_in_context_method_shows_the_demonstrations_that_it_reads(tmp_path, options, shown):
    config = BackboneConfig("tiny-random", dtype="float32", device="cpu")
    one = contender("icl", config, PromptFormat(), Backbones(), options)
    _, kept = prompts(tmp_path, [one], Protocol([3], 1, 8))
    assert {text_of(p["segments"]).count("\nAnswer:") for p in kept["prompts"]} == {shown + 1}


def test_retrieved_demonstrations_are_those_of_the_query(tmp_path):
    comparison, kept = prompts(tmp_path, [scripted(False)], Protocol([2], 1, 4, retrieval="bm25"))
    for one in kept["prompts"]:
        episode = comparison.episodes(comparison.tasks[0], 0, 2)[one["index"]]
        assert all(e.text in text_of(one["segments"]) for e in (*episode.support, *episode.queries))
