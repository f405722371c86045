"""What a person says of samples that a language model makes: of what, by which model, and for how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from overnight.base.errors import UserMistake
from overnight.campaigns.ports import COHERENCE, GROUNDEDNESS
from overnight.llm.budget import Budget, Price
from overnight.llm.wire import Endpoint

Check = Literal["python", "none"]
TOPIC = "{topic}"
RUBRIC: Mapping[str, str] = {
    GROUNDEDNESS: "1 where the answer answers this question, and all that it states is true or follows from the "
    "question; 0 where it answers another question, or makes things up",
    COHERENCE: "1 where the answer is whole, in order and easy to follow; 0 where it breaks off or contradicts itself",
}
SYSTEM = (
    "You write training examples. Each is correct, stands on its own, and differs from those that others would write."
)
_PROMPTS: Mapping[Check, str] = {
    "python": "Write a programming exercise in Python on this topic: {topic}\n\nquestion: the exercise, with the name "
    "and the signature of what is to be written. answer: how it is solved, in words, without code. code: the solution, "
    "with the standard library alone. tests: statements that assert at least five different things of it, edge cases "
    "among them; they follow the code in the same file.",
    "none": "Write a question on this topic, and its answer: {topic}",
}


@dataclass(frozen=True, kw_only=True)
class LlmSettings:
    """What the samples are made of. A cell is a topic.

    `prompt` names the topic as {topic}. `check`: "python" executes the code of each sample with its tests; "none"
    leaves all to the judge. `rubric` says what 0 and 1 mean of each term that the judge measures; without one there is
    no judge. Prices are US dollars for a million tokens; those of another judge are its own. `licence` is that of what
    the model writes, as its provider says.
    """

    base_url: str
    model: str
    topics: Sequence[str]
    api_key: str | None = field(default=None, repr=False)
    check: Check = "python"
    prompt: str | None = None
    system: str = SYSTEM
    max_tokens: int = 2048
    temperature: float = 1.0
    licence: str = "unknown"
    rubric: Mapping[str, str] = field(default_factory=lambda: RUBRIC)
    judge_model: str | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    price_in_usd: float | None = None
    price_out_usd: float | None = None
    judge_price_in_usd: float | None = None
    judge_price_out_usd: float | None = None
    most_in_flight: int = 8
    timeout_s: float = 120.0
    stream: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is sent.

        Raises:
            UserMistake: a setting is wrong; the message names it.
        """
        _check_texts(self)
        _check_numbers(self)
        if self.check not in get_args(Check):
            raise UserMistake(f"check: {self.check!r} is not one of {', '.join(get_args(Check))}")
        for term in self.rubric:
            if term not in RUBRIC:
                raise UserMistake(f"rubric.{term}: a judge can only measure {', '.join(RUBRIC)}")
        if self.check == "none" and not self.rubric:
            raise UserMistake("rubric: with check = 'none' the judge is all that looks at a sample; it needs a rubric")
        self.endpoint, self.budget, self.prices  # noqa: B018 -- they refuse what they cannot be made of

    @property
    def judge(self) -> str:
        """The model that judges."""
        return self.judge_model or self.model

    @property
    def endpoint(self) -> Endpoint:
        """Where both models answer."""
        return Endpoint(base_url=self.base_url, api_key=self.api_key, timeout_s=self.timeout_s, stream=self.stream)

    @property
    def budget(self) -> Budget:
        """What may be spent in all."""
        return Budget(tokens=self.budget_tokens, usd=self.budget_usd)

    @property
    def prices(self) -> dict[str, Price]:
        """The price of each model that has one.

        Raises:
            UserMistake: there is a budget in money, and a model without a price.
        """
        told = {
            self.judge: ("judge_price", self.judge_price_in_usd, self.judge_price_out_usd),
            self.model: ("price", self.price_in_usd, self.price_out_usd),
        }
        found = {}
        for model, (name, price_in, price_out) in told.items():
            if price_in is not None and price_out is not None:
                found[model] = Price(in_usd=price_in, out_usd=price_out)
            elif self.budget_usd is not None and (model == self.model or self.rubric):
                raise UserMistake(f"budget_usd: it needs {name}_in_usd and {name}_out_usd, the price of {model!r}")
        return found

    def asks(self, topic: str) -> str:
        """Return what the model is asked for."""
        return (self.prompt or _PROMPTS[self.check]).replace(TOPIC, topic)


def _check_texts(settings: LlmSettings) -> None:
    if not settings.model.strip():
        raise UserMistake("model: it is empty")
    if not settings.topics or isinstance(settings.topics, str):
        raise UserMistake("topics: at least one is needed, as a list of texts")
    for topic in settings.topics:
        if not topic.strip() or not topic.isprintable():
            raise UserMistake(f"topics: {topic!r} is not a line of text")
    if len(set(settings.topics)) < len(settings.topics):
        raise UserMistake("topics: one of them is there twice")
    if settings.prompt is not None and TOPIC not in settings.prompt:
        raise UserMistake(f"prompt: it does not hold {TOPIC}, so that all topics would be the same")


def _check_numbers(settings: LlmSettings) -> None:
    ranges: Mapping[str, tuple[float, float]] = {
        "max_tokens": (1, 1_000_000),
        "temperature": (0, 2),
        "most_in_flight": (1, 1000),
    }
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if not least <= value <= most:
            raise UserMistake(f"{name}: {value!r} is not from {least:g} to {most:g}")
