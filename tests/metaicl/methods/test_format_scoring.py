"""Every format through the scorer, the losses and the methods: the model sees the words, results keep the labels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from backbones import make_learnable, tiny_config
from chat_templates import INSIDE
from plain_scores import episode, last_logprobs, plain_score
from scipy.special import softmax
from toys import choice_task, tag_task, text_task, toy_task

from metaicl.lm.backbone import Backbone
from metaicl.lm.prompts import Prompt
from metaicl.methods import method_class
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.label_prior import BLANKS
from metaicl.methods.scoring import PromptScorer
from metaicl.training.checkpoint import MethodConfig, read_card, save_method
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.formats.presets import PRESETS
from task_suites.formats.prompt_format import PromptFormat, preset
from task_suites.formats.templates import GENERAL

OTHERS = sorted({*PRESETS} - {"direct", "channel"})


@pytest.fixture(scope="module")
def chatting():
    """A frozen backbone whose tokenizer has a chat template."""
    backbone = Backbone.load(tiny_config(weights="frozen"))
    backbone.tokenizer.chat_template = INSIDE
    return backbone


def bound(backbone, form, task):
    return form.of(task, backbone.tokenizer.apply_chat_template)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("task", [toy_task(), choice_task()], ids=lambda t: t.name)
def test_scores_equal_those_of_plain_sequences_in_the_order_of_the_options(chatting, name, task):
    e, form = episode(task, k=3, queries=3), preset(name)
    found = PromptScorer(chatting, form, task, e.support).scores([q.hidden() for q in e.queries])
    form = bound(chatting, form, task)
    expected = [[plain_score(chatting, form, task, e.support, q, o) for o in q.options] for q in e.queries]
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("form", [preset("letters"), preset("arbitrary"), PromptFormat(verbalizer={"fruit": "food"})])
def test_answers_are_the_labels_whose_shown_words_are_likeliest(frozen, form):
    task = toy_task()
    e = episode(task)
    answers = PromptScorer(frozen, form, task, e.support).answers([q.hidden() for q in e.queries])
    form = bound(frozen, form, task)
    for query, answer in zip(e.queries, answers, strict=True):
        likely = [plain_score(frozen, form, task, e.support, query, option) for option in query.options]
        assert answer.text == query.options[int(np.argmax(likely))]
    shown = "".join(s.text for s in form.branch(e.queries[0], "fruit"))
    assert not shown.endswith("fruit")


def test_words_for_labels_score_as_a_task_with_those_labels(frozen):
    words = {"fruit": "brick", "tool": "moss"}  # in the order of the labels, as draws follow it
    e = episode(toy_task())
    renamed = toy_task(labels=("brick", "moss"))
    other = episode(renamed)
    assert [q.text for q in other.queries] == [q.text for q in e.queries]
    found = PromptScorer(frozen, PromptFormat(verbalizer=words), e.task, e.support).scores(e.queries)
    assert np.allclose(found, PromptScorer(frozen, PromptFormat(), renamed, other.support).scores(other.queries))


@pytest.mark.parametrize("calibration", ["contextual", "pmi", "cross_fit"])
def test_letters_are_calibrated_by_what_they_have_behind_blanks_or_demonstrations(frozen, calibration):
    e, options = episode(toy_task()), ("fruit", "tool")
    form = bound(frozen, preset("letters"), e.task)

    def plain(query, support=e.support) -> np.ndarray:
        return np.array([plain_score(frozen, form, e.task, support, query, option) for option in options])

    if calibration == "cross_fit":  # each given the other three, over its share of the answers
        asked = [plain(d.hidden(), [other for other in e.support if other is not d]) for d in e.support]
        counted = np.array([1 + sum(d.output == option for d in e.support) for option in options])
    else:
        asked = [plain(Example(text, None, options)) for text in BLANKS[calibration]]
        counted = np.ones(2)
    prior = asked[0] if calibration == "pmi" else np.log(softmax(asked, axis=1).mean(0)) - np.log(counted / 6)
    scorer = PromptScorer(frozen, preset("letters"), e.task, e.support, calibration=calibration)
    for query, scores in zip(e.queries, scorer.scores(e.queries), strict=True):
        apart = scores - (plain(query) - prior)  # a constant of all options changes no probability
        assert np.ptp(apart) < 2e-5


@pytest.mark.parametrize("name", OTHERS)
def test_the_prompts_of_one_support_set_share_their_tokens(chatting, name):
    task = toy_task()
    e, form = episode(task), bound(chatting, preset(name), task)
    text = "".join(s.text for s in [*form.opening(task), *(s for d in e.support for s in form.demonstration(d))])
    prompt = Prompt(chatting, form, task, e.support)
    assert (*prompt.stable, *prompt.rest()) == chatting.encode(text) and len(prompt.rest()) < 4
    for query in e.queries:
        for option in query.options:
            segments = form.branch(query, option)
            whole = chatting.encode(text + "".join(s.text for s in segments))
            assert (*prompt.stable, *prompt.branch(segments).ids) == whole


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("supervise", ["queries", "all"])
def test_losses_are_those_of_the_scored_segments(chatting, name, supervise):
    task, form = toy_task(), preset(name)
    e = EpisodeSampler(0, 2, 3).draw(task, "train", 0)
    method = InContext(chatting, form, InContext.Config(supervise=supervise))
    loss, weight = method([e])
    form = bound(chatting, form, task)
    shown = [*form.opening(task), *(s for d in e.support for s in form.demonstration(d))]
    supervised = [[*shown, *form.branch(q, q.output)] for q in e.queries]
    if supervise == "all":
        supervised += [shown[: i + 1] for i, s in enumerate(shown) if s.scored]
    values = [value for segments in supervised for value in last_logprobs(chatting, segments)]
    assert float(weight) == len(values) and float(loss) == pytest.approx(-sum(values), rel=1e-5)


class Saying(PromptScorer):
    """A scorer whose model has scripted answers."""

    said: list[str]

    def _generated(self, prefix, questions, limit, beams):
        return [self.said.pop(0) for _ in questions]


def test_generated_text_is_read_through_template_and_chat(chatting):
    task = text_task()
    e = episode(task, k=2, queries=2)
    scorer = Saying(chatting, preset("chat", templates={"x": "{{ input }} ||| so: {{ answer }}!"}), task, e.support)
    scorer.said = ["so: fig!", "so: plum!</s>"]
    assert scorer.generate(e.queries) == ["fig", "plum"]


def test_inline_tags_are_read_from_generated_text(frozen):
    task = tag_task()
    e = episode(task, k=2, queries=2)
    form = preset("inline", verbalizer={"FRUIT": "a fruit"})
    scorer = Saying(frozen, form, task, e.support)
    scorer.said = [form.of(task).written(q) for q in e.queries]
    assert "| a fruit]" in scorer.said[0]
    assert scorer.tag([q.hidden() for q in e.queries]) == [q.tags for q in e.queries]


def test_generation_allows_for_an_answer_as_the_format_writes_it(frozen, monkeypatch):
    task = tag_task()
    e, limits = episode(task, k=2, queries=1), []
    for form in (PromptFormat(), preset("inline")):
        scorer = PromptScorer(frozen, form, task, e.support)
        monkeypatch.setattr(scorer, "_generated", lambda p, q, limit, beams: limits.append(limit) or ["none"])
        scorer.generate(e.queries)
        assert limits[-1] == 2 * max(len(frozen.encode(f" {form.written(d)}")) for d in e.support) + 8
    assert limits[1] > limits[0]


@pytest.mark.parametrize("name", ["icl", "finetune", "fomaml", "fomaml_icl", "metaicl", "ict"])
def test_methods_learn_and_answer_behind_drawn_templates_and_words(name):
    form = preset("templates", label_words="arbitrary", choices="listed", templates={"x": GENERAL["choose"]})
    options = {"finetune": {"steps": 1}, "fomaml": {"inner_steps": 1}, "fomaml_icl": {"inner_steps": 1}}.get(name, {})
    method = method_class(name).build(make_learnable(), form, options)
    e = EpisodeSampler(0, 4, 3).draw(toy_task(), "train", 0)
    other = {"fruit": "tool", "tool": "fruit"}
    turned = [replace(d, output=other[d.output]) for d in e.support]
    queries = [q.hidden() for q in e.queries]
    found, of_others = (np.stack(method.adapt(e.task, s).scores(queries)) for s in (e.support, turned))
    assert np.abs(found - of_others).max() > 1e-4  # it goes by the answers that it was shown
    if method_class(name).meta_trained:
        before, _ = method([e])
        before.backward()
        with torch.no_grad():
            for p in method.learned().values():
                p -= 1e-3 * p.grad / p.grad.norm()
        after, _ = method([e])
        assert float(after) < float(before.detach())


def test_a_saved_method_keeps_its_format(tmp_path):
    form = preset("chat", instruction=True, templates=GENERAL, verbalizer={"toy": {"fruit": "food"}}, seed=3)
    config = MethodConfig("metaicl", {}, tiny_config(), form)
    method = method_class("metaicl").build(make_learnable(), form)
    save_method(method, config, tmp_path / "saved")
    assert read_card(tmp_path / "saved")[0].format == form.resolved()


def test_a_card_of_before_these_formats_is_the_direct_format(tmp_path):
    config = MethodConfig("metaicl", {}, tiny_config(), PromptFormat())
    save_method(method_class("metaicl").build(make_learnable(), PromptFormat()), config, tmp_path / "saved")
    path = tmp_path / "saved" / "method.json"
    card = json.loads(path.read_text())
    card["format"] = {n: card["format"][n] for n in ("channel", "instruction", "answer", "separator", "target")}
    path.write_text(json.dumps(card))
    assert read_card(tmp_path / "saved")[0].format == PromptFormat().resolved()


def test_a_chat_on_a_tokenizer_without_a_template_is_refused(frozen):
    task = toy_task()
    with pytest.raises(UserError, match="the tokenizer has no chat template"):
        PromptScorer(frozen, preset("chat"), task, episode(task).support)


@pytest.mark.real_model
def test_the_real_tokenizers_chat_is_what_it_renders(real_model):
    from transformers import AutoTokenizer

    from metaicl.lm.models import resolve

    tokenizer = AutoTokenizer.from_pretrained(resolve(real_model))
    task = toy_task()
    e = episode(task, k=3, queries=1)
    form = preset("chat", instruction=True).of(task, tokenizer.apply_chat_template)
    segments = [*form.opening(task), *(s for d in e.support for s in form.demonstration(d))]
    segments.append(form.question(e.queries[0]))
    messages = [{"role": "system", "content": task.instruction}]
    for d in e.support:
        messages += [{"role": "user", "content": d.input}, {"role": "assistant", "content": d.output}]
    messages.append({"role": "user", "content": e.queries[0].input})
    whole = tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)
    ids = [i for s in segments for i in tokenizer(s.text, add_special_tokens=False).input_ids]
    assert ids == whole
