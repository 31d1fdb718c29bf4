"""Chat templates of the kinds that models have."""

from __future__ import annotations

CHATML = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
GREETING = "{% if messages[0].role != 'system' %}<|start|>system\nBe kind.<|end|>\n{% endif %}" + CHATML
TRIMMING = CHATML.replace("m.content", "m.content | trim")
INSIDE = (  # the instruction within the first turn; no sign for an answer; an end token after each
    "<s>{% if messages[0].role == 'system' %}{% set s = '<<' + messages[0].content + '>> ' %}"
    "{% set rest = messages[1:] %}{% else %}{% set s = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}"
    "{% if m.role == 'user' %}[INST] {{ s if loop.first }}{{ m.content }} [/INST]{% else %} {{ m.content }}</s>"
    "{% endif %}{% endfor %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ fail('no system role') }}{% endif %}" + CHATML
LATE_SYSTEM = (  # before the last input, so that it moves with every turn
    "{% for m in messages %}{% if m.role == 'user' %}{% if loop.last or (loop.nextitem is defined and loop.index == "
    "messages | length - 1) %}{% if messages[0].role == 'system' %}{{ messages[0].content }} {% endif %}{% endif %}"
    "U: {{ m.content }}\n{% elif m.role == 'assistant' %}A: {{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A: {% endif %}"
)
THINKING = (  # the last answer is written in another way than earlier ones
    "{% for m in messages %}<{{ m.role }}>{% if loop.last and m.role == 'assistant' %}(thought){% endif %}"
    "{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
SOUND = {
    "chatml": CHATML,
    "greeting": GREETING,
    "trimming": TRIMMING,
    "inside": INSIDE,
    "no system": NO_SYSTEM,
    "late system": LATE_SYSTEM,
    "thinking": THINKING,
}
