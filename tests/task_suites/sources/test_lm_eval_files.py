"""The YAML files of a folder of lm-evaluation-harness: what includes and groups come to."""

from __future__ import annotations

import pytest

from task_suites.core.errors import UserError
from task_suites.sources.lm_eval_files import YamlFiles


def files(folder, **texts):
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return YamlFiles(folder)


def test_a_file_overrides_what_it_includes_and_later_includes_override_earlier_ones(tmp_path):
    found = files(
        tmp_path,
        base="a: 1\nb: 1\nc: 1\n",
        more="b: 2\nc: 2\n",
        sub__task="include: [../base.yaml, ../more.yaml]\nc: 3\ntask: t\n",
    )
    merged = found.merged(tmp_path / "sub" / "task.yaml")
    assert {key: merged[key] for key in "abc"} == {"a": 1, "b": 2, "c": 3} and "include" not in merged


def test_a_group_gives_its_members_by_name_with_their_changes(tmp_path):
    found = files(
        tmp_path,
        one="task: one\nk: 1\n",
        two="task: two\nk: 2\n",
        group="group: g\ntask: [one, {task: two, k: 5}, {group: h, task: [one]}]\n",
    )
    members = list(found.members(found.merged(tmp_path / "group.yaml")))
    assert [(member["task"], member["k"]) for member in members] == [("one", 1), ("two", 5), ("one", 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: x.yaml\n", "the includes form a circle"),
        ("include: ../../etc.yaml\n", "not a name within the folder"),
        ("include: /etc/passwd\n", "not a name within the folder"),
        ("include: 3\n", "include has a wrong type"),
        ("- a\n", "not a mapping; found list"),
        ("a: !function utils.f\n", ":1: !function names Python code, which is not run"),
    ],
)
def test_a_file_that_cannot_be_merged_is_refused(tmp_path, text, said):
    with pytest.raises(UserError, match="yaml") as error:
        files(tmp_path, x=text).merged(tmp_path / "x.yaml")
    assert said in str(error.value)


def test_groups_in_a_circle_and_unknown_members_are_refused(tmp_path):
    found = files(tmp_path, g="group: g\ntask: [h]\n", h="group: h\ntask: [g]\n", i="group: i\ntask: [gg]\n")
    with pytest.raises(UserError, match="the groups form a circle"):
        list(found.members(found.merged(tmp_path / "g.yaml")))
    with pytest.raises(UserError, match="no task 'gg' beside this file"):
        list(found.members(found.merged(tmp_path / "i.yaml")))
