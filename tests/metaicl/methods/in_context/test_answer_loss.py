"""The loss of one answer by each objective, from log-probabilities that are known."""

from __future__ import annotations

import pytest
import torch

from metaicl.methods.in_context.answer_loss import AnswerLoss
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

QUERY = Example("a saw", "tool", ("fruit", "tool"))
FRUIT, TOOL = torch.tensor([-3.0]), torch.tensor([-1.0, -2.0])


@pytest.mark.parametrize(
    ("objective", "scored", "loss", "weight"),
    [
        ("tokens", [TOOL], 3.0, 2),
        ("answer_mean", [TOOL], 1.5, 1),
        ("options", [FRUIT, TOOL], torch.tensor([-3.0, -1.5]).logsumexp(0) + 1.5, 1),
        ("both", [FRUIT, TOOL], torch.tensor([-3.0, -1.5]).logsumexp(0) + 1.5 + 1.5, 1),
        ("options", [TOOL], 1.5, 1),
    ],
)
def test_each_objective_has_its_loss_and_weight(objective, scored, loss, weight):
    found, counted = AnswerLoss(objective, "token_mean").of_query(scored, QUERY)
    assert float(found) == pytest.approx(float(loss)) and counted == weight


def test_an_option_is_scored_by_its_sum_where_the_length_says_so():
    found, _ = AnswerLoss("options", "sum").of_query([FRUIT, TOOL], QUERY)
    assert float(found) == pytest.approx(float(torch.tensor([-3.0, -3.0]).logsumexp(0) + 3.0))


def test_a_loss_among_options_needs_a_branch_for_each_and_another_one_for_the_right_answer():
    form = PromptFormat()
    text = Example("say it", "it")
    for objective, count in (("tokens", 1), ("answer_mean", 1), ("options", 2), ("both", 2)):
        options, alone = AnswerLoss(objective, "sum").branches(form, [QUERY, text])
        assert (len(options), len(alone)) == (count, 1)
