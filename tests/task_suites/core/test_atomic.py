"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.atomic import check_free, new_folder, occupied, write_lines, write_text, write_yaml
from task_suites.core.errors import UserError
from task_suites.core.yaml_files import read_yaml


def test_a_folder_whose_making_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="halfway"), new_folder(tmp_path / "made") as scratch:
        (scratch / "first").write_text("written")
        raise RuntimeError("halfway")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_when_it_is_whole_and_others_may_read_it(tmp_path):
    target = tmp_path / "above" / "made"
    with new_folder(target) as scratch:
        (scratch / "file").write_text("x")
        (scratch / "file").chmod(0o600)  # as safetensors leaves its files
        assert not target.exists()
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "file").write_text("x")
    assert [path.name for path in target.iterdir()] == ["file"]
    assert target.stat().st_mode == plain.stat().st_mode
    assert (target / "file").stat().st_mode == (plain / "file").stat().st_mode


def test_a_full_folder_is_not_replaced(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("kept")
    (tmp_path / "empty").mkdir()
    assert occupied(tmp_path / "full") and not occupied(tmp_path / "empty") and not occupied(tmp_path / "none")
    with pytest.raises(UserError, match="exists already"):
        check_free(tmp_path / "full")
    with pytest.raises(UserError, match="cannot be written"), new_folder(tmp_path / "full"):
        pass
    assert (tmp_path / "full" / "kept").read_text() == "kept"


def test_a_text_replaces_a_file_through_a_link_and_leaves_no_scratch_file(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "real").read_text() == "new" and (tmp_path / "link").is_symlink()
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "real" / "below a file", "x")
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_lines_end_with_a_line_feed_and_are_not_escaped(tmp_path):
    write_lines(tmp_path / "new" / "rows.jsonl", [{"a": "é\u2028"}, {"a": None}])
    assert (tmp_path / "new" / "rows.jsonl").read_bytes() == '{"a": "é\u2028"}\n{"a": null}\n'.encode()


@given(
    st.dictionaries(st.text(max_size=4), st.text(max_size=8) | st.lists(st.text(max_size=4), max_size=2), max_size=3)
)
def test_yaml_that_is_written_reads_back_as_the_value_or_is_refused(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("yaml") / "value.yaml"
    try:
        write_yaml(path, value)
    except UserError as error:
        assert "NUL" in str(error) or "YAML cannot hold" in str(error)
    else:
        assert read_yaml(path) == value
