"""YAML is read without running anything, and aliases only as far as they stay small."""

from __future__ import annotations

import pytest

from task_suites.core.errors import UserError
from task_suites.core.yaml_files import compose, read_yaml


def test_aliases_are_taken_as_far_as_they_stay_small(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a [1, 2]\nb: [*a, *a]\n")
    assert read_yaml(path) == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    lines = ["a0: &a0 [1]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 8)]
    path.write_text("\n".join(lines))
    for read in (read_yaml, compose):
        with pytest.raises(UserError, match="the aliases make the file too large"):
            read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "too large"),
        ("a: !!python/object/apply:os.getcwd []", ":1: not readable as YAML"),
        ("a: 1\n---\nb: 2\n", ":2: not readable as YAML"),
        ("x:\n  a: 1\n  b: 2\n  a: 3\n", ":4: not readable as YAML: key 'a' occurs twice in one mapping"),
        ("a: [1\n", "not readable as YAML"),
    ],
)
def test_what_is_not_one_plain_document_is_refused_with_its_line(tmp_path, text, said):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.yaml") as error:
        read_yaml(path)
    assert said in str(error.value)


def test_an_empty_file_is_none(tmp_path):
    (tmp_path / "x.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "x.yaml") is None and compose(tmp_path / "x.yaml") is None
