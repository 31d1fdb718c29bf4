"""The audit: planted leaks are found and named, sound pairs are not reported, a cleaned suite is clean and whole."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import LABELS, make_folder, rows, write_task
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from metaicl.cli.main import main
from task_suites import open_suite
from task_suites.audit import duplicates as audit_duplicates
from task_suites.audit.answers import note_task
from task_suites.audit.duplicates import Corpus, permutation_key, words_of
from task_suites.audit.fix import cleaned, write_fixed
from task_suites.audit.report import page, table
from task_suites.audit.run import BETWEEN, WITHIN, audit_suite
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.export.local import write_local
from task_suites.formats.label_words import ARBITRARY_WORDS
from task_suites.task import Task, TaskSuite

WORDS = ARBITRARY_WORDS


def text(name: str, size: int = 16) -> str:
    return " ".join(random.Random(name).choices(WORDS, k=size))


def changed(original: str, count: int, seed: int = 0) -> str:
    """The text with this many words replaced by words that no text has."""
    words, rng = original.split(), random.Random(seed)
    for place in rng.sample(range(len(words)), count):
        words[place] = f"new{rng.randrange(10**6)}"
    return " ".join(words)


def task(name: str, train: list[str], test: list[str] | None = None, labels=("yes", "no"), **keys) -> Task:
    parts = {"train": train, "test": test or [text(f"{name} test {i}") for i in range(4)]}

    def load(part: str) -> list[Example]:
        return [Example(t, labels[i % len(labels)], labels) for i, t in enumerate(parts[part])]

    return Task(name, "classification", load, labels=labels, **keys)


def suite(*tasks: Task, name: str = "planted", **splits) -> TaskSuite:
    return TaskSuite(name, {t.name: t for t in tasks}, {side: tuple(names) for side, names in splits.items()})


def plain(name: str, size: int = 40) -> list[str]:
    return [text(f"{name} {i}") for i in range(size)]


def found(report) -> list[tuple]:
    return [(p.kind, p.relation, p.keep, p.drop) for p in report.pairs]


# --- duplicates -------------------------------------------------------------------------------------------------------


def test_a_suite_of_different_texts_is_clean():
    report = audit_suite(suite(task("a", plain("a")), task("b", plain("b")), meta_train=["a"], meta_test=["b"]))
    assert report.clean and not report.pairs and report.examples == 88


def test_an_exact_duplicate_is_found_whatever_its_case_and_blanks():
    a = task("a", plain("a"), ["  " + text("a 7").upper().replace(" ", "   "), text("x")])
    assert found(audit_suite(suite(a, meta_test=["a"]))) == [
        ("exact", "train and test", ("a", "test", 0), ("a", "train", 7))
    ]


@pytest.mark.parametrize(
    ("sides", "relation", "leak", "keep"),
    [
        ({"meta_train": ["a"], "meta_test": ["b"]}, "meta_train and meta_test", True, "b"),
        ({"meta_train": ["b"], "meta_validation": ["a"]}, "meta_train and meta_validation", True, "a"),
        ({"meta_validation": ["a"], "meta_test": ["b"]}, "meta_validation and meta_test", True, "b"),
        ({"meta_train": ["a", "b"]}, BETWEEN, False, "a"),
        ({"meta_train": ["a"]}, BETWEEN, False, "a"),
    ],
)
def test_the_relation_of_a_pair_follows_the_sides_of_its_tasks_and_what_is_held_out_is_kept(
    sides, relation, leak, keep
):
    both = suite(task("a", plain("a")), task("b", [*plain("b"), text("a 3")]), **sides)
    (pair,) = audit_suite(both).pairs
    assert (pair.kind, pair.relation, pair.leak, pair.keep[0]) == ("exact", relation, leak, keep)


def test_each_copy_beyond_the_first_makes_one_pair_and_meets_one_that_it_leaks_to():
    a = task("a", [*plain("a", 5), text("c"), text("c")], [text("c"), text("x"), text("c")])
    report = audit_suite(suite(a, meta_test=["a"]))
    assert [(p.relation, p.keep, p.drop) for p in report.pairs] == [
        ("train and test", ("a", "test", 0), ("a", "train", 5)),
        ("train and test", ("a", "test", 0), ("a", "train", 6)),
        (WITHIN, ("a", "test", 0), ("a", "test", 2)),
    ]


@examples(25)
@given(st.integers(10, 60), st.integers(0, 10**6))
def test_a_text_with_one_word_in_ten_changed_is_near_its_original(size, seed):
    original = " ".join(random.Random(seed).choices(WORDS, k=size))
    a = task("a", [*plain("a"), original], [changed(original, size // 10, seed)])
    assert [(k, r) for k, r, *_ in found(audit_suite(suite(a), languages=False))] == [("near", "train and test")]


@pytest.mark.parametrize("size", [10, 20, 35])
def test_a_text_with_two_words_in_ten_changed_is_not_near(size):
    original = text("original", size)
    a = task("a", [*plain("a"), original], [changed(original, 2 * size // 10 + 1)])
    assert not audit_suite(suite(a), languages=False).pairs


def test_what_a_template_shares_makes_no_near_duplicates():
    a = task("a", [f"{first} {second} was first made in the country of" for first in WORDS for second in WORDS[:9]])
    assert not audit_suite(suite(a), languages=False).pairs


def test_a_short_text_is_near_another_where_a_word_of_the_template_differs_and_not_where_a_name_does():
    names = [f"alpha{i} beta{i} gamma{i}" for i in range(400)]
    train = [f"{name} {('is', 'was')[i % 2]} produced by" for i, name in enumerate(names)]
    a = task("a", train, [f"{names[0]} was produced by", f"{names[4]}x is produced by"])
    assert found(audit_suite(suite(a), languages=False)) == [
        ("near", "train and test", ("a", "test", 0), ("a", "train", 0))
    ]


def test_punctuation_is_no_change():
    a = task("a", [*plain("a"), text("x")], [re.sub(r"(\w+ \w+)", r"\1,", text("x"), count=3) + " !"])
    assert [(k, r) for k, r, *_ in found(audit_suite(suite(a)))] == [("near", "train and test")]


def test_an_input_that_stands_whole_within_another_is_found_and_a_short_one_is_not():
    inner = text("inner", 9)
    a = task(
        "a", [*plain("a"), f"{text('before', 7)} {inner} {text('after', 5)}"], [inner, " ".join(inner.split()[:5])]
    )
    assert found(audit_suite(suite(a))) == [("contained", "train and test", ("a", "test", 0), ("a", "train", 40))]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Which? (A) the red barn (B) the old mill (C) a lake", "Which? (A) a lake (B) the red barn (C) the old mill"),
        ("Which?\n- the red barn\n- the old mill", "Which?\n- the old mill\n- the red barn"),
    ],
)
def test_options_that_the_input_lists_in_another_order_make_a_permuted_duplicate(one, two):
    a = task("a", [*plain("a"), one], [two])
    assert [(k, r) for k, r, *_ in found(audit_suite(suite(a))) if k != "near"] == [("permuted", "train and test")]


def test_an_items_own_options_that_change_places_in_its_input_make_a_permuted_duplicate():
    def load(part):
        one, two = (
            ("barn swallows sing", "mill wheels turn")
            if part == "train"
            else ("mill wheels turn", "barn swallows sing")
        )
        other = Example(f"first: {part} second: nothing", "x", ("x", "y"))
        return [Example(f"first: {one} second: {two}", one, (one, two)), other]

    a = Task("a", "multiple_choice", load)
    assert ("permuted", "train and test") in [(k, r) for k, r, *_ in found(audit_suite(suite(a)))]
    assert permutation_key("first: x second: z", ("x", "w")) is None


def test_premise_and_hypothesis_that_change_places_are_no_duplicate():
    a = task("a", [*plain("a"), "it rains\nit is wet"], ["it is wet\nit rains"])
    assert not audit_suite(suite(a)).pairs


@examples(60)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=14), max_size=12, unique_by=tuple))
def test_contained_texts_are_those_of_a_search_through_all_pairs(texts):
    corpus = Corpus()
    for words in texts:
        corpus.add(" ".join(words), 0)
    contained = {a for a, _ in corpus.contained(at_least=3)}
    padded = [f" {' '.join(words)} " for words in texts]
    expected = {i for i, p in enumerate(padded) if len(texts[i]) >= 3 and any(p in q and p != q for q in padded)}
    assert contained == expected


@given(st.text())
def test_words_of_any_text_are_words(content):
    assert all(word and word.split() == [word] for word in words_of(content))


def test_texts_without_blanks_are_compared_character_by_character():
    one = "私は昨日の夜に友達と一緒に新しい映画を見に行きました"
    a = task("a", [*plain("a"), one], [one.replace("昨", "今")])
    assert [k for k, *_ in found(audit_suite(suite(a), languages=False))] == ["near"]


def test_the_findings_do_not_depend_on_the_order_of_tasks():
    tasks = [
        task("a", [*plain("a"), text("c")]),
        task("b", [*plain("b"), changed(text("c"), 1), text("d")]),
        task("c", [text("d")]),
    ]
    pairs = [set(found(audit_suite(suite(*order), languages=False))) for order in (tasks, tasks[::-1])]
    assert len(pairs[0]) == 2 == len(pairs[1])
    assert {frozenset(p[2:]) for p in pairs[0]} == {frozenset(p[2:]) for p in pairs[1]}


@pytest.mark.parametrize(("size", "pairs"), [(48, 48 * 47 // 2), (1000, 24 * (1000 - 24) + 24 * 23 // 2)])
def test_a_text_of_a_crowded_bucket_meets_so_many_neighbours(size, pairs):
    found = audit_duplicates._in_buckets(np.full(size, 7, np.uint32), size)
    assert len(found) == len(set(found.tolist())) == pairs and all(n // size < n % size for n in found.tolist())


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_source_on_two_sides_is_a_leak_unless_it_is_allowed_by_name():
    a, b = task("a", plain("a"), source="Corpus X"), task("b", plain("b"), source="corpus x")
    both = suite(a, b, meta_train=["a"], meta_test=["b"])
    (source,) = audit_suite(both).sources
    assert source.tasks == {"meta_train": ["a"], "meta_test": ["b"]} and not audit_suite(both).clean
    assert audit_suite(both, allow=["Corpus X"]).clean
    assert audit_suite(replace(both, name="Corpus X")).clean  # made for the suite: no data set


# --- answers and texts ------------------------------------------------------------------------------------------------


def notes(outputs: list[str], inputs: list[str] | None = None, labels=("yes", "no"), **keys):
    inputs = inputs or [text(str(i)) for i in range(len(outputs))]
    examples = [Example(i, o, labels) for i, o in zip(inputs, outputs, strict=True)]
    return note_task(Task("t", "classification", lambda part: examples, labels=labels), languages=False, **keys)


def test_one_label_and_nearly_one_label_are_told():
    assert notes(["yes"] * 30).warnings()[0] == "train has one label, 'yes'"
    assert "nearly one label: 96.7% are 'yes'" in notes(["yes"] * 29 + ["no"]).warnings()[0]
    assert not notes(["yes", "no"] * 15).warnings()


def test_an_option_that_is_always_in_one_place_is_told():
    examples = [Example(text(str(i)), f"right {i}", (f"right {i}", f"wrong {i}")) for i in range(30)]
    said = note_task(Task("t", "multiple_choice", lambda part: examples), languages=False).warnings()
    assert said == ["the right option is at position 1 in 100.0%"]


def test_answers_in_the_input_are_counted_and_told_where_they_give_the_answer_away():
    outputs = ["yes", "no"] * 30
    telling = notes(outputs, [f"{text(str(i), 6)} {o}" for i, o in enumerate(outputs)])
    assert (telling.in_input.answer, telling.in_input.one_option, telling.in_input.right) == (1.0, 120, 1.0)
    assert "right in 100% of 120 examples (guessing: 50%)" in telling.warnings()[0]
    silent = notes(outputs, [f"{text(str(i), 6)} nothing" for i in range(60)])  # "no" is not a whole word of it
    assert silent.in_input.answer == 0 and not silent.warnings()
    against = notes(outputs, [f"{text(str(i), 6)} {'yes' if i % 4 < 2 else 'no'}" for i in range(60)])
    assert against.in_input.right == 0.5 and not against.warnings()


def test_one_input_with_two_answers_is_a_contradiction_and_an_accepted_answer_is_none():
    a = task("a", [*plain("a", 9), text("a 2")])  # example 2 says yes, example 9 no
    report = audit_suite(suite(a), languages=False)
    assert report.notes["a"].contradictions == [(("a", "train", 2), ("a", "train", 9))]
    accepted = [Example("who?", "Ann", accepted=("Bea",)), Example("who?", "Bea"), Example("who?", "Cid")]
    b = Task("b", "generation", lambda part: accepted if part == "train" else [Example("x", "y")], metric="exact_match")
    pairs = audit_suite(suite(b), languages=False).notes["b"].contradictions
    assert pairs == [(("b", "train", 0), ("b", "train", 2))]


def test_lengths_are_compared_with_a_context_in_the_callers_unit():
    outputs = ["yes", "no"] * 10
    inputs = ["one two three"] * 10 + ["one two three four five six seven"] * 10
    words = notes(outputs, inputs, context=5).lengths
    assert (words.median, words.longest, words.over, words.fit) == (6, 8, 20, 0)
    letters = notes(outputs, inputs, context=30, length=len).lengths
    assert (letters.over, letters.longest) == (20, len("one two three four five six seven yes"))


def test_languages_are_told_and_a_mixture_is_worth_knowing():
    german = "Der alte Mann ging am Abend mit seinem Hund durch den Wald und kam erst spät nach Hause, Tag {}."
    english = "The old man went through the forest with his dog in the evening and came home late, day {}."
    one = task("a", [english.format(i) for i in range(40)], [english.format(f"x{i}") for i in range(40)])
    two = task("b", [german.format(i) for i in range(40)], [english.format(f"y{i}") for i in range(40)])
    assert note_task(one).languages == {"en": 1.0} and not note_task(one).warnings()
    assert set(note_task(two).languages) == {"en", "de"} and "languages: " in note_task(two).warnings()[-1]


# --- report and command -----------------------------------------------------------------------------------------------


@pytest.fixture
def leaking(tmp_path):
    """A folder with an exact leak across the split and a near one across train and test."""
    folder = make_folder(tmp_path)
    original = "the small brown fox & his <b>bold</b> friends went over the hill before dawn"
    write_task(
        folder,
        "mood",
        train=[*rows("mood", "train"), {"input": "Taste  train ITEM 2", "output": "bad", "options": LABELS}],
    )
    write_task(
        folder,
        "topic",
        train=[*rows("topic", "train"), {"input": original, "output": "bad", "options": LABELS}],
        test=[*rows("topic", "test"), {"input": original.replace("dawn", "dusk"), "output": "bad", "options": LABELS}],
    )
    return folder


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["suites", "audit", *words])
    return ended.value.code


def test_the_exit_code_says_whether_something_leaks(tmp_path, leaking, capsys):
    assert run("--suite", str(leaking)) == 1
    said = capsys.readouterr().out
    assert "meta_train and meta_validation" in said and said.endswith("LEAKS: 2 leaking pairs\n")
    main(["suites", "audit", "--suite", str(make_folder(tmp_path / "clean"))])
    assert capsys.readouterr().out.endswith("\nno leak\n")


def test_near_duplicates_can_be_left_out(leaking, capsys):
    assert run("--suite", str(leaking), "--no-near", "--json") == 1
    assert json.loads(capsys.readouterr().out)["counts"] == {"meta_train and meta_validation": {"exact": 1}}


def test_the_json_report_names_pairs_and_holds_no_text(leaking, capsys):
    assert run("--suite", str(leaking), "--json") == 1
    out = capsys.readouterr().out
    report = json.loads(out)
    assert (report["clean"], report["leaks"], report["examples"]) == (False, 2, 39) and "brown fox" not in out
    assert report["pairs"][0]["keep"] == ["taste", "train", 2] and report["pairs"][0]["drop"] == ["mood", "train", 6]


def test_the_page_is_one_file_with_counts_and_marked_examples(leaking, tmp_path, capsys):
    run("--suite", str(leaking), "--html", str(tmp_path / "new" / "audit.html"), "--context", "10")
    html = (tmp_path / "new" / "audit.html").read_text(encoding="utf-8")
    assert "LEAKS: 2 leaking pairs" in html and "<mark>dusk</mark>" in html and "<mark>dawn</mark>" in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html and "<b>bold" not in html  # the data's markup is text
    assert not re.search(r"(src|href)=|@import|url\(", html) and "prefers-color-scheme: dark" in html


def test_the_page_of_a_clean_suite_says_so():
    clean = suite(task("a", plain("a")), meta_test=["a"])
    assert "No leak" in page(audit_suite(clean), clean) and table(audit_suite(clean), clean).endswith("no leak")


def test_a_fixed_suite_is_clean_and_the_log_says_what_went(leaking, tmp_path, capsys):
    main(["suites", "audit", "--suite", str(leaking), "--fix", str(tmp_path / "fixed")])
    log = [json.loads(line) for line in (tmp_path / "fixed" / "removed.jsonl").read_text().splitlines()]
    assert [(r["task"], r["split"], r["index"], r["why"]) for r in log] == [
        ("mood", "train", 6, "exact"),
        ("topic", "train", 6, "near"),
    ]
    before, after = open_suite(str(leaking)), open_suite(str(tmp_path / "fixed"))
    assert audit_suite(after).clean and after.splits == before.splits
    assert after["topic"].examples("test") == before["topic"].examples("test")
    assert after["taste"].fingerprint() == before["taste"].fingerprint()
    assert after["mood"].examples("train") == before["mood"].examples("train")[:6]


def test_a_task_that_loses_a_whole_split_is_dropped_and_logged(tmp_path):
    a, b = task("a", [text("c")], plain("x", 5)), task("b", plain("b", 5), [text("c")])
    both = suite(a, b, meta_train=["a"], meta_test=["b"])
    fixed = cleaned(both, audit_suite(both))
    assert fixed.dropped == ["a"] and list(fixed.suite.tasks) == ["b"] and fixed.report.clean
    write_fixed(fixed, tmp_path / "fixed")
    assert '"task": "a", "why": "no example left in a split"' in (tmp_path / "fixed" / "removed.jsonl").read_text()


def test_a_written_suite_is_whole_or_not_there(tmp_path):
    bad = suite(task("a", plain("a", 5)), task("b/c", plain("b", 5)), meta_test=["a", "b/c"])
    with pytest.raises(UserError, match="'b/c' is not a name of a file"):
        write_fixed(cleaned(bad, audit_suite(bad)), tmp_path / "fixed")
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    good = suite(task("a", plain("a", 5)), meta_test=["a"])
    with pytest.raises(UserError, match=r"full: this exists already"):
        write_fixed(cleaned(good, audit_suite(good)), tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_every_form_of_the_embedded_suite_is_written_and_read_again(tmp_path):
    embedded = open_suite("embedded")
    some = embedded.replace_tasks(lambda t: t if t.name in ("kitchen_taste", "harbour_log", "school_advice") else None)
    write_local(some, tmp_path)
    again = open_suite(str(tmp_path))
    for name, one in some.tasks.items():
        assert again[name] == one and again[name].fingerprint() == one.fingerprint()
    assert yaml.safe_load((tmp_path / "kitchen_taste" / "task.yaml").read_text())["train_size"] == 320


def test_a_source_on_two_sides_cannot_be_fixed_by_removing_examples():
    both = suite(
        task("a", plain("a"), source="X"), task("b", plain("b"), source="X"), meta_train=["a"], meta_test=["b"]
    )
    with pytest.raises(UserError, match="these sources have tasks on two sides of the split; found X"):
        cleaned(both, audit_suite(both))


def test_the_embedded_suite_has_no_exact_leak():
    report = audit_suite(open_suite("embedded"), near=False, languages=False)
    assert report.clean and report.tasks == 78


def test_the_overlap_of_a_setting_of_metaicl_is_told(capsys):
    assert run("--setting", "non_nli_to_nli") == 1
    assert "task on two sides: sick (meta_train: sick; meta_test: sick)" in capsys.readouterr().out
    assert run("--setting", "hr_to_lr") == 0
    assert "61 meta_train, 26 meta_test" in capsys.readouterr().out


@pytest.mark.slow
def test_real_tasks_meet_the_bars_of_planted_leaks_and_false_alarms(realtasks):
    root = Path(__file__).resolve().parents[3]
    words = [sys.executable, "benchmarks/audit.py", "--data", str(realtasks), "--plants", "400"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["exact_found_pct"] == 100 and line["near_found_pct"] >= 95
    assert line["false_alarm_pct"] <= 1 and line["judged_pairs_reported"] >= 150
