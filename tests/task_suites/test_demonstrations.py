"""Demonstrations that a user names."""

from __future__ import annotations

import pytest
from draws import MAKERS

from task_suites.core.errors import UserError
from task_suites.demonstrations import fixed_support

TASK = MAKERS["options"]()


def test_fixed_demonstrations_are_named_by_position_or_by_content():
    train = TASK.examples("train")
    named = [3, f"  {train[7].input.upper()} ", 0]
    assert fixed_support(TASK, named) == (train[3], train[7], train[0])
    assert fixed_support(TASK, named, 2) == (train[3], train[7]) and fixed_support(TASK, named, 0) == ()


WANTED = "task toy: demonstration"


@pytest.mark.parametrize(
    ("named", "k", "message"),
    [
        ([60], None, f"{WANTED} 60 is not the position of a train example; expected 0 to 59"),
        ([-1], None, f"{WANTED} -1 is not the position of a train example; expected 0 to 59"),
        ([True], None, f"{WANTED} True is not the position of a train example; expected 0 to 59"),
        ([0, 1, 0], None, f"{WANTED} 0 names an example a second time; expected distinct demonstrations"),
        (
            *([1, 2], 3),
            "task toy: k=3 asks for more demonstrations than are fixed; found 2 fixed demonstrations. "
            "Lower k, or name more demonstrations.",
        ),
    ],
)
def test_a_fixed_demonstration_that_is_not_there_is_refused(named, k, message):
    with pytest.raises(UserError) as error:
        fixed_support(TASK, named, k)
    assert str(error.value) == message


def test_a_fixed_demonstration_that_no_input_equals_is_answered_with_the_nearest():
    with pytest.raises(
        UserError, match=rf"^{WANTED} 'train 3: the sew' is not a train example's input\. Did you mean train"
    ):
        fixed_support(TASK, ["train 3: the sew"])


def test_the_last_example_may_be_a_fixed_demonstration_and_as_many_as_are_named():
    train = TASK.examples("train")
    assert fixed_support(TASK, [59, 0], 2) == (train[59], train[0])
