"""Jinja templates of a question and its answer, several for a task, one of them drawn by name.

    {{ input }}\\nWhat is the mood? ||| {{ answer }}

Left of the bars is the question, right of them the answer as it is scored, generated and read back (after promptsource,
Bach et al. 2022, arXiv 2202.01279); one blank stands between them, or none after a line break. Templates come with data
and are not trusted: they run in Jinja's sandbox, and only what cannot take long or grow is let in at all: variables,
`if`, `for` over the options, a few filters.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.task import Task

BARS = "|||"
VARIABLES = ("input", "options", "letters", "choices", "instruction", "task")
FILTERS = ("capitalize", "default", "first", "join", "last", "length", "lower", "title", "trim", "upper")
_NODES = (  # kinds of expressions and statements
    *("Template", "Output", "TemplateData", "Name", "Const", "List", "Tuple", "Slice", "Keyword", "Getitem", "Getattr"),
    *(
        "If",
        "For",
        "CondExpr",
        "Compare",
        "Operand",
        "And",
        "Or",
        "Not",
        "Filter",
        "Test",
        "Concat",
        "Add",
        "Sub",
        "Neg",
    ),
)
_LONGEST = 20_000  # characters of a template
_MARK = "Marked {{ aNSWER }}"

# Wordings that go with any task, for runs that draw one a task.
GENERAL: dict[str, str] = {
    "question": "Question: {{ input }}\nAnswer: ||| {{ answer }}",
    "input-output": "Input: {{ input }}\nOutput: ||| {{ answer }}",
    "arrow": "{{ input }} -> ||| {{ answer }}",
    "told": "{% if instruction %}{{ instruction }}\n{% endif %}Text: {{ input }}\nAnswer: ||| {{ answer }}",
    "choose": "{{ input }}\n{% if options %}Options: {{ options | join(', ') }}\n{% endif %}Choice: ||| {{ answer }}",
}


@dataclass(frozen=True)
class Template:
    """A compiled template.

    Attributes:
        name: the template's name.
        prefix: what stands before the answer in its part.
        suffix: what stands after it.
        uses: the variables of the question.
    """

    name: str
    prefix: str
    suffix: str
    uses: frozenset[str]
    _question: Any

    def question(self, **values: Any) -> str:
        """Return the question with the values of `VARIABLES`.

        Raises:
            UserError: the template fails on these values.
        """
        try:
            return str(self._question.render(values)).rstrip(" ")
        except Exception as error:  # jinja passes on whatever an expression raises
            raise UserError(
                f"the template fails: {type(error).__name__}: {error}", where=f"template {self.name}"
            ) from None

    def answer(self, text: str) -> str:
        """Return the answer's part of a prompt."""
        return f"{self.prefix}{text}{self.suffix}"

    def read(self, text: str) -> str:
        """Return the answer in a generated answer's part."""
        text = text.strip().removeprefix(self.prefix.strip())
        return text.removesuffix(self.suffix.strip()).strip()


@lru_cache(maxsize=1024)
def compile_template(name: str, source: str) -> Template:
    """Return a template from its text.

    Raises:
        UserError: with the line: wrong syntax, an unknown variable, something that templates may not do, or an answer
            that is not written once and as it is.
    """
    where = f"template {name}"
    if len(source) > _LONGEST:
        raise UserError(
            "the template is too long", where=where, found=f"{len(source)} characters", expected=str(_LONGEST)
        )
    left, bars, right = source.partition(BARS)
    if not bars or BARS in right:
        raise UserError(
            f"a template must have {BARS} once",
            where=where,
            found=source.count(BARS),
            expected=f"question {BARS} {{{{ answer }}}}",
        )
    question, uses = _compiled(left, VARIABLES, where, 1)
    answer, _ = _compiled(right.strip(" "), ("answer",), where, 1 + left.count("\n"))
    try:
        written = answer.render(answer=_MARK)
    except Exception as error:
        raise UserError(f"the template fails: {type(error).__name__}: {error}", where=where) from None
    prefix, found, suffix = written.partition(_MARK)
    if not found or _MARK in suffix or "\n" in written:
        raise UserError(
            f"right of {BARS}, the answer must be written once, unchanged and on one line",
            where=where,
            found=repr(right.strip()[:80]),
            expected="{{ answer }}",
        )
    return Template(name, prefix, suffix, frozenset(uses), question)


def choose_template(templates: Mapping[str, Any], name: str, task: Task, seed: int) -> Template:
    """Return the named template, or one drawn by (seed, task): from those under the task's name, else from those for
    all.

    Raises:
        UserError: no such template, or it does not compile.
    """
    mine = templates.get(task.name)
    general = {n: text for n, text in templates.items() if isinstance(text, str)}
    known = dict(mine) if isinstance(mine, Mapping) else general
    if not known or (name and name not in known):
        fix = nearest(name, known) if known else "Give some for all tasks, or some under the task's name."
        raise UserError(f"no template {name!r} for task {task.name}", where="format.templates", fix=fix)
    drawn = name or random.Random(f"{seed}/{task.name}/template").choice(sorted(known))
    if not isinstance(known[drawn], str):
        raise UserError(f"template {drawn} is not text", where="format.templates", found=repr(known[drawn])[:60])
    return compile_template(drawn, known[drawn])


def _compiled(source: str, known: tuple[str, ...], where: str, line: int) -> tuple[Any, set[str]]:
    """Return (the compiled half of a template whose text begins on `line`, the variables that it uses)."""
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.globals.clear()

    def at(number: int | None) -> str:
        return f"{where}, line {(number or 1) + line - 1}"

    try:
        tree = environment.parse(source)
        for node in tree.find_all(nodes.Node):
            if refused := _refused(node):
                raise UserError(
                    f"a template may not use {refused}",
                    where=at(node.lineno),
                    expected=f"variables, if, for over options or letters, and the filters {', '.join(FILTERS)}",
                )
        uses = set(meta.find_undeclared_variables(tree))
        if unknown := sorted(uses - set(known)):
            raise UserError(f"unknown variable {unknown[0]!r}", where=where, fix=nearest(unknown[0], known))
        return environment.from_string(source), uses
    except TemplateSyntaxError as error:
        raise UserError(f"the template cannot be read: {error.message}", where=at(error.lineno)) from None
    except (TemplateError, RecursionError, SyntaxError, MemoryError, ValueError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"the template cannot be read: {type(error).__name__}: {error}", where=where) from None


def _refused(node: Any) -> str | None:
    """Return what a node of a template does that templates may not do; None for what they may."""
    from jinja2 import nodes

    kind = type(node).__name__
    if kind not in _NODES:
        return {"Mul": "*", "Pow": "**", "Mod": "%", "Call": "calls"}.get(kind, kind.lower())
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"the filter {node.name}"
    if isinstance(node, nodes.Getattr) and not (isinstance(node.node, nodes.Name) and node.node.name == "loop"):
        return f"the attribute {node.attr}"
    if isinstance(node, nodes.For):
        over = isinstance(node.iter, nodes.Name) and node.iter.name in ("options", "letters")
        if node.recursive or not over or any(node.find_all(nodes.For)):
            return "a loop of another kind"
        if isinstance(node.target, nodes.Name) and node.target.name in (*VARIABLES, "answer"):
            return f"{node.target.name} as the name of a loop's item"
    return None
