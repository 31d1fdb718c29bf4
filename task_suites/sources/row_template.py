"""Jinja templates over the fields of a row (`{{premise}} so {{hypothesis}}`), which come with data and are not trusted.

They run in Jinja's sandbox, without globals, macros, imports or attributes that begin with an underscore. What the
sandbox leaves open is bounded here: loops take `MAX_TURNS` turns in all, no text grows beyond `MAX_TEXT`, and what
could grow or hang otherwise (padding, powers, regular expressions) is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, wraps
from typing import Any

from task_suites.core.errors import UserError

MAX_SOURCE = 20_000  # characters of a template
MAX_TEXT = 1_000_000  # characters of a text that a template makes
MAX_TURNS = 100_000  # turns of all loops of one rendering
MAX_NUMBER = 10**15
_METHODS = """
capitalize casefold count endswith find get index isdigit items join keys lower lstrip replace removeprefix removesuffix
rstrip split splitlines startswith strip title upper values
"""
_FILTERS = """
abs capitalize count d default dictsort escape first float int items last length list lower map max min reject
rejectattr reverse round safe select selectattr sort string title tojson trim unique upper wordcount
"""
METHODS = frozenset(_METHODS.split())
FILTERS = frozenset(_FILTERS.split())
_REFUSED = ("AssignBlock", "Block", "CallBlock", "Extends", "FilterBlock", "FromImport", "Import", "Include", "Macro")


def is_template(text: str) -> bool:
    """Return whether a text is a template and not a field's name."""
    return "{{" in text or "{%" in text


def render(source: str, row: Mapping[str, Any], where: object) -> str:
    """Return the template's text for one row.

    Raises:
        UserError: the template is not a template, does what it may not, names a field that the row lacks, fails on the
            row, or makes too much text.
    """
    template, environment = _compiled(source)
    if isinstance(template, str):
        raise UserError(template, where=where, found=repr(source[:80]))
    environment.turns = 0
    parts, length = [], 0
    try:
        for part in template.generate(dict(row)):
            length += len(part)
            if length > MAX_TEXT:
                raise _TooMuch
            parts.append(part)
    except _TooMuch:
        found = repr(source[:80])
        expected = f"at most {MAX_TEXT} characters and {MAX_TURNS} turns of loops"
        raise UserError("the template writes too much text", where=where, found=found, expected=expected) from None
    except Exception as error:  # jinja passes on whatever an expression raises
        raise UserError(f"the template fails: {str(error)[:200]}", where=where, found=repr(source[:80])) from None
    return "".join(parts)


class _TooMuch(Exception):
    pass


@cache
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("+", "*", "**", "%", "//"))  # type: ignore[assignment]
        turns = 0

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "+" and _sized(left) and _sized(right):
                return _short(left, len(left) + len(right)) + right
            numbers = all(isinstance(side, (int, float)) and abs(side) < MAX_NUMBER for side in (left, right))
            if operator == "**" or not numbers:
                raise SecurityError(f"{operator} on {type(left).__name__} and {type(right).__name__}")
            return super().call_binop(context, operator, left, right)

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            allowed = attr in METHODS or not callable(value)
            return allowed and super().is_safe_attribute(obj, attr, value)

        def wrap_str_format(self, value: Any) -> Any:
            if super().wrap_str_format(value) is not None:
                raise SecurityError("format can pad without end")
            return None

        def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
            name, text = getattr(function, "__name__", ""), getattr(function, "__self__", None)
            if name == "replace":
                return _replace(text, *args, **kwargs)
            if name == "join":
                return _join(args[0], text) if len(args) == 1 and not kwargs else None
            return super().call(context, function, *args, **kwargs)

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, optimized=False, finalize=_weighed)
    environment.globals.clear()
    known = environment.filters
    environment.filters = {name: _careful(known[name]) for name in FILTERS}
    environment.filters.update(
        join=_careful(_join), replace=_careful(_replace), _turns=_counted(environment), _concat=_careful(_join)
    )
    return environment


