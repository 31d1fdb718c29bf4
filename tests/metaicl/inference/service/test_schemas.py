"""What a request may hold: unknown keys, empty lists and other types are refused before anything runs."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from metaicl.inference.service import schemas
from metaicl.inference.service.schemas import CompletionRequest, Inputs, NewTask, Query, Strict, Trial

DEMO = {"input": "a fig", "output": "fruit"}


def test_every_body_of_a_task_refuses_keys_that_it_does_not_know():
    bodies = [cls for cls in vars(schemas).values() if isinstance(cls, type) and issubclass(cls, Strict)]
    assert {NewTask, Inputs, Query, Trial} <= set(bodies)
    for cls in bodies:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            cls.model_validate({"no_such_key": 1})


@pytest.mark.parametrize(
    ("cls", "body", "where"),
    [
        (NewTask, {"demonstrations": []}, "demonstrations"),
        (NewTask, {"demonstrations": [{"inputs": "a"}]}, "inputs"),
        (NewTask, {"demonstrations": [DEMO], "options": {"a": [1]}}, "options"),
        (NewTask, {"demonstrations": [DEMO], "labels": "ab"}, "labels"),
        (Inputs, {"inputs": []}, "inputs"),
        (Inputs, {"inputs": [3]}, "inputs"),
        (Trial, {"demonstrations": [DEMO]}, "inputs"),
        (CompletionRequest, {"prompt": "a", "n": 2}, "n"),
        (CompletionRequest, {"prompt": "a", "stream": True}, "stream"),
        (CompletionRequest, {"prompt": "a", "max_tokens": 4097}, "max_tokens"),
        (CompletionRequest, {"prompt": "a", "temperature": -0.1}, "temperature"),
    ],
)
def test_what_is_unsound_is_named_by_its_place(cls: type[BaseModel], body, where):
    with pytest.raises(ValidationError) as error:
        cls.model_validate(body)
    assert where in {part for one in error.value.errors() for part in one["loc"]}


def test_a_number_is_not_taken_for_a_text_nor_true_for_a_number():
    with pytest.raises(ValidationError):
        NewTask.model_validate({"demonstrations": [{"input": 3, "output": "a"}]})
    assert NewTask.model_validate({"demonstrations": [DEMO], "options": {"fce": True}}).options == {"fce": True}


def test_a_prompt_is_text_or_tokens_one_or_many_and_keys_of_openai_are_taken_at_what_changes_nothing():
    for prompt in ("a", ["a", "b"], [1, 2], [[1], [2, 3]]):
        assert CompletionRequest.model_validate({"prompt": prompt, "presence_penalty": 0}).prompt == prompt
    with pytest.raises(ValidationError, match=r"presence_penalty is not served. Leave it out"):
        CompletionRequest.model_validate({"prompt": "a", "presence_penalty": 1})
