"""A first look in the terminal: type demonstrations, then queries. `metaicl try` calls it."""

from __future__ import annotations

from collections.abc import Callable

from scipy.special import softmax

from metaicl.inference.config import TryRun
from metaicl.inference.explanation import explained
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.opening import MethodSource
from metaicl.inference.support import labels_of, query_of, support_of, with_labels
from task_suites.core.errors import UserError, counted
from task_suites.example import Example

ARROW = "=>"
WIDTH = 30  # characters of a full bar
HELP = f"One demonstration a line: INPUT {ARROW} ANSWER. An empty line ends them."
ASK = f"Now queries, one a line. INPUT {ARROW} ANSWER adds a demonstration, '? QUERY' explains, an empty line ends."


def run_session(config: TryRun, read: Callable[[str], str], say: Callable[[str], None]) -> None:
    """Talk until there is an empty line or the end of the input.

    Args:
        read: returns one line of input, given what is shown before it; raises `EOFError` at the end.
        say: shows a text.

    Raises:
        UserError: demonstrations are missing, or the method cannot learn from them.
    """
    say(HELP)
    rows: list[dict[str, str]] = []
    while line := _line(read, f"{len(rows) + 1}: "):
        try:
            rows.append(_demonstration(line))
        except UserError as error:
            say(str(error))
    if not rows:
        raise UserError("no demonstrations are given", expected=f"lines of the form INPUT {ARROW} ANSWER")
    fitted = _fitted(config, rows, say)
    say(ASK)
    while line := _line(read, "> "):
        try:
            if line.startswith("?"):
                say(str(explained(fitted, _query(fitted, line[1:].strip()))))
            elif line.startswith("+") or ARROW in line:
                more = [*rows, _demonstration(line.removeprefix("+"))]
                fitted, rows = _fitted(config, more, say, fitted), more
                say(f"{counted(len(rows), 'demonstration')} now.")
            else:
                say(_answered(fitted, line))
        except UserError as error:
            say(str(error))


def _line(read: Callable[[str], str], shown: str) -> str:
    try:
        return read(shown).strip()
    except EOFError:
        return ""


def _demonstration(line: str) -> dict[str, str]:
    text, arrow, answer = line.rpartition(ARROW)
    if not arrow or not text.strip() or not answer.strip():
        raise UserError("this is not a demonstration", found=line[:60], expected=f"INPUT {ARROW} ANSWER")
    return {"input": text.strip(), "output": answer.strip()}


def _fitted(
    config: TryRun, rows: list[dict[str, str]], say: Callable[[str], None], before: FittedMethod | None = None
) -> FittedMethod:
    """Return what answers from the demonstrations so far, and say what they are taken for where it is not plain."""
    support = support_of([(f"demonstration {i}", row) for i, row in enumerate(rows, 1)], "the demonstrations")
    labels, note = labels_of(support, "the demonstrations")
    if note:
        say(note)
    support = with_labels(support, labels)
    source = MethodSource.chosen(config.model or None, support[0].form, config.method, config.instruction)
    return FittedMethod(source, support, labels, config.instruction, before)


def _query(fitted: FittedMethod, text: str) -> Example:
    return query_of({"input": text}, fitted.support[0], fitted.labels, "the query")


def _answered(fitted: FittedMethod, text: str) -> str:
    (answer,) = fitted.answers([_query(fitted, text)])
    if answer.scores is None:
        return str(answer.text)
    shares = softmax(answer.scores)
    rows = sorted(zip(shares.tolist(), fitted.labels, strict=True), reverse=True)
    width = max(map(len, fitted.labels))
    return "\n".join(f"{name:{width}} {share:4.0%} {'█' * round(WIDTH * share)}" for share, name in rows)
