"""Suites and prompts as text for the terminal."""

from __future__ import annotations

import re
import sys

import pytest
from helpers import make_folder, write_task
from hypothesis import given
from hypothesis import strategies as st

from metaicl.lm.prompts import Prompt
from task_suites.core.errors import UserError
from task_suites.describe import COLOURS, list_tasks, show_prompt
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat, preset
from task_suites.sources import open_suite


@pytest.fixture
def folder(tmp_path):
    return str(make_folder(tmp_path))


def show(suite: str, task: str, k: int = 2, seed: int = 0, channel: bool = False, instruction: bool = False) -> str:
    return show_prompt(open_suite(suite), task, k, seed, PromptFormat(channel=channel, instruction=instruction))


def test_the_list_has_a_line_for_each_task_with_its_side(folder):
    head, *lines = list_tasks(open_suite(folder)).splitlines()
    assert head == "small: 3 tasks"
    assert [line.split() for line in lines] == [
        ["side", "task", "type", "metric", "labels"],
        ["meta_train", "mood", "classification", "macro_f1", "2"],
        ["meta_validation", "taste", "classification", "macro_f1", "2"],
        ["meta_test", "topic", "classification", "macro_f1", "2"],
    ]


def test_the_list_names_tasks_that_are_on_no_side(tmp_path):
    folder = make_folder(tmp_path, {"meta_test": ["topic"]})
    assert [line[:11].strip() for line in list_tasks(open_suite(str(folder))).splitlines()[2:]] == [
        "meta_test",
        "in no split",
        "in no split",
    ]


