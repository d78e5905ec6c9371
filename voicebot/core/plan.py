"""The schema of a dialplan: frozen pydantic models, one for each idea. `core.dialplan` reads and checks one.

Texts that are said may hold `{slot}` and `[optional parts]`: a bracket is left out when a slot in it is empty,
and `[with {milk} and {sugar} | with {milk}]` takes the first alternative whose slots are all filled.
Phrases that are heard use the notation of `core.expect`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from voicebot.core.plan_base import Bandwidth, Name, Phrases, Says, Switch
from voicebot.core.plan_base import Model as Model
from voicebot.core.plan_talk import Tone as Tone
from voicebot.core.plan_talk import Turns as Turns


class Takes(Model):
    """Which calls this dialplan takes. All that are given must match; patterns may end in `*`."""

    numbers: Says = ()
    """Called numbers (E.164) or SIP users."""
    callers: Says = ()
    headers: dict[str, Says] = Field(default_factory=dict)
    """`X-Queue: sales`: headers of a SIP call, as the exchange in front sends them. `*` for any value."""
    hours: Says = ()
    """`mon-fri 08:00-18:00`, in `timezone`; outside them another dialplan may take the call."""


class Persona(Model):
    name: str = ""
    style: str = ""
    """For a language model: how it speaks."""


Responders = Annotated[
    Annotated[str, Tag("one")] | Annotated[dict[str, Annotated[int, Field(ge=0, le=1000)]], Tag("split")],
    Discriminator(lambda value: "split" if isinstance(value, Mapping) else "one"),
]


class Engines(Model):
    responder: Responders = "cascade"
    """`cascade`: recogniser, agent and voice. `native`: the first of `native` that can. Or one of `native` by name.
    With weights, `{cascade: 1, native: 1}`, calls are split between them, each by its id."""
    native: Says = ("openai_realtime",)
    """Speech-to-speech engines, in order; when none can go on, the cascade does."""
    asr: Says = ("pocketsphinx",)
    llm: Says = ("openai", "scripted")
    """In order; one that cannot run here (no key) is passed over, one that fails is replaced by the next.
    `openai:backup` is another `openai`, with options of its own."""
    tts: Says = ("espeak",)
    voice: str = ""
    """Of the first of `tts`; the others have theirs among their options."""
    bandwidth: Bandwidth = "auto"
    """What recognisers of wide-band speech hear above 4 kHz, where the line ends: nothing (`off`), the band below
    turned over (`classical`), what a small network takes to have been there (`neural`), or what was measured to be best
    for the engine (`auto`). An engine may have its own `bandwidth` among its options, and so for the next two."""
    level: Switch = "auto"
    """Whether recognisers hear soft voices louder and loud ones softer."""
    noise: Switch = "auto"
    """Whether recognisers hear the line with its noise suppressed (`voicebot[noise]`)."""
    gaps: bool = True
    """Whether recognisers hear the voice go on where packets were lost, rather than the last packet again, fading."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By engine: `tts_openai` or, where no other stage has it, `openai`."""


class Limits(Model):
    max_call_s: Annotated[int, Field(ge=10, le=14400)] = 1800
    silence_s: Annotated[int, Field(ge=2, le=7)] = 7
    """Silence after a question before the bot asks again."""
    reprompts: Annotated[int, Field(ge=0, le=5)] = 2
    """How often the bot asks again before it gives up on a question."""


class Interpret(Model):
    """An interpreted call: whoever calls speaks `language`, the other side `to`. See `core.interpreting`."""

    to: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    """BCP 47."""
    call: str = ""
    """The other side: E.164 number or `sip:` address, which the service calls; `browser`: an agent, who opens the page
    and calls the same dialplan. Empty: there is none, and the caller hears the translation."""
    by: Says = ("cascade",)
    """Interpreters, in order: `cascade` (recogniser, text translator, voice), or native engines such as
    `translatotron`."""
    back: Says = ()
    """… from `to` to `language`; left out, the same ones."""
    text: Says = ("openai",)
    """The cascade's text translators, in order."""
    theirs: Engines | None = None
    """Recogniser and voice for the other side, where they are not those of `engines`."""
    original: Literal["off", "ducked"] = "off"
    """Whether each also hears the other's own voice, softly."""
    pause_ms: Annotated[int, Field(ge=240, le=3000)] = 500
    """A silence that ends what is to be translated."""


