"""Requests to a server of completions: their order, what is sent again, and the errors."""

from __future__ import annotations

import json
import socket
import time

import pytest
import torch
from completion_stand_in import standing_in
from transformers import AutoModelForCausalLM

from metaicl.lm import completion_server
from metaicl.lm.completion_server import CompletionServer
from task_suites.core.errors import UserError

PROMPTS = [[1 + i, 7, 30, 4 + i] for i in range(9)]


@pytest.fixture(scope="module")
def shares(sharp_folder):
    """The log-probabilities after each token of each prompt, by plain transformers."""
    model = AutoModelForCausalLM.from_pretrained(sharp_folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.tensor(PROMPTS)).logits.log_softmax(-1)


def test_the_log_probabilities_of_a_prompts_tokens_are_the_models(server, shares):
    found = CompletionServer(server.address).prompt_logprobs(PROMPTS)
    for prompt, values, own in zip(PROMPTS, found, shares, strict=True):
        assert values == pytest.approx([float(own[i, token]) for i, token in enumerate(prompt[1:])], abs=1e-5)


def test_the_log_probabilities_of_named_next_tokens_are_the_models(server, shares, monkeypatch):
    monkeypatch.setattr(completion_server, "MOST_NAMED", 2)
    named = [[3, 9, 200, 41, 5] if i % 2 else [8] for i in range(len(PROMPTS))]
    opened = CompletionServer(server.address)
    assert opened.names_tokens
    for own, values, tokens in zip(shares, opened.next_logprobs(PROMPTS, named), named, strict=True):
        assert list(values) == tokens
        assert list(values.values()) == pytest.approx([float(own[-1, token]) for token in tokens], abs=1e-5)


def test_answers_come_in_the_order_of_the_prompts_whichever_request_ends_first(sharp_folder, monkeypatch, shares):
    monkeypatch.setattr(completion_server, "BATCH", 1)
    with standing_in(sharp_folder, slow={0: 0.3, 1: 0.2, 2: 0.1}) as slow:
        found = CompletionServer(slow.address).prompt_logprobs(PROMPTS)
        assert len(slow.bodies) == len(PROMPTS)
    firsts = [values[0] for values in found]
    assert firsts == pytest.approx([float(own[0, 7]) for own in shares], abs=1e-5)


def test_choices_are_put_in_the_order_of_their_indices(server, monkeypatch):
    opened = CompletionServer(server.address)
    before = opened.prompt_logprobs(PROMPTS)
    plain = opened._completed
    monkeypatch.setattr(opened, "_completed", lambda body: {"choices": plain(body)["choices"][::-1]})
    assert opened.prompt_logprobs(PROMPTS) == before


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made, without their time."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: made.append(seconds) if seconds else None)
    return made


def test_a_busy_server_is_asked_again_after_the_seconds_that_it_names(sharp_folder, pauses):
    with standing_in(sharp_folder, busy=3) as busy:
        assert len(CompletionServer(busy.address).prompt_logprobs(PROMPTS[:1])) == 1
        assert len(busy.bodies) == 4 and pauses == [7, 7, 7]


def test_a_server_that_stays_busy_is_given_up_with_its_message(sharp_folder, monkeypatch, pauses):
    monkeypatch.setattr(completion_server, "RETRIES", completion_server.RETRIES.new(status=2))
    with (
        standing_in(sharp_folder, busy=99) as busy,
        pytest.raises(UserError, match=r"refused a request \(429\).*too many"),
    ):
        CompletionServer(busy.address).prompt_logprobs(PROMPTS[:1])


def test_a_refusal_names_the_servers_message(server, sharp_folder):
    opened = CompletionServer(server.address)
    with pytest.raises(UserError, match=r"refused a request \(400\); found a token id is out of vocabulary"):
        opened.prompt_logprobs([[100_000]])
    with pytest.raises(UserError, match=r"refused a request \(404\); found Not Found"):
        CompletionServer(f"{server.address}/nowhere")
    refused = pytest.raises(UserError, match=r"\(401\); found Unauthorized Set OPENAI_API_KEY")
    with standing_in(sharp_folder, key="secret") as locked, refused:
        CompletionServer(locked.address)


