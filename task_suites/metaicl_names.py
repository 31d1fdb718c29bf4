"""Names of tasks in MetaICL's settings, and the data set that each name stands for."""

from __future__ import annotations

COLLECTIONS = ("glue", "superglue", "tweet_eval")  # what follows in a name is a data set of its own

# Data sets of MetaICL's settings that have two names there.
OTHER_NAMES = {
    "superglue-rte": "glue-rte",
    "winogrande_xl": "wino_grande",
    "social_iqa": "social_i_qa",
    "physical_iqa": "piqa",
    "commonsenseqa": "commonsense_qa",
    "squad1_1": "squad",
    "squad2": "squad",
    "race_string": "race",
    "kilt_hotpotqa": "hotpot_qa",
    "openbookqa_with_ir": "openbookqa",
    "qasc_with_ir": "qasc",
}


def source_of(name: str) -> str:
    """Return the data set of a task: race for ``race-high``, drop for ``unifiedqa:drop``, ``glue-sst2`` itself."""
    parts = name.split(":")
    name = parts[1] if len(parts) > 1 and parts[0] in ("inst", "unifiedqa") else name
    collection = name.split("-")[0]
    return name if collection in COLLECTIONS else collection or name


def data_set(name: str) -> str:
    """Return the data set that a task's name in MetaICL's settings stands for, also where it has another name there."""
    name = name.removeprefix("unifiedqa:")
    return OTHER_NAMES.get(name, source_of(OTHER_NAMES.get(source_of(name), name)))