class Sentences(Model):
    """Fixed sentences, synthesised before the first call."""

    one_moment: str = "One moment, please."
    waiting: str = "Sure, take your time."
    """To a caller who says "wait"."""
    still_here: str = "I'm still here."
    """… when the moment grows long."""
    welcome_back: str = "Welcome back."
    """To a caller who had put us on hold."""
    sorry: str = "I'm sorry, something went wrong on my side. Could you say that again?"
    trouble: str = "I'm sorry, I am having trouble just now. Please call again later. Goodbye."
    putting_through: str = "I'm sorry, I am having trouble just now. I'm putting you through to somebody."
    """Instead of `trouble`, where there is an operator."""
    still_there: Says = (
        "Are you still there?",
        "I can't hear you. Please say something, or press a key.",
    )
    goodbye: str = "Thank you for calling. Goodbye."
    busy: str = "I'm sorry, all lines are busy. Please call again later."
    still_trying: str = "I'm still trying to reach somebody for you."
    """Now and then, to a caller who is being put through."""
    unreached: str = "I'm sorry, nobody could take your call."
    """… and was not."""
    take_call: str = "Press one to take the call, two to leave it to me."
    """After a transfer's briefing."""

    def named(self, name: str) -> str:
        """The sentence of that name; its first variant. A text that is no name is itself."""
        text = getattr(self, name, name) if name in Sentences.model_fields else name
        return str(text[0]) if isinstance(text, tuple) else str(text)


class Term(Model):
    """A name or a piece of jargon, keyed by how it is spelled."""

    said: str = ""
    """How the voice should say it, spelled as it sounds: `shi vawn`."""
    heard: Phrases = ()
    """What a recogniser makes of it: `[shiv on, chevron]`."""


class Transfer(Model):
    to: str
    """E.164 number or `sip:` address. The flow names the transfer, never the number."""
    say: Says = ("One moment, I'm putting you through.",)
    kind: Literal["cold", "warm"] = "cold"
    """`cold`: the caller is handed over. `warm`: we call them first, say `briefing`, and join the two when they press
    1; with 2, or without an answer, the caller stays here. Warm calls go out over SIP, whatever the caller came by."""
    briefing: Says = ("{persona} has a caller for you.",)
    """Of a warm one; may name slots. A language model says it in its own words."""
    unreached: Says = ()
    """To a caller whom nobody took; `sentences.unreached` when left out."""
    on_failure: str = ""
    """Node to go on with then; without one, where the caller was before."""


class HttpTool(Model):
    kind: Literal["http"]
    description: str = ""
    url: str = Field(pattern=r"^https?://")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    deadline_s: Annotated[float, Field(ge=0.1, le=8.0)] = 5.0
    args: dict[str, Argument] = Field(default_factory=dict)


class NoteTool(Model):
    """Written down for the people who work there: a message, an order, an appointment asked for."""

    kind: Literal["note"]
    description: str = ""
    deadline_s: Annotated[float, Field(ge=0.1, le=8.0)] = 5.0
    args: dict[str, Argument] = Field(default_factory=dict)


class Argument(Model):
    type: Literal["string", "integer", "number", "boolean"] = "string"
    description: str = ""
    enum: tuple[str, ...] = ()
    required: bool = False


Tool = Annotated[HttpTool | NoteTool, Field(discriminator="kind")]

# --- actions: one model each, one `case` each in `core.flow` -----------------------------------------------


class Say(Model):
    say: Says
    interruptible: bool = True


class Goto(Model):
    goto: str
    """Name of a node."""


class UseTool(Model):
    tool: str
    args: dict[str, str] = Field(default_factory=dict)
    """Argument to text, usually `"{slot}"`."""
    failed: str = ""
    """Node to go to when it fails; without one the bot says that it is sorry and goes on."""


class PutThrough(Model):
    transfer: str
    """Name of a transfer, or `"{slot}"` whose every value is one."""


class HangUp(Model):
    hang_up: Says
    """The last words; `sentences.goodbye` when left empty."""


class TakeMessage(Model):
    """Ask, let the caller speak freely, write it down with a `note` tool as its argument `text`."""

    take_message: Says
    """What to say before the caller speaks."""
    tool: str
    args: dict[str, str] = Field(default_factory=dict)


class Forget(Model):
    forget: Says
    """Slots to empty; `all` empties every one."""


class Decide(Model):
    """`if: open`, `if: closed` (by `hours`), `if: size` (the slot is filled), `if: size = large`."""

    when: str = Field(alias="if")
    then: Actions
    otherwise: Actions = Field((), alias="else")


ACTIONS: dict[str, type[Model]] = {
    "say": Say,
    "goto": Goto,
    "tool": UseTool,
    "transfer": PutThrough,
    "hang_up": HangUp,
    "take_message": TakeMessage,
    "forget": Forget,
    "if": Decide,
}


