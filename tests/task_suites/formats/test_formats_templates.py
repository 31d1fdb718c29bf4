"""Jinja templates: what they give, how one is drawn, and what they cannot do."""

from __future__ import annotations

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import choice_task, text_task, toy_task

from examples import examples
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.templates import GENERAL, compile_template

TASK = toy_task()
DEMO = Example("a fig", "fruit", ("fruit", "tool"))


def of(template: str, task=TASK, **fields) -> PromptFormat:
    return PromptFormat(templates={"mine": template}, **fields).of(task)


def texts(segments) -> list[str]:
    return [s.text for s in segments]


@pytest.mark.parametrize(
    ("template", "question", "answer"),
    [
        ("Q: {{ input }} ||| {{ answer }}", "Q: a fig", " fruit"),
        ("Q: {{ input }}|||{{ answer }}", "Q: a fig", " fruit"),
        ("{{ input }}\n   ||| {{ answer }}", "a fig\n", "fruit"),
        ("{{ input }} is ||| a {{ answer }}.", "a fig is", " a fruit."),
        ("{{ task }}/{{ instruction }} {{ input | upper }} ||| {{ answer }}", "toy/Say what it is. A FIG", " fruit"),
        ("{{ options | join(' or ') }}? {{ input }} ||| {{ answer }}", "fruit or tool? a fig", " fruit"),
        (
            "{% for o in options %}{{ letters[loop.index0] }}) {{ o }}{% if not loop.last %}, {% endif %}{% endfor %}"
            " {{ input }} ||| {{ answer }}",
            "A) fruit, B) tool a fig",
            " fruit",
        ),
    ],
)
def test_a_template_gives_question_and_answer(template, question, answer):
    form = of(template)
    assert texts(form.branch(DEMO.hidden(), "fruit")) == [question, answer]
    assert texts(form.demonstration(DEMO)) == [question, answer + "\n\n"]
    assert form.question(DEMO.hidden()).text == question


def test_a_channel_template_scores_the_question():
    segments = of("Q: {{ input }} ||| A {{ answer }}", channel=True).branch(DEMO.hidden(), "tool")
    assert [(s.text, s.scored) for s in segments] == [("A tool\n", False), (" Q: a fig", True)]


def test_free_text_ends_with_its_line_and_is_read_back_without_the_template():
    form = of("{{ input }} ||| it is {{ answer }}.", text_task())
    e = Example("repeat fig", "fig")
    assert texts(form.branch(e, form.targets(e)[0])) == ["repeat fig", " it is fig.\n"]
    assert form.read("it is fig.") == form.read(" it is fig. ") == form.read("fig") == "fig"


def test_letters_go_into_the_choices_of_a_template_or_are_refused():
    form = of("{{ choices }}\n{{ input }} ||| {{ answer }}", choices="letters")
    assert texts(form.branch(DEMO.hidden(), "tool")) == ["A. fruit\nB. tool\na fig", " B"]
    with pytest.raises(UserError, match=r"template mine does not show the options; .*choices .* letters"):
        of("{{ input }} ||| {{ answer }}", choices="letters")


def test_letters_of_a_template_reach_beyond_z():
    many = Example("a fig", "o27", tuple(f"o{i}" for i in range(28)))
    (question, _) = texts(of("{{ letters | join(' ') }} {{ input }} ||| {{ answer }}").branch(many, "o27"))
    assert question.startswith("A B C ") and question.endswith(" Z AA AB a fig")


def test_templates_see_the_words_of_labels():
    form = of("{{ options | join('/') }} {{ input }} ||| {{ answer }}", verbalizer={"fruit": "food"})
    assert texts(form.branch(DEMO.hidden(), "fruit")) == ["food/tool a fig", " food"]


def test_what_an_example_says_is_text_and_no_template():
    evil = Example("{{ 7 * 7 }}{% for x in y %} ||| {{ answer }}", "fruit", DEMO.options)
    assert of("{{ input }} ||| {{ answer }}").question(evil).text == evil.input


def test_one_template_is_drawn_by_seed_and_task_alone():
    def drawn(seed, name="toy", order=1):
        templates = dict(list(GENERAL.items())[::order])
        return PromptFormat(templates=templates, seed=seed).of(toy_task(name)).bound.template.name

    assert {drawn(s) for s in range(40)} == {drawn(0, f"toy{i}") for i in range(40)} == set(GENERAL)
    assert [drawn(s) for s in range(9)] == [drawn(s, order=-1) for s in range(9)]


def test_a_named_template_is_taken_and_a_tasks_own_come_first():
    templates = {"a": "A {{ input }} ||| {{ answer }}", "toy": {"b": "B {{ input }} ||| {{ answer }}"}}
    assert PromptFormat(templates=templates).of(TASK).bound.template.name == "b"
    assert PromptFormat(templates=templates, template="a").of(choice_task()).bound.template.name == "a"
    with pytest.raises(UserError, match=r"no template 'a' for task toy. Known: b"):
        PromptFormat(templates=templates, template="a").of(TASK)
    with pytest.raises(UserError, match="no template '' for task choice"):
        PromptFormat(templates={"toy": templates["toy"]}).of(choice_task())


