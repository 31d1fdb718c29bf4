"""What requests and answers hold, as the OpenAPI page shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(min_length=1)]
Options = dict[str, bool | int | float | str | None]  # of a method


class Strict(BaseModel):
    """A body that refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid")


class Demonstration(Strict):
    """A labelled example: `input` and `output` (with `options` for multiple choice), or `tokens` and `tags`."""

    input: str | None = None
    output: str | None = None
    options: list[str] | None = None
    tokens: list[str] | None = None
    tags: list[str] | None = None

    def row(self) -> dict[str, Any]:
        """Return it as the JSON object of a line in a file of demonstrations."""
        return self.model_dump(exclude_none=True)


class Query(Strict):
    """An example without its answer: `input` (with `options` for multiple choice), or `tokens`."""

    input: str | None = None
    options: list[str] | None = None
    tokens: list[str] | None = None


class NewTask(Strict):
    """A task from demonstrations. Outputs that repeat make a classification; `labels` says which classes there are."""

    demonstrations: list[Demonstration] = Field(min_length=1)
    name: str = ""
    instruction: str = ""
    labels: list[str] | None = None
    method: str | None = None
    options: Options = Field(default_factory=dict)


class MoreDemonstrations(Strict):
    """Demonstrations that a task gets at its end."""

    demonstrations: list[Demonstration] = Field(min_length=1)


class Inputs(Strict):
    """What is to be answered: texts, or objects where there are options or tokens."""

    inputs: list[str | Query] = Field(min_length=1)


class OneInput(Strict):
    """One input."""

    input: str | Query


class Trial(NewTask):
    """A task that is not stored, and inputs for it. The first input's answer is explained where `explain` says so."""

    inputs: list[str | Query] = Field(min_length=1)
    explain: bool = False


class TaskHead(BaseModel):
    """A task without its demonstrations."""

    id: str
    name: str
    method: str | None
    labels: list[str]
    created: float
    demonstrations: int


class TaskBody(BaseModel):
    """A task with its demonstrations."""

    id: str
    name: str
    instruction: str
    method: str | None
    options: Options
    labels: list[str]
    created: float
    demonstrations: list[Demonstration]


class Page(BaseModel):
    """Some of the tasks; `after` the last one's id come the next ones."""

    tasks: list[TaskHead]
    after: str | None


class OneAnswer(BaseModel):
    """An answer, with the softmax of the scores as probabilities where there are options. It has no fitted temperature,
    as `predict_proba` in Python has."""

    answer: str | list[str]
    probabilities: dict[str, float] | None = None


class Answers(BaseModel):
    """The answers in the order of the inputs; `dropped` counts demonstrations that did not fit into the prompt."""

    answers: list[OneAnswer]
    dropped: int = 0


class InfluenceOf(BaseModel):
    """How the log-probability of the answer changes without one demonstration; null: it needs this one."""

    demonstration: int
    change: float | None


class PromptPart(BaseModel):
    """A piece of the prompt."""

    kind: Literal["instruction", "demonstration", "answer", "query"]
    text: str
    demonstration: int | None = None


class Explained(BaseModel):
    """An answer, what each demonstration does for it, and the prompt."""

    answer: str | list[str]
    logprob: float
    demonstrations: list[InfluenceOf]
    prompt: list[PromptPart]


class Tried(Answers):
    """The answers of a task that is not stored."""

    explanation: Explained | None = None


class Methods(BaseModel):
    """The model and the methods that a task may name: none on a trained run, which answers by its own method."""

    model: str
    default: str | None
    methods: list[str]


NEUTRAL: dict[str, tuple[Any, ...]] = {  # keys of other servers, with the values that change no answer
    "best_of": (None, 1),
    "suffix": (None, ""),
    "top_p": (None, 1),
    "top_k": (None, 0, -1),
    "min_p": (None, 0),
    "typical_p": (None, 1),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "logit_bias": (None, {}),
    "use_beam_search": (None, False),
    "guided_json": (None,),
    "guided_regex": (None,),
    "guided_choice": (None,),
    "response_format": (None, {"type": "text"}),
}


class CompletionRequest(BaseModel):
    """A request as OpenAI's completions take it: text or token ids. Keys that would change the answer and are not
    served are refused; others are ignored."""

    prompt: str | list[str] | list[int] | list[list[int]]
    model: str = ""
    max_tokens: int = Field(16, ge=0, le=4096)
    temperature: float = Field(0.0, ge=0, le=10)
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool = False
    stop: str | list[str] | None = None
    seed: int | None = None
    n: Literal[1] = 1
    stream: Literal[False] = False

    @model_validator(mode="before")
    @classmethod
    def refuse_what_is_not_served(cls, given: Any) -> Any:
        """Raise where a key would change the answer that a server gives which knows it."""
        for name, neutral in NEUTRAL.items() if isinstance(given, dict) else ():
            if given.get(name) not in neutral:
                raise ValueError(f"{name} is not served. Leave it out.")
        return given


class CompletionLogprobs(BaseModel):
    """The tokens of a choice, with their log-probabilities and the most likely ones at each position. The first token
    of a prompt has none."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """What follows one prompt."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["length", "stop"]


class CompletionUsage(BaseModel):
    """Numbers of tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """An answer as OpenAI's."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