def _action(value: Any) -> str | None:
    """Which action a mapping is: the key that names it."""
    if isinstance(value, Mapping):
        keys = [key for key in ("take_message", *ACTIONS) if key in value]
        return keys[0] if keys else None
    return next((name for name, model in ACTIONS.items() if isinstance(value, model)), None)


def _spread(value: Any) -> Any:
    """`- hang_up` alone is `- hang_up: ""`; one action needs no list."""
    items = [value] if isinstance(value, Mapping | str) else value
    if not isinstance(items, list | tuple):
        return items
    return [{"hang_up": ""} if item == "hang_up" else item for item in items]


Action = Annotated[
    Annotated[Say, Tag("say")]
    | Annotated[Goto, Tag("goto")]
    | Annotated[UseTool, Tag("tool")]
    | Annotated[PutThrough, Tag("transfer")]
    | Annotated[HangUp, Tag("hang_up")]
    | Annotated[TakeMessage, Tag("take_message")]
    | Annotated[Forget, Tag("forget")]
    | Annotated[Decide, Tag("if")],
    Discriminator(_action),
]
Actions = Annotated[tuple[Action, ...], BeforeValidator(_spread)]

# --- nodes ---------------------------------------------------------------------------------------------------


class Intent(Model):
    title: str = ""
    """What it is, after "You'd like": `to book an appointment`. With it, a doubtful one is asked back."""
    examples: Phrases
    do: Actions


class Slot(Model):
    """One thing to find out."""

    type: str = ""
    """A built-in type or one of `types`; left out, the type named like the slot."""
    ask: Says = ()
    reprompts: Says = ()
    help: str = ""
    required: bool = False
    confirm: Literal["auto", "always", "never"] = "auto"
    secret: bool = False
    dtmf: dict[str, str] = Field(default_factory=dict)
    """Key to value, for choices."""
    length: Annotated[int | None, Field(ge=1, le=32)] = None
    min: Annotated[int | None, Field(ge=0)] = None
    max: Annotated[int | None, Field(ge=0)] = None
    """Fewest and most digits of `digits`, least and greatest `number`."""
    past: bool = False
    """A `date` that lies behind us, such as a birthday."""


class Node(Model):
    """Says something, then listens (`intents`, `collect`), then does something."""

    say: Says = ()
    interruptible: bool = True
    barge_in: Literal["full", "keywords", "strict"] | None = None
    min_words: Annotated[int, Field(ge=1, le=8)] | None = None
    help: str = ""
    reprompts: Says = ()
    intents: dict[Name, Intent] = Field(default_factory=dict)
    collect: dict[Name, Slot] = Field(default_factory=dict)
    examples: Phrases = ()
    """For a form: how callers say several slots in one breath."""
    readback: str = ""
    """Said when the form is full, then the caller may agree or change something."""
    dtmf: dict[str, str] = Field(default_factory=dict)
    """Key to an intent of this node, or to a node."""
    do: Actions = ()


Choices = Annotated[
    Annotated[tuple[str, ...], Tag("list")] | Annotated[dict[str, Phrases], Tag("map")],
    Discriminator(lambda value: "map" if isinstance(value, Mapping) else "list"),
]
"""A list of phrases: the value is what was said. A map of value to synonyms: the value is the key."""


class Dialplan(Model):
    """One dialplan, whole."""

    name: Name
    description: str = ""
    language: str = Field("en-US", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    """BCP 47."""
    timezone: str = "UTC"
    takes: Takes = Takes()
    hours: Says = ()
    """When the place is open: `mon-fri 08:00-18:00`."""
    persona: Persona = Persona()
    engines: Engines = Engines()
    turns: Turns = Turns()
    tone: Tone = Tone()
    limits: Limits = Limits()
    sentences: Sentences = Sentences()
    lexicon: dict[str, Term] = Field(default_factory=dict)
    types: dict[Name, Choices] = Field(default_factory=dict)
    tools: dict[Name, Tool] = Field(default_factory=dict)
    transfers: dict[Name, Transfer] = Field(default_factory=dict)
    operator: str = ""
    """The transfer that "operator" and the key 0 reach."""
    mode: Literal["answer", "interpret"] = "answer"
    interpret: Interpret | None = None
    start: str
    nodes: dict[str, Node] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _without_flow(cls, value: Any) -> Any:
        """An interpreter has no flow of its own."""
        if isinstance(value, Mapping) and value.get("mode") == "interpret":
            return {"start": "interpreted", "nodes": {"interpreted": {"do": "hang_up"}}, **value}
        return value

    @property
    def hash(self) -> str:
        """Of the content: the same for the same meaning, whatever the layout of the file. 16 hex digits."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()[:16]


for _model in (HttpTool, NoteTool, Decide, Intent, Node, Dialplan):
    _model.model_rebuild()
