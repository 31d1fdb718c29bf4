"""A tokenizer's chat template as segments: they are what the template gives, and what cannot be cut is refused."""

from __future__ import annotations

import jinja2
import pytest
from chat_templates import CHATML, INSIDE, SOUND
from hypothesis import given
from hypothesis import strategies as st
from toys import text_task, toy_task

from examples import examples
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.chat import cut_chat
from task_suites.formats.prompt_format import PromptFormat, preset

TASK = toy_task()
texts = st.text(min_size=1).map(str.strip).filter(bool)


def renderer(template: str):
    def fail(message):
        raise ValueError(message)

    compiled = jinja2.Environment().from_string(template, {"fail": fail})

    def render(conversation, *, tokenize, add_generation_prompt):
        assert tokenize is False
        return compiled.render(messages=conversation, add_generation_prompt=add_generation_prompt)

    return render


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize("name", SOUND)
@examples(30)
@given(st.lists(st.tuples(texts, st.sampled_from(["fruit", "tool"])), max_size=4), texts, st.booleans())
def test_the_segments_together_are_what_the_template_gives(name, demos, query, instruction):
    render = renderer(SOUND[name])
    form = PromptFormat(chat=True, instruction=instruction).of(TASK, render)
    shown = [Example(text, answer, TASK.labels) for text, answer in demos]
    segments = [*form.opening(TASK), *(s for e in shown for s in form.demonstration(e))]
    segments += form.branch(Example(query, None, TASK.labels), "tool")
    turns = [m for e in shown for m in (message("user", e.input), message("assistant", e.output))]
    turns.append(message("user", query))
    if instruction and name in ("no system", "late system"):  # the instruction begins the first input
        turns[0] = message("user", f"{TASK.instruction}\n\n{turns[0]['content']}")
    elif instruction:
        turns.insert(0, message("system", TASK.instruction))
    asked = render(turns, tokenize=False, add_generation_prompt=True)
    lead = " " if name == "inside" else ""  # what this one writes before an answer
    assert "".join(s.text for s in segments) == f"{asked}{lead}tool"


def test_a_blank_before_answers_belongs_to_the_answer():
    form = preset("chat").of(TASK, renderer(INSIDE))
    e = Example("a fig", "fruit", TASK.labels)
    assert [s.text for s in form.demonstration(e)] == ["a fig [/INST]", " fruit</s>", "[INST] "]
    assert [s.text for s in form.branch(e.hidden(), "tool")] == ["a fig [/INST]", " tool"]


def test_an_answers_end_is_supervised_with_it_and_the_next_turn_is_not():
    form = preset("chat").of(TASK, renderer(CHATML))
    e = Example("a fig", "fruit", TASK.labels)
    assert [(s.role, s.text, s.scored) for s in form.demonstration(e)] == [
        ("demo_input", "a fig<|end|>\n<|start|>assistant\n", False),
        ("demo_output", "fruit<|end|>\n", True),
        ("demo_input", "<|start|>user\n", False),
    ]
    assert [(s.role, s.text, s.scored) for s in form.branch(e.hidden(), "tool")] == [
        ("query", "a fig<|end|>\n<|start|>assistant\n", False),
        ("option", "tool", True),
    ]


def test_free_text_ends_as_a_turn_does_and_is_read_up_to_there():
    task = text_task()
    form = preset("chat").of(task, renderer(CHATML))
    e = Example("repeat fig", "fig")
    assert form.branch(e, form.targets(e)[0])[1].text == "fig<|end|>\n"
    assert form.read("fig<|end|>") == form.read("fig") == "fig"


def test_a_chat_goes_with_letters_templates_and_words():
    form = preset("chat", choices="letters", verbalizer={"tool": "thing"}).of(TASK, renderer(CHATML))
    branch = form.branch(Example(" a fig ", None, TASK.labels), "tool")
    assert branch[0].text.startswith("a fig \nA. fruit\nB. thing<|end|>") and branch[1].text == "B"
    form = preset("chat", templates={"x": "Q: {{ input }}\n ||| It is {{ answer }}."}).of(TASK, renderer(CHATML))
    branch = form.branch(Example("a fig", None, TASK.labels), "tool")
    assert branch[0].text.startswith("Q: a fig<|end|>") and branch[1].text == "It is tool."


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (CHATML.replace("m.content", "m.content | upper"), "a message is left out, repeated or changed"),
        (CHATML.replace("m.content", "m.content | e"), "a message is left out, repeated or changed"),
        (CHATML.replace("m.content", "m.content.split() | join(' ')"), "a message is left out"),
        (CHATML.replace("in messages", "in messages | reverse"), "another order"),
        (CHATML.replace("in messages", "in messages[-2:]"), "a message is left out"),
        (CHATML.replace("<|start|>", "{{ loop.index }}", 1), "its turns are not alike"),
        (CHATML.replace("<|start|>", "{{ messages | length }}", 1), "demonstrations are not the pieces of two"),
        (CHATML + "{{ messages[0].content }}", "repeated"),
        ("{{ fail('never\nused') }}", "it says: never used"),
    ],
)
@pytest.mark.parametrize("instruction", [False, True])
def test_a_template_that_cannot_be_cut_is_refused(template, reason, instruction):
    with pytest.raises(UserError, match=f"cannot be cut.*{reason}"):
        cut_chat(renderer(template), instruction)


def test_a_chat_without_a_template_is_refused():
    with pytest.raises(UserError, match="a chat format needs a tokenizer's chat template"):
        preset("chat").of(TASK)
    with pytest.raises(UserError, match="it gives a list"):
        cut_chat(lambda conversation, **_: [1], False)


def test_a_tokenizer_without_a_chat_template_says_so():
    from metaicl.lm.tiny import tiny_tokenizer

    with pytest.raises(UserError, match=r"the tokenizer has no chat template. Set format.chat to false"):
        preset("chat").of(TASK, tiny_tokenizer().apply_chat_template)
