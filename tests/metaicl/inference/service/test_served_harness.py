"""lm-evaluation-harness against `/v1/completions` (`local-completions`) scores as it does on the model itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
from services import opened_in_float32, served_on_loopback

from metaicl.lm import tiny
from task_suites.example import Example
from task_suites.export.lm_eval import WRITER
from task_suites.task import Task, TaskSuite

WORDS = ("fig", "saw", "pear", "axe", "plum", "drill", "lime", "clamp", "kiwi", "file")


def suite() -> TaskSuite:
    """Classification, choice among options of an item's own, and free text."""
    kinds = [Example(f"a {w}", ("fruit", "tool")[i % 2], ("fruit", "tool")) for i, w in enumerate(WORDS)]
    choices = [Example(f"{a} and {b}?", (a, b)[i % 2], (a, b, "neither")) for i, (a, b) in enumerate(pairwise(WORDS))]
    spelled = [Example(f"Spell {w}.", " ".join(w)) for w in WORDS[:4]]
    tasks = {
        "kinds": Task("kinds", "classification", lambda split: kinds, labels=("fruit", "tool")),
        "choices": Task("choices", "multiple_choice", lambda split: choices),
        "spelled": Task("spelled", "generation", lambda split: spelled, metric="exact_match"),
    }
    return TaskSuite("few", tasks, {"meta_test": tuple(tasks)})


def results(model, folder) -> tuple[dict, dict]:
    """Return (metrics by task, the model's answers by task and item)."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = simple_evaluate(
        model, tasks=["kinds", "choices", "spelled"], task_manager=manager, num_fewshot=2, bootstrap_iters=0,
        gen_kwargs={"max_gen_toks": 8},
    )  # fmt: skip
    metrics = {
        task: {name: value for name, value in one.items() if isinstance(value, float)}
        for task, one in found["results"].items()
    }
    answers = {(task, one["doc_id"]): one["resps"] for task, many in found["samples"].items() for one in many}
    return metrics, answers


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"tokenized_requests": True}, {"tokenized_requests": False, "num_concurrent": 3}])
def test_the_harness_finds_the_same_accuracies_as_on_the_model_itself(tmp_path, monkeypatch, options):
    pytest.importorskip("tenacity", reason="pip install 'lm_eval[api]'")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    api = pytest.importorskip("lm_eval.models.openai_completions")
    (folder := tmp_path / "suite").mkdir()
    WRITER.write(suite(), folder)
    tiny.tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    monkeypatch.chdir(folder)
    own = huggingface.HFLM(pretrained=tiny.tiny_model(), tokenizer=tiny.tiny_tokenizer(), device="cpu", batch_size=1)
    metrics, answers = results(own, folder)
    with opened_in_float32(), served_on_loopback(tmp_path) as address:
        served = api.LocalCompletionsAPI(
            base_url=f"{address}/v1/completions", model="tiny-random", tokenizer=str(tmp_path / "tokenizer"),
            tokenizer_backend="huggingface", max_length=own.max_length, batch_size=4, **options,
        )  # fmt: skip
        found, given = results(served, folder)
    assert found == metrics and set(metrics) == {"kinds", "choices", "spelled"}
    assert given.keys() == answers.keys() and len(answers) == 10 + 9 + 4
    for item, wanted in answers.items():
        for one, other in zip(given[item], wanted, strict=True):
            if item[0] == "spelled":
                assert one == other
            else:
                assert one[0][0] == pytest.approx(other[0][0], abs=1e-3) and one[0][1] == other[0][1]
