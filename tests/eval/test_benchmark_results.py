"""The map that ships with the project, and what is refused of a map's files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from eval.map_results import MapResults
from task_suites.core.errors import UserError

SHIPPED = Path(__file__).parents[2] / "results" / "map"


def test_the_shipped_map_is_read_and_written_as_it_is():
    whole, found = json.loads((SHIPPED / "map.json").read_text("utf-8")), MapResults.load(SHIPPED / "map.json")
    assert found.to_json() == whole and len(found.scored) > 900


def test_a_place_that_the_ledger_lost_is_named(tmp_path):
    shutil.copy(SHIPPED / "map.json", tmp_path)
    lines = (SHIPPED / "map.jsonl").read_text("utf-8").splitlines(keepends=True)
    key = json.loads((SHIPPED / "map.json").read_text("utf-8"))["cells"][0]
    (tmp_path / "map.jsonl").write_text("".join(line for line in lines if key not in line), encoding="utf-8")
    with pytest.raises(UserError, match=rf"1 of the map's places are not in map\.jsonl; found {key}"):
        MapResults.load(tmp_path / "map.json")