@cache
def _compiled(source: str) -> tuple[Any, Any]:
    """Return (the template, or what is wrong with it; its environment)."""
    from jinja2 import TemplateError, nodes

    environment = _environment()
    if len(source) > MAX_SOURCE:
        return f"the template is longer than {MAX_SOURCE} characters", environment
    try:
        tree = environment.parse(source)
        for node in list(tree.find_all(nodes.Node)):
            kind = type(node).__name__
            if kind in _REFUSED or getattr(node, "recursive", False):
                return f"a template may not use {kind.lower()}", environment
            if isinstance(node, nodes.Filter) and (node.name is None or node.name.startswith("_")):
                return f"no filter named {node.name!r}", environment
            literal = (nodes.List, nodes.Tuple, nodes.Dict)  # set after set, they would double
            if isinstance(node, nodes.Assign) and (isinstance(node.node, literal) or any(node.node.find_all(literal))):
                return "a template may not set a list", environment
        _bounded(tree)
        return environment.from_string(tree), environment
    except (TemplateError, RecursionError, SyntaxError, MemoryError, ValueError, OverflowError) as error:
        return f"the template cannot be read ({str(error)[:120] or type(error).__name__})", environment


def _bounded(node: Any) -> None:
    """Count the turns of loops and the length of `~` in the tree, by filters put around them."""
    from jinja2 import nodes

    for name, value in node.iter_fields():
        below = value if isinstance(value, list) else [value]
        for item in below:
            if isinstance(item, nodes.Node):
                _bounded(item)
        changed = [
            nodes.Filter(nodes.List(item.nodes), "_concat", [], [], None, None, lineno=item.lineno)
            if isinstance(item, nodes.Concat)
            else item
            for item in below
        ]
        setattr(node, name, changed if isinstance(value, list) else changed[0])
    if isinstance(node, nodes.For):
        node.iter = nodes.Filter(node.iter, "_turns", [], [], None, None, lineno=node.lineno)


def _counted(environment: Any) -> Any:
    def turns(values: Iterable[Any]) -> list[Any]:
        items = list(values)
        environment.turns += len(items)
        if environment.turns > MAX_TURNS:
            raise _TooMuch
        return items

    return turns


def _sized(value: Any) -> bool:
    return isinstance(value, str) or _listed(value)


def _short(value: Any, length: int) -> Any:
    if length > MAX_TEXT:
        raise _TooMuch
    return value


def _careful(function: Any) -> Any:
    """Return the filter, which looks at nothing that would be too long as text."""

    @wraps(function)  # keeps the mark by which Jinja passes the environment
    def call(*values: Any, **named: Any) -> Any:
        for value in (*values, *named.values()):
            _weighed(value)
        return function(*values, **named)

    return call


def _weighed(value: Any) -> Any:
    """Return the value, which has at most `MAX_TEXT` characters and items; repeated parts count each time."""
    weight, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        weight += len(item) if isinstance(item, (str, list, tuple, dict)) else 1
        if weight > MAX_TEXT:
            raise _TooMuch
        waiting.extend([*item, *item.values()] if isinstance(item, dict) else item if _listed(item) else ())
    return value


def _listed(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _join(value: Iterable[Any], d: Any = "", attribute: str | None = None) -> str:
    texts = [str(v if attribute is None else v[attribute]) for v in value]
    _short(None, sum(map(len, texts)) + len(str(d)) * len(texts))
    return str(d).join(texts)


def _replace(s: Any, old: Any, new: Any, count: int = -1) -> str:
    text, old, new = str(s), str(old), str(new)
    _short(None, len(text) + (text.count(old) if count is None or count < 0 else count) * len(new))
    return text.replace(old, new, -1 if count is None else count)


def fields_of(source: str) -> Iterator[str]:
    """Yield the names of fields that a template reads."""
    from jinja2 import TemplateError, meta

    try:
        yield from sorted(meta.find_undeclared_variables(_environment().parse(source)))
    except (TemplateError, RecursionError, ValueError):
        return  # `render` says what is wrong