def test_the_key_in_the_environment_goes_with_each_request(sharp_folder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with standing_in(sharp_folder, key="secret") as locked:
        assert CompletionServer(locked.address).texts(PROMPTS[:2], 3, 0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no room", "code": 400}}', "no room"),
        (b'{"object": "error", "message": "no room"}', "no room"),
        (b'{"detail": "no room"}', "no room"),
        (b'{"detail": [{"loc": "prompt"}]}', "[{'loc': 'prompt'}]"),
        (b"{}", "{}"),
        (b"<html>busy</html>", "<html>busy</html>"),
        (b"", "no message"),
    ],
)
def test_the_message_of_a_refusal_is_found_in_each_form(body, message):
    assert completion_server._message(body) == message


def test_a_server_that_is_not_there_says_how_to_start_one(monkeypatch):
    monkeypatch.setattr(completion_server, "RETRIES", completion_server.RETRIES.new(connect=0))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for address in (f"http://127.0.0.1:{port}/v1", "no address"):
        with pytest.raises(UserError, match=r"the server cannot be used: .*vllm serve FOLDER"):
            CompletionServer(address)


def test_a_silent_server_is_given_up(monkeypatch):
    monkeypatch.setattr(completion_server, "RETRIES", completion_server.RETRIES.new(read=0))
    monkeypatch.setattr(completion_server, "SECONDS", 0.1)
    given_up = pytest.raises(UserError, match=r"cannot be used: .*timed out")
    with socket.create_server(("127.0.0.1", 0)) as silent, given_up:
        CompletionServer(f"http://127.0.0.1:{silent.getsockname()[1]}/v1")


def test_a_model_is_taken_by_its_name_where_several_are_served(sharp_folder):
    with standing_in(sharp_folder, names=("base", "adapted")) as two:
        with pytest.raises(
            UserError, match=r"serves 2 models; found base, adapted; expected one. Name one with --server"
        ):
            CompletionServer(two.address)
        with pytest.raises(UserError, match=r"serves no model adaptd\. Did you mean adapted\?"):
            CompletionServer(two.address, "adaptd")
        CompletionServer(two.address, "adapted").texts(PROMPTS[:1], 1, None)
        assert [body["model"] for body in two.bodies] == ["adapted"]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([], "left prompts without an answer; found 0 of 1"),
        ([{"index": 0, "text": ""}], "does not return the log-probabilities"),
        ([{"index": 0, "logprobs": {"token_logprobs": [-1.0, -2.0, -3.0], "tokens": []}}], "found 3 for 4 tokens"),
        ([{"index": 0, "logprobs": {"token_logprobs": [None, None, -1.0, -2.0]}}], "found 2 for 4 tokens"),
        (
            [{"index": 0, "logprobs": {"token_logprobs": [None, -1.0, -2.0, -3.0], "tokens": ["token_id:5"] * 4}}],
            "changed the tokens of a prompt",
        ),
    ],
)
def test_an_answer_that_lacks_what_was_asked_for_is_refused(server, monkeypatch, choices, message):
    opened = CompletionServer(server.address)
    monkeypatch.setattr(opened, "_completed", lambda body: {"choices": choices})
    with pytest.raises(UserError, match=message):
        opened.prompt_logprobs(PROMPTS[:1])


def test_named_tokens_that_are_left_out_are_refused(server, sharp_folder):
    with standing_in(sharp_folder, old=True) as old:
        opened = CompletionServer(old.address)
        assert not opened.names_tokens
        with pytest.raises(UserError, match="left out a log-probability; found token"):
            opened.next_logprobs(PROMPTS[:1], [[3, 4]])


def test_texts_end_at_a_line_break_the_end_token_or_the_limit(server):
    opened, body = CompletionServer(server.address), {}
    plain = opened._sent

    def kept(path, given):
        body.update(given)
        return plain(path, given)

    opened._sent = kept
    text, *_ = opened.texts([[10, 20, 30]], 12, None)
    assert body["stop"] == ["\n"] and body["repetition_penalty"] == 1.0 and body["stop_token_ids"] == []
    assert len(opened.texts([[10, 20, 30]], 2, None)[0]) <= 2 < len(text)
    assert json.loads(json.dumps(body)) == body