@pytest.mark.parametrize("name", sorted(GENERAL))
@pytest.mark.parametrize("task", [toy_task(), choice_task(), text_task()], ids=lambda t: t.name)
def test_the_general_templates_go_with_every_form(name, task):
    form = PromptFormat(templates=GENERAL, template=name).of(task)
    e = task.examples("train")[0]
    text = "".join(texts(form.demonstration(e)))
    assert e.input in text and text.endswith(f"{e.output}\n\n")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ input }}", r"template mine: a template must have \|\|\| once; found 0"),
        ("{{ input }} ||| {{ answer }} ||| x", "once; found 2"),
        ("{{ input ||| {{ answer }}", "template mine, line 1: the template cannot be read"),
        ("a\nb\n{% if input %} ||| {{ answer }}", "template mine, line 3: the template cannot be read"),
        ("a\nb ||| \n{{ answer }", "template mine, line 3: the template cannot be read"),
        ("{{ inputt }} ||| {{ answer }}", "unknown variable 'inputt'. Did you mean input"),
        ("{{ answer }} ||| {{ answer }}", "unknown variable 'answer'"),
        ("{{ input }} ||| {{ input }}", "unknown variable 'input'"),
        ("{{ input }} ||| yes", "must be written once"),
        ("{{ input }} ||| {{ answer }} {{ answer }}", "must be written once"),
        ("{{ input }} ||| {{ answer | upper }}", "must be written once"),
        ("{{ input }} ||| a\n{{ answer }}", "on one line"),
        ("{{ input.__class__ }} ||| {{ answer }}", "may not use the attribute __class__"),
        ("{{ ''['__class__'] }}{{ input }} ||| {{ answer }}", "fails"),
        ("{{ input | attr('__class__') }} ||| {{ answer }}", "may not use the filter attr"),
        ("{{ input | center(1000000000) }} ||| {{ answer }}", "may not use the filter center"),
        ("{{ 'x' * 10000000000 }} ||| {{ answer }}", r"may not use \*"),
        ("{{ 9 ** 999999999 }} ||| {{ answer }}", r"may not use \*\*"),
        ("{{ '%9999999999d' % 1 }} ||| {{ answer }}", "may not use %"),
        ("{{ input.format(1) }} ||| {{ answer }}", "may not use"),
        ("{{ range(9) }} ||| {{ answer }}", "may not use calls"),
        ("{% set a = input ~ input %}{{ a }} ||| {{ answer }}", "may not use assign"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }} ||| {{ answer }}", "may not use"),
        ("{% include 'x' %} ||| {{ answer }}", "may not use include"),
        ("{% import 'os' as os %} ||| {{ answer }}", "may not use import"),
        ("{% for c in input %}{{ input }}{% endfor %} ||| {{ answer }}", "a loop of another kind"),
        ("{% for o in options %}{% for p in options %}{% endfor %}{% endfor %} ||| {{ answer }}", "a loop of another"),
        ("{% for o in options recursive %}{{ loop(o) }}{% endfor %} ||| {{ answer }}", "may not use"),
        ("{% for options in options %}{% endfor %} ||| {{ answer }}", "as the name of a loop's item"),
        ("{{ options[9] }}{{ input }} ||| {{ answer }}", "the template fails"),
        ("{{ input + 1 }} ||| {{ answer }}", "the template fails: TypeError"),
        ("(" * 30000 + " ||| {{ answer }}", "too long"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }} ||| {{ answer }}", "the template cannot be read"),
    ],
)
def test_what_a_template_may_not_be_is_one_error_before_it_is_run(monkeypatch, template, message):
    with pytest.raises(UserError, match=message):
        of(template).question(DEMO)
    if not any(words in message for words in ("fails", "must be written once", "on one line")):
        # refused as a text: nothing of it has run, so it cannot take long
        monkeypatch.setattr(jinja2.Template, "render", lambda *given, **named: pytest.fail("the template was run"))
        compile_template.cache_clear()
        with pytest.raises(UserError, match=message):
            of(template)


@examples(300)
@given(st.text("{}%|#-. ()[]'~+*input|answeroptnsfi\n", max_size=80) | st.text(max_size=40))
def test_any_text_is_a_template_or_one_error(text):
    try:
        form = of(f"{text} ||| {{{{ answer }}}}")
        question = form.question(DEMO).text
    except UserError:
        return
    assert isinstance(question, str)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="{}|#%"), min_size=1, max_size=40))
def test_a_text_without_signs_of_a_template_is_shown_as_it_stands(text):
    shown = of(f"{text} {{{{ input }}}}. ||| {{{{ answer }}}}").question(DEMO).text
    assert shown == f"{text} {DEMO.input}."


def test_compiling_is_kept():
    assert compile_template("a", "{{ input }} ||| {{ answer }}") is compile_template(
        "a", "{{ input }} ||| {{ answer }}"
    )
