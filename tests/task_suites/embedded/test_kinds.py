"""The four kinds of task, drawn from a lexicon of a few words."""

from __future__ import annotations

import random
from collections import Counter

from task_suites.embedded.kinds import choice_of, class_of, span_of, tags_of

LEXICON = {
    "who": ("Ann", "Bob"),
    "mood": {"glad": ("smiles", "sings"), "sad": ("weeps",), "calm": ("sits",)},
}


def drawn(draw, number: int = 300):
    return [draw(random.Random(seed)) for seed in range(number)]


def test_a_class_task_draws_labels_evenly_and_leaves_out_classes_without_one():
    draw = class_of("mood", {"glad": "up", "sad": "down"}, ("{who} {mood}.",), LEXICON, free_text=False)
    examples = drawn(draw)
    counts = Counter(example.output for example in examples)
    assert set(counts) == {"up", "down"} and min(counts.values()) > 110
    assert not any("sits" in example.input for example in examples)
    assert all(("weeps" in e.input) == (e.output == "down") and e.options == ("up", "down") for e in examples)


def test_classes_that_share_a_label_are_one_answer_with_the_weight_of_one():
    labels = {"glad": "moved", "sad": "moved", "calm": "still"}
    counts = Counter(e.output for e in drawn(class_of("mood", labels, ("{who} {mood}.",), LEXICON, free_text=True)))
    assert 0.4 < counts["still"] / 300 < 0.6
    assert drawn(class_of("mood", labels, ("{who} {mood}.",), LEXICON, free_text=True), 1)[0].options is None


def test_the_right_option_is_an_ending_of_the_situation_and_the_others_are_of_other_situations():
    groups = [
        (("it rains",), ("take cover",)),
        (("it burns",), ("call for help", "run")),
        (("it is late",), ("sleep",)),
    ]
    examples = drawn(choice_of(groups, ("{situation}, {who}.",), LEXICON, 2))
    for example in examples:
        [group] = [g for g in groups if g[0][0].casefold() in example.input.casefold()]
        assert example.output.casefold() in group[1]
        assert len(set(example.options)) == 2 and example.output in example.options
        assert sum(option.casefold() in group[1] for option in example.options) == 1
    assert {example.options.index(example.output) for example in examples} == {0, 1}


def test_tags_follow_the_marks_of_templates_and_phrases():
    lexicon = {"who": ("<WHO:Ann Lee>",), "mood": ("smiles",)}
    example = tags_of(("the <DAY:last day> {who} {mood}.",), lexicon)(random.Random(0))
    assert example.tokens == ("The", "last", "day", "Ann", "Lee", "smiles", ".")
    assert example.tags == ("O", "B-DAY", "I-DAY", "B-WHO", "I-WHO", "O", "O")


def test_an_extracted_span_keeps_the_case_that_it_has_inside_a_sentence():
    example = span_of(("<X:apples> are ripe, {who} says.",), LEXICON)(random.Random(0))
    assert example.output == "apples" and example.input.startswith("Apples are ripe")
