"""The prompts of MetaICL's code (Min et al. 2022, arXiv 2110.15943) since January 2022.

    direct     <input>\\n<output>\\n\\n\\n  ...  <input>|\\n<option>
    channel    <output>\\n<input>\\n\\n\\n  ...  <option>|\\n<input>

The direct form is the format's own with the answer sign `\\n` and the separator `\\n\\n\\n`; in the channel form an
input begins without a blank. The line break before the scored text is scored with it (metaicl/lm/prompts.py), as there.
"""

from __future__ import annotations

from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.segments import Segment


class MetaICLFormat(PromptFormat):
    """`PromptFormat` whose inputs in the channel form begin without a blank."""

    def demonstration(self, example: Example) -> list[Segment]:
        return [_without_blank(segment) for segment in super().demonstration(example)]

    def branch(self, query: Example, answer: str) -> list[Segment]:
        return [_without_blank(segment) for segment in super().branch(query, answer)]


def _without_blank(segment: Segment) -> Segment:
    return Segment(segment.role, segment.text.removeprefix(" "), segment.scored)
