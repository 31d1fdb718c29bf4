"""The catalogue of tasksource: kinds, languages, licences, families and benchmarks, without a data set."""

from __future__ import annotations

import sys

import pytest

from task_suites import UserError
from task_suites.sources.tasksource_catalogue import SEVERAL, USES, catalogue, matching

NO_FILTER = {"names": "", "kind": "", "language": "", "licence": ""}


def chosen(**filters: str) -> set[str]:
    return {entry.name for entry in matching(catalogue(), NO_FILTER | filters)}


def test_the_catalogue_has_over_a_thousand_tasks_each_with_a_name_of_its_own():
    entries = catalogue()
    assert len(entries) > 1000 and len({entry.name for entry in entries}) == len(entries)
    assert {entry.type for entry in entries} == {"classification", "multiple_choice", "tagging"}
    assert all(entry.use in USES and entry.family and entry.licence for entry in entries)
    assert all("/" not in entry.name and entry.name.split() == [entry.name] for entry in entries)


def test_regression_targets_are_left_out():
    assert not {"glue:stsb", "sick:relatedness"} & {entry.name for entry in catalogue()}


def test_languages_are_codes():
    language = {entry.name: entry.language for entry in catalogue()}
    expected = {
        "glue:mnli": "en",
        "xcopa:translation-it": "it",
        "xcsr:X-CSQA-jap": "ja",
        "multiconer_v2:Hindi_HI": "hi",
        "masakhanews:swa": "sw",
        "klue:nli": "ko",
        "offenseval_2020:gr": "el",
        "offenseval_dravidian:tamil": "ta",
        "universal_dependencies:pl_pdb:pos": "pl",
        "disrpt:deu.rst.pcc.rels": "de",
        "xlwic:xlwic_en_ko": "ko",
        "wili_2018": SEVERAL,
        "exams:multilingual": SEVERAL,
    }
    assert {name: language[name] for name in expected} == expected
    assert all(code.isascii() and 2 <= len(code) <= 3 for code in language.values())


def test_tasks_of_one_data_set_are_one_family_also_through_copies():
    family = {entry.name: entry.family for entry in catalogue()}
    assert family["glue:mnli"] == family["glue:qnli"] == family["glue:ax"] == "nyu-mll/glue"
    assert family["super_glue:boolq"] == family["record:candidate"]  # one data set under two names of tasks
    assert family["xglue:nc"] == family["xglue:qam"]  # two data sets of one benchmark
    assert family["sciq"] != family["snli"]
    assert max(map(list(family.values()).count, set(family.values()))) < 400


def test_filters_choose_and_join():
    assert chosen(kind="tagging", language="pl") < chosen(language="pl") < chosen()
    assert chosen(kind="tagging,classification") == chosen(kind="tagging") | chosen(kind="classification")
    assert chosen(names="glue/*") == chosen(names="glue:*") >= {"glue:mnli", "glue:rte"}
    assert "glue:mnli" not in chosen(names="super_glue:*")
    mit = chosen(licence="mit")
    assert mit and mit <= {entry.name for entry in catalogue() if "mit" in entry.licence}
    assert chosen(licence="commercial").isdisjoint(chosen(licence="non-commercial"))


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tasksource", None)
    with pytest.raises(UserError, match=r"tasksource is not installed\. Run: pip install 'metaicl\[tasksource\]'"):
        catalogue.__wrapped__()
