"""The data sets that names of MetaICL's tasks stand for."""

from __future__ import annotations

import pytest

from task_suites.metaicl_names import data_set, source_of


def test_the_source_is_read_off_the_name():
    names = {
        "race-high": "race",
        "glue-sst2": "glue-sst2",
        "unifiedqa:drop": "drop",
        "inst:ag_news:recommend": "ag_news",
        "tweet_eval-hate": "tweet_eval-hate",
    }
    assert {name: source_of(name) for name in names} == names


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("unifiedqa:winogrande_xl", "wino_grande"),
        ("wino_grande", "wino_grande"),
        ("superglue-rte", "glue-rte"),
        ("race-high", "race"),
        ("unifiedqa:race_string", "race"),
        ("ethos-race", "ethos"),
        ("unifiedqa:qasc_with_ir", "qasc"),
    ],
)
def test_the_data_set_behind_a_name(name, source):
    assert data_set(name) == source
