"""`/v1/completions` gives the model's own log-probabilities, and what lm-evaluation-harness reads off them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from services import client

from metaicl.inference.opening import open_method
from metaicl.inference.service import completions
from metaicl.inference.service.schemas import NEUTRAL, CompletionRequest


def complete(*given):
    """The answer that the steps end with."""
    steps = completions.complete(*given)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client(tmp_path_factory.mktemp("served")) as opened:
        yield opened


def plain(backbone, ids) -> torch.Tensor:
    with torch.no_grad():
        return backbone.plain_logits(ids).log_softmax(-1)


@pytest.mark.parametrize("part", [3, 256])
def test_echoed_log_probabilities_are_those_of_the_plain_forward(frozen, monkeypatch, part):
    monkeypatch.setattr(completions, "PART", part)
    ids = list(frozen.encode("The soup was cold."))
    request = CompletionRequest(prompt=ids, max_tokens=1, logprobs=2, echo=True)
    (choice,) = complete(frozen, request, "tiny").choices
    shares, logged = plain(frozen, ids), choice.logprobs
    found = logged.token_logprobs
    assert found[0] is None and len(found) == len(ids) + 1
    assert found[1:-1] == pytest.approx([float(shares[i, t]) for i, t in enumerate(ids[1:])], abs=1e-4)
    assert max(logged.top_logprobs[3].values()) == pytest.approx(float(shares[2].max()), abs=1e-4)
    assert choice.text.startswith("The soup was cold.") and choice.finish_reason == "length"


def test_greedy_continuations_are_those_of_the_plain_model_and_end_at_a_stop(frozen):
    ids = list(frozen.encode("hello"))
    wanted = list(ids)
    for _ in range(5):
        wanted.append(int(plain(frozen, wanted)[-1].argmax()))
    text = frozen.tokenizer.decode(wanted[len(ids) :])
    (choice,) = complete(frozen, CompletionRequest(prompt="hello", max_tokens=5), "tiny").choices
    assert choice.text == text and choice.logprobs is None
    (choice,) = complete(frozen, CompletionRequest(prompt="hello", max_tokens=5, stop=[text[1]]), "tiny").choices
    assert choice.text == text[: text.index(text[1])] and choice.finish_reason == "stop"


@given(st.text("aé漢😀 \n", min_size=1, max_size=8))
def test_each_token_begins_in_the_text_where_its_offset_says(frozen, text):
    (choice,) = complete(frozen, CompletionRequest(prompt=text, max_tokens=0, logprobs=0, echo=True), "tiny").choices
    logged = choice.logprobs
    assert choice.text == text and logged.text_offset[0] == 0 and sorted(logged.text_offset) == logged.text_offset
    starts = [at for i, char in enumerate(text) for at in [i] * len(char.encode())]  # one token a byte
    assert logged.text_offset == starts
    for token, at in zip(logged.tokens, logged.text_offset, strict=True):
        assert "\ufffd" in token or text[at:].startswith(token)


@pytest.mark.parametrize("stop", ["", [""], ["", "never"], None])
def test_an_empty_stop_stops_nothing(frozen, stop):
    (choice,) = complete(frozen, CompletionRequest(prompt="hello", max_tokens=5, stop=stop), "tiny").choices
    assert choice.finish_reason == "length" and len(choice.text) == 5


@given(st.sampled_from(list(NEUTRAL)), st.sampled_from([0.3, 5, "x", {"5": 100}]))
def test_a_key_that_would_change_the_answer_is_refused_and_its_neutral_value_is_not(name, value):
    for neutral in NEUTRAL[name]:
        assert CompletionRequest(prompt="a", **{name: neutral}) == CompletionRequest(prompt="a")
    with pytest.raises(ValidationError, match=f"{name} is not served. Leave it out"):
        CompletionRequest(prompt="a", **{name: value})


def test_a_model_without_shared_prefixes_gives_the_same(frozen, monkeypatch):
    request = CompletionRequest(prompt=["hello", "good day"], max_tokens=3, logprobs=1, echo=True)
    before = complete(frozen, request, "tiny").choices
    monkeypatch.setattr(frozen, "attention", "plain")
    for one, other in zip(before, complete(frozen, request, "tiny").choices, strict=True):
        assert one.text == other.text
        pairs = zip(one.logprobs.token_logprobs[1:], other.logprobs.token_logprobs[1:], strict=True)
        assert all(math.isclose(a, b, abs_tol=1e-4) for a, b in pairs)


def test_samples_are_a_function_of_the_seed(frozen):
    def text(seed: int) -> str:
        request = CompletionRequest(prompt="hello", max_tokens=12, temperature=1.0, seed=seed)
        return complete(frozen, request, "tiny").choices[0].text

    assert text(1) == text(1) and len({text(seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("prompt", ["", [], [[]], [999], [-1], "x" * 40000, ["a", ""]])
def test_a_prompt_that_cannot_be_continued_is_refused(served, prompt):
    answer = served.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1})
    assert answer.status_code in (400, 422), answer.text


def test_the_harness_reads_the_log_probabilities_of_continuations(served):
    api = pytest.importorskip("lm_eval.models.openai_completions")
    backbone = open_method("tiny-random").backbone
    context, rest = list(backbone.encode("Question: 1 + 1?\nAnswer:")), list(backbone.encode(" 2"))
    shares = plain(backbone, [*context, *rest])
    wanted = sum(float(shares[len(context) - 1 + i, t]) for i, t in enumerate(rest))
    payload = api.LocalCompletionsAPI._create_payload(
        type("Harness", (), {"model": "tiny-random"})(), [[*context, *rest]], generate=False
    )
    answer = served.post("/v1/completions", json=payload).json()
    ((found, greedy),) = api.LocalCompletionsAPI.parse_logprobs(answer, ctxlens=[len(context)])
    assert found == pytest.approx(wanted, abs=0.02)  # in bfloat16 where the machine has it
    assert greedy == all(int(shares[len(context) - 1 + i].argmax()) == t for i, t in enumerate(rest))
