"""The source `tasksource:`, offline: the library's own annotations on tables with the columns of their data sets."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hub_tables import COMMIT, NLI, TABLES, hub

from metaicl.testing import check_source
from task_suites import Example, UserError, open_suite
from task_suites.core.atomic import write_text
from task_suites.parts import StoredExamples
from task_suites.provenance import data_record
from task_suites.sources import SuiteConfig
from task_suites.split_rules import divide
from task_suites.task import META_SPLITS

__all__ = ["hub"]
KINDS = {
    "glue:mnli": "classification",
    "glue:qnli": "classification",
    "snli": "classification",
    "ag_news": "classification",
    "rotten_tomatoes": "classification",
    "super_glue:boolq": "classification",
    "paws:labeled_final": "classification",
    "sms_spam": "classification",
    "google_wellformed_query": "classification",
    "squad-v2:answerability": "classification",
    "sciq": "multiple_choice",
    "commonsense_qa": "multiple_choice",
    "ai2_arc:ARC-Easy:challenge": "multiple_choice",
    "openbookqa": "multiple_choice",
    "winogrande:winogrande_xl": "multiple_choice",
    "hellaswag": "multiple_choice",
    "xcopa:it": "multiple_choice",
    "conll2003:pos_tags": "tagging",
    "conll2003:chunk_tags": "tagging",
    "conll2003:ner_tags": "tagging",
    "wnut_17:wnut_17": "tagging",
    "ncbi_disease:ncbi_disease": "tagging",
    "universal_dependencies:pl_pdb:pos": "tagging",
}
SPAN = Example(tokens=("Ann", "Lee", "met", "Bo0", "."), tags=("B-PER", "I-PER", "O", "B-PER", "O"))


def prepared(name: str, **settings):
    """The one task of a suite, as training and evaluation see it."""
    (task,) = SuiteConfig([f"tasksource:{name}"], **settings).open()[0].tasks.values()
    return task


@pytest.mark.parametrize("name", KINDS)
def test_a_data_set_of_each_kind_opens_through_its_annotation(hub, name):
    task = prepared(name)
    assert task.type == KINDS[name] and task.name == name
    forms = {example.form for part in ("train", "test") for example in task.examples(part)}
    assert forms == {"tags" if task.type == "tagging" else "options"}
    assert all(example.problem(task.labels) is None for part in ("train", "test") for example in task.examples(part))
    assert len(task.examples("train")) >= 10 and len(task.examples("test")) >= 2
    assert bool(task.labels) == (task.type == "classification")
    assert task.family in task.source and "@" in task.source


def test_the_tables_are_of_more_than_fifteen_data_sets(hub):
    for name in KINDS:
        prepared(name)
    assert len({call[:2] for call in hub}) == len(TABLES) >= 15


def test_a_pair_of_texts_is_written_as_the_library_writes_it(hub):
    task = prepared("glue:mnli")
    found = {e.text: e for part in ("train", "test") for e in task.examples(part)}
    text = "text_A: Premise number 24 says no.\ntext_B: Hypothesis number 24 says no."
    assert found[text] == Example(text, "entailment", NLI)
    assert task.labels == NLI and task.metric == "macro_f1"
    assert (len(task.examples("train")), len(task.examples("test"))) == (21, 8)  # a tenth is kept for validation


def test_the_question_is_the_instruction_unless_it_belongs_to_each_example(hub):
    assert prepared("glue:qnli").instruction == "Does sentence text_B contain the answer to question text_A?"
    task = prepared("squad-v2:answerability")
    asked = "context number 0 says no.\nCan the following question be answered using only the passage?\nquestion number"
    assert task.instruction == "" and task.examples("train")[0].text.startswith(asked)


def test_rows_without_an_answer_are_left_out(hub):
    task = prepared("snli")
    assert len(task.examples("train")) == 18  # of 24, a quarter of which have the label -1
    assert len(prepared("google_wellformed_query").examples("train")) == 16  # a third is rated 0.5


def test_the_right_choice_is_the_one_that_the_data_set_says_and_not_always_first(hub):
    for name, answers in {
        "sciq": "correct_answer number",
        "commonsense_qa": "choice",
        "winogrande:winogrande_xl": "",
    }.items():
        examples = prepared(name).examples("train")
        assert all(str(example.output).startswith(answers) for example in examples)
        places = Counter((example.options or ()).index(example.output or "") for example in examples)
        assert len(places) > 1 and max(places.values()) < len(examples), name
    arc = prepared("ai2_arc:ARC-Easy:challenge").examples("train")
    assert sorted(str(example.output).split()[1] for example in arc) == sorted("ABCD" * 6)


def test_tags_become_bio_and_parts_of_speech_become_spans_of_one_word(hub):
    assert prepared("conll2003:ner_tags").examples("train")[0] == SPAN
    assert prepared("conll2003:pos_tags").examples("train")[0].tags == ("B-NNP", "B-NNP", "B-VBD", "B-NNP", "B-.")
    tags = ("B-PROPN", "B-PROPN", "B-VERB", "B-PROPN", "O")
    assert prepared("universal_dependencies:pl_pdb:pos").examples("train")[0].tags == tags


def test_nothing_is_downloaded_before_examples_are_needed_and_nothing_twice(hub):
    suite = open_suite("tasksource:glue/mnli,sciq")
    assert hub == [] and sorted(suite.tasks) == ["glue:mnli", "sciq"]
    first = suite["sciq"].examples("train")
    assert [call[0] for call in hub] == ["allenai/sciq"] and isinstance(first, StoredExamples)
    again = open_suite("tasksource:sciq")["sciq"].examples("train")
    assert list(again) == list(first) and len(hub) == 1


def test_a_stored_task_opens_without_a_hub(hub, monkeypatch):
    before = prepared("sciq")
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", None)
    monkeypatch.setattr("datasets.load_dataset", None)
    assert prepared("sciq").fingerprint() == before.fingerprint()


def test_data_are_loaded_at_one_commit_which_the_record_of_a_run_names(hub):
    suite, _ = SuiteConfig(["tasksource:glue:mnli,squad-v2:answerability,sciq"]).open()
    record = data_record(suite.tasks.values())
    assert record["glue:mnli"]["source"] == f"nyu-mll/glue@{COMMIT} (mnli)"
    assert {name: revision["revision"] for name, _, revision in hub}["allenai/sciq"] == COMMIT
    pinned = record["squad-v2:answerability"]["source"]  # the library names the commit that it has looked at
    assert pinned.startswith("rajpurkar/squad_v2@3ffb306f725f")
    assert all(len(entry["fingerprint"]) == 64 and entry["licence"] for entry in record.values())


def test_rows_bound_both_parts_and_few_rows_change_no_answer(hub):
    few = prepared("ai2_arc:ARC-Easy:challenge?rows=3&test_rows=2")
    assert (len(few.examples("train")), len(few.examples("test"))) == (3, 2)
    whole = {e.text: e.output for e in prepared("ai2_arc:ARC-Easy:challenge").examples("train")}
    assert all(whole[e.text] == e.output for e in few.examples("train"))


def test_long_inputs_are_left_out_before_a_task_is_stored(hub, monkeypatch):
    short = prepared("ag_news?max_words=5")
    assert isinstance(short.examples("train"), StoredExamples)
    assert len(short.examples("train")) == len(prepared("ag_news").examples("train"))
    with pytest.raises(UserError, match="ag_news: a part has no example of at most 2 words"):
        prepared("ag_news?max_words=2")


def test_tasks_that_are_too_small_or_cannot_be_loaded_are_left_out_and_named(hub):
    names = "tasksource:sciq,ag_news,imdb?min_rows=24&missing=skip"
    suite, note = SuiteConfig([names]).open()
    assert sorted(suite.tasks) == ["sciq"]  # ag_news has no validation part: a tenth of its 24 rows become one
    assert note is not None and "imdb: cannot be loaded (imdb needs the data set stanfordnlp/imdb" in note
    with pytest.raises(UserError, match=r"no task is left; found .*fewer than 9999 train examples"):
        SuiteConfig(["tasksource:sciq?min_rows=9999"]).open()


def test_without_a_hub_the_error_is_one_clear_line(hub):
    with pytest.raises(UserError) as raised:
        SuiteConfig(["tasksource:imdb"]).open()
    assert str(raised.value).startswith(
        "imdb needs the data set stanfordnlp/imdb of the Hugging Face hub, which cannot"
    )
    assert "\n" not in str(raised.value) and "missing=skip" in str(raised.value)


def test_a_table_with_other_columns_is_refused_by_name(hub, monkeypatch):
    monkeypatch.setitem(TABLES, ("allenai/sciq", None), TABLES["fancyzhx/ag_news", None])
    with pytest.raises(UserError, match="the annotation of sciq does not fit its data"):
        SuiteConfig(["tasksource:sciq"]).open()


# -- sides -------------------------------------------------------------------------------------------------------------


def test_a_data_set_lies_on_one_side_whatever_the_filters():
    whole = open_suite("tasksource:?evaluation=add")
    side = {task.name: name for name in META_SPLITS for task in whole.split(name)}
    assert set(side) == set(whole.tasks) and set(side.values()) == set(META_SPLITS)
    homes = Counter((task.family, side[task.name]) for task in whole.tasks.values())
    assert len({family for family, _ in homes}) == len(homes)
    some = open_suite("tasksource:?kind=tagging&language=de,fr")
    assert all(side[name] == s for s, names in some.splits.items() for name in names)


def test_sides_are_shares_or_one_side():
    assert set(open_suite("tasksource:?sides=meta_train").splits) == {"meta_train"}
    halves = open_suite("tasksource:?language=en&sides=0.5,0,0.5").splits
    assert set(halves) == {"meta_train", "meta_test"} and len(halves["meta_test"]) > 100
    with pytest.raises(UserError, match=r"sides has a wrong value; found '0.5,0.5'"):
        open_suite("tasksource:?sides=0.5,0.5")


def test_a_benchmark_is_never_for_meta_training(tmp_path):
    assert not any(task.evaluation_only for task in open_suite("tasksource:").tasks.values())
    only = open_suite("tasksource:?evaluation=only&sides=meta_train")
    assert set(only.splits) == {"meta_test"} and "truthful_qa:multiple_choice" in only.tasks
    assert len(only.tasks) > 100 and all(task.evaluation_only for task in only.tasks.values())
    added = open_suite("tasksource:glue:*,sciq?evaluation=add&sides=meta_train")
    assert added.splits["meta_train"] == ("sciq",) and "glue:ax" in added.splits["meta_test"]
    write_text(tmp_path / "split.json", json.dumps({"meta_train": ["glue:ax"], "meta_test": ["sciq"]}))
    config = SuiteConfig(["tasksource:glue:ax,sciq?evaluation=add"], split=str(tmp_path / "split.json"))
    with pytest.raises(UserError, match="glue:ax is for evaluation only, and is among the meta-training tasks"):
        config.choose()


def test_a_split_file_puts_tasks_on_other_sides_without_a_download(hub, tmp_path):
    split = divide(open_suite("tasksource:?language=en"), seed=1)
    write_text(tmp_path / "split.json", json.dumps(split.sides()))
    suite = SuiteConfig(["tasksource:?language=en"], split=str(tmp_path / "split.json")).choose()
    assert suite.splits["meta_train"] == split.meta_train and hub == []


def test_a_held_out_example_in_meta_training_is_refused(hub, monkeypatch):
    texts = TABLES["cornell-movie-review-data/rotten_tomatoes", None]
    monkeypatch.setitem(TABLES, ("fancyzhx/ag_news", None), texts)
    names = ["tasksource:ag_news?sides=meta_train", "tasksource:rotten_tomatoes?sides=meta_test"]
    with pytest.raises(UserError, match="examples of held-out tasks also lie in meta-training tasks"):
        SuiteConfig(names).open()


def test_the_source_keeps_the_promises_of_every_source(hub):
    check_source("tasksource:glue:mnli,sciq,ncbi_disease:*?rows=20")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("?kind=clasification", "option kind: no task has 'clasification'. Did you mean classification"),
        ("?language=xx", "option language: no task has 'xx'"),
        ("?licence=comercial", "option licence: no task has 'comercial'. Did you mean commercial"),
        ("glue:mnil", "no task 'glue:mnil'. Did you mean glue:mnli"),
        ("?rows=many", "option rows has a wrong value"),
        ("?evaluation=yes", "option evaluation: unknown value 'yes'"),
        ("?knid=tagging", "unknown option 'knid'. Did you mean kind"),
        ("sciq?kind=tagging", "no task passes the filters"),
    ],
)
def test_a_mistake_in_a_filter_is_named(rest, message):
    with pytest.raises(UserError) as raised:
        open_suite(f"tasksource:{rest}")
    assert message in str(raised.value)
