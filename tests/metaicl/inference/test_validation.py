"""Labels and texts of unusual types keep their value, or are refused; none becomes another in silence."""

from __future__ import annotations

import enum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaicl.inference.validation import as_labels, as_one_text, as_texts
from task_suites.core.errors import UserTypeError


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_labels_of_a_string_enumeration_are_its_values(values):
    kind = enum.Enum("kind", {f"member{i}": value for i, value in enumerate(dict.fromkeys(values))}, type=str)
    members = [kind(value) for value in values]
    for labels in (members, np.array(members, dtype=object)):
        found = as_labels(labels).tolist()
        assert found == values and {type(label) for label in found} == {str}


def test_a_list_is_not_one_text():
    assert as_one_text("a text") == "a text"
    with pytest.raises(UserTypeError, match=r"^x is not a text; found \['a text'\] \(list\)"):
        as_one_text(["a text"])


@pytest.mark.parametrize("unit", ["D", "s"])
def test_points_and_spans_of_time_are_not_labels(unit):
    for kind in ("datetime64", "timedelta64"):
        for labels in (np.array([1, 0]).astype(f"{kind}[{unit}]"), list(np.array([1, 0]).astype(f"{kind}[{unit}]"))):
            with pytest.raises(UserTypeError, match=r"y\[0\] is not a label"):
                as_labels(labels)


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_a_masked_element_is_refused_by_position_and_a_mask_of_nothing_is_none(mask):
    texts = np.ma.array([f"text {i}" for i in range(len(mask))], mask=mask)
    labels = np.ma.array(range(len(mask)), mask=mask)
    if any(mask):
        first = mask.index(True)
        for read, values, name in ((as_texts, texts, "X"), (as_labels, labels, "y")):
            with pytest.raises(UserTypeError, match=rf"{name}\[{first}\] is masked.*Leave masked rows out of X and y"):
                read(values)
    else:
        assert as_texts(texts) == texts.data.tolist() and as_labels(labels).tolist() == labels.data.tolist()