def test_lines_are_cut_to_the_terminal(folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    assert max(map(len, list_tasks(open_suite(folder)).splitlines())) == 30


def test_the_embedded_suite_is_listed_whole():
    head, _, *lines = list_tasks(open_suite("embedded")).splitlines()
    assert head == f"embedded: {len(lines)} tasks" and len(lines) > 50
    assert {line.split()[0] for line in lines} == {"meta_train", "meta_validation", "meta_test"}


def test_a_shown_prompt_is_the_one_that_a_model_gets(folder):
    text = show(folder, "mood")
    body = text.split("-" * 60 + "\n")[1]
    demo = r"mood train item \d\nAnswer: (good|bad)\n\n"
    assert re.fullmatch(rf"({demo}){{2}}mood test item \d\nAnswer: good\n", body)
    assert text.startswith("mood (classification, macro_f1); k=2, seed=0\n")
    assert re.search(r"\nright answer: (good|bad)$", text)
    assert text == show(folder, "mood") != show(folder, "mood", seed=1)


def test_a_shown_channel_prompt_has_the_answer_first(folder):
    body = show(folder, "mood", k=1, channel=True).split("-" * 60 + "\n")[1]
    assert re.fullmatch(r"(good|bad)\n mood train item \d\n\ngood\n mood test item \d\n", body)


def test_a_shown_prompt_begins_with_the_instruction_where_asked(tmp_path):
    folder = make_folder(tmp_path)
    write_task(folder, "mood", {"instruction": "Name the mood."})
    assert "Name the mood.\n\n" in show(str(folder), "mood", instruction=True)
    assert "Name the mood." not in show(str(folder), "mood")


def test_a_shown_prompt_says_which_template_was_drawn_and_which_words_stand_for_labels(folder):
    form = preset("templates", label_words="arbitrary")
    _, template, words, rule, *_ = show_prompt(open_suite(folder), "mood", 2, 0, form).splitlines()
    bound = form.of(open_suite(folder)["mood"]).bound
    assert template == f"template: {bound.template.name} (drawn by seed 0)"
    assert words == f"words: good -> {bound.words['good']}, bad -> {bound.words['bad']}"
    assert rule == "-" * 60 and "Options: " + bound.words["good"] in show_prompt(
        open_suite(folder), "mood", 2, 0, preset("templates", label_words="arbitrary", template="choose")
    )


def test_a_shown_chat_is_cut_from_the_template_it_is_given(folder):
    def render(conversation, *, tokenize, add_generation_prompt):
        text = "".join(f"<{m['role']}>{m['content']}" for m in conversation)
        return text + "<assistant>" * add_generation_prompt

    body = show_prompt(open_suite(folder), "mood", 1, 0, preset("chat"), render).split("-" * 60 + "\n")[1]
    turn = r"<user>mood {} item \d<assistant>"
    assert re.fullmatch(turn.format("train") + "(good|bad)" + turn.format("test") + "good\n", body)


def test_colours_are_for_terminals_alone_and_change_no_text(folder, monkeypatch):
    plain = show(folder, "mood")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    coloured = show(folder, "mood")
    assert "\033" not in plain and all(f"\033[{code}m" in coloured for code in COLOURS.values())
    head, legend, *rest = re.sub(r"\033\[[\d;]*m", "", coloured).splitlines()
    assert legend == "  ".join(COLOURS) and [head, *rest] == plain.splitlines()


@given(st.sampled_from(["kitchen_taste", "school_advice", "harbour_log", "office_repairs"]), st.integers(0, 99))
def test_under_a_prompt_stand_the_options_and_the_right_answer(task, seed):
    suite = open_suite("embedded")
    (query,) = EpisodeSampler(seed, 2, 1).draw(suite[task], "test", 0).queries
    lines = show_prompt(suite, task, 2, seed).split("-" * 60 + "\n")[-1].splitlines()
    assert lines[-1] == f"right answer: {PromptFormat().of(suite[task]).written(query)}"
    options = [f"options, of which the prompt shows the first: {', '.join(query.options)}"] if query.options else []
    assert lines[:-1] == options


def test_a_right_answer_that_is_written_otherwise_is_shown_in_both_ways(folder):
    lines = show_prompt(open_suite(folder), "mood", 2, 0, preset("letters")).splitlines()
    assert re.fullmatch(r"right answer: (good \(written [AB]\)|bad \(written [AB]\))", lines[-1])


@pytest.mark.parametrize("task", ["harbour_log", "school_advice", "office_repairs"])
def test_every_form_of_the_embedded_suite_can_be_shown(task):
    assert show("embedded", task).count("\nAnswer: ") == 3


def test_a_task_without_options_has_no_channel_prompt(tmp_path):
    folder = make_folder(tmp_path)
    text = [{"input": f"say {i}", "output": str(i)} for i in range(4)]
    write_task(folder, "mood", {"labels": None, "type": "generation", "metric": "exact_match"}, train=text, test=text)
    with pytest.raises(UserError, match=r"task mood has no options to score. Show it in the direct format"):
        show(str(folder), "mood", channel=True)


def test_an_unknown_task_offers_names(folder):
    with pytest.raises(UserError, match=r"no task 'moud'. Did you mean mood"):
        show(folder, "moud")


@pytest.mark.parametrize("channel", [False, True])
def test_tokens_are_shown_as_the_model_reads_them_with_the_scored_ones_in_brackets(frozen, folder, channel):
    form, suite = PromptFormat(channel=channel), open_suite(folder)
    task = suite["mood"]
    episode = EpisodeSampler(0, 2, 1).draw(task, "test", 0)
    prompt, query = Prompt(frozen, form, task, episode.support), episode.queries[0]
    branch = prompt.branch(form.branch(query, query.options[0]))

    def read(text):
        encoded = frozen.texts.whole(text)
        return zip(frozen.tokenizer.convert_ids_to_tokens(list(encoded.ids)), encoded.ends, strict=True)

    body = show_prompt(suite, "mood", 2, 0, form, tokens=read).split("-" * 60 + "\n")[1].removesuffix("\n")
    shown = [piece for line in body.split("\n") for piece in line.split("|") if piece]
    names = frozen.tokenizer.convert_ids_to_tokens([*prompt.stable, *branch.ids])
    first = len(prompt.stable) + branch.scored
    assert shown == [*names[:first], *(f"[{name}]" for name in names[first:])]
