"""What everybody says on the telephone, by language: yes, no, help, again, operator; and the bot's own small
sentences around a dialplan's. English now; another language is one more `Manners` in `MANNERS`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manners:
    yes: tuple[str, ...]
    """Phrases, notation of `core.expect`; so are the next ones."""
    no: tuple[str, ...]
    answers: tuple[str, str]
    """One word each for yes and no."""
    help: tuple[str, ...]
    repeat: tuple[str, ...]
    restart: tuple[str, ...]
    operator: tuple[str, ...]
    goodbye: tuple[str, ...]
    wait: tuple[str, ...]
    """Asks for a moment, and for silence meanwhile."""
    hello: tuple[str, ...]
    """Asks whether anybody is there, when it is all that is said."""
    stop_words: tuple[str, ...]
    """Over the bot's voice each of these silences it at once; plain words, no notation."""
    backchannels: tuple[str, ...]
    """Over the bot's voice these say "go on"; plain words, no notation."""
    fillers: frozenset[str]
    """Words without meaning of their own."""
    objections: frozenset[str]
    """With the name of a slot: it is to be asked for again."""

    not_caught: tuple[str, ...]
    explain_yes_no: str
    explain_keys: str
    """With {keys}: `1 for small, 2 for medium`."""
    explain_digits: str
    offer_operator: str
    giving_up: str
    no_operator: str
    general_help: str
    understood: str
    """With {value}: repeats a doubtful value in passing."""
    ask_slot: str
    """With {slot}: for a slot without an `ask`."""
    confirm: tuple[str, ...]
    """With {value}: asks whether it was heard well."""
    confirm_intent: str
    """With {title}."""
    anything_wrong: str
    """After "no" to a read-back."""
    changed: str
    continue_entry: str
    restarted: str
    message_taken: str
    tool_failed: str
    bad_key: str
    ask_year: str
    spell_it: str
    """After a "no" to a name that was heard."""
    key_it_in: str
    """… to a number."""


ENGLISH = Manners(
    yes=(
        "(yes | yeah | yep | yup | yes please | yeah sure | sure | of course | correct | right | exactly)",
        "[yes | yeah | no] (that's | that is | it's | this is) (right | correct | fine | good | great)",
        "[yes | yeah | no] (that's | that is) (perfect | it | all)",
        "[yes | yeah] [all] (sounds | looks) (good | right | great | fine)",
        "(ok | okay | perfect | great | fine | absolutely | definitely | please do | go ahead)",
        "that'll be all",
        "you got it",
        "all (good | right | correct)",
    ),
    no=(
        "(no | nope | nah | no thanks | no thank you | not really | wrong | incorrect)",
        "[no] (that's | that is | it's | this is) (wrong | not right | not correct | not it | incorrect)",
        "[no] not (quite | right | correct | that)",
        "[no] that isn't (right | correct | it)",
        "i don't think so",
    ),
    answers=("yes", "no"),
    help=("help", "help me", "what can i (say | do)", "what are my options", "i need help", "i don't understand"),
    repeat=(
        "repeat",
        "[can you | could you] repeat (that | it)",
        "[can you | could you] say (that | it) again",
        "say again",
        "(pardon | pardon me | sorry | what | what was that | come again)",
        "once (more | again)",
        "i didn't (hear | catch | get) (that | you | it)",
    ),
    restart=("start (over | again)", "start from the beginning", "restart", "begin again", "[go] back to the start"),
    operator=(
        "operator",
        "[the] (receptionist | reception | front desk)",
        "(agent | representative | human)",
        "[i want to | i'd like to | let me | can i | could i] (speak | talk) (to | with) "
        "(a person | somebody | someone | a human | an agent | a representative | the operator | an operator | "
        "the front desk | the receptionist | a real person)",
        "(real person | a human being | a person)",
    ),
    goodbye=("(goodbye | good bye | bye | bye bye)", "hang up"),
    fillers=frozenset(
        "a an the uh um er erm hmm mm ah eh oh well so please thanks thank you just like ok okay hi hello hey "
        "really actually then now would could can i i'd i'll i'm me my to of for is it it's that that's and".split()
    ),
    wait=(
        "[please] (wait | hold on | hang on) [please | a moment | a second | a minute]",
        "[just] (one | a) (moment | second | minute) [please]",
        "(stop | quiet | be quiet)",
        "(let me | i need to) (think | check | look)",
    ),
    hello=("(hello | hi) [hello]", "[hello] (is anybody | is anyone | are you) there", "can you hear me"),
    stop_words=("stop", "wait", "hold on", "hang on", "no"),
    backchannels=(*"uh-huh mhm hmm mm huh aha ah oh uh um okay ok yeah yep right sure".split(), "i see"),
    objections=frozenset(("wrong", "change", "incorrect", "different")),
    not_caught=(
        "Sorry, I didn't catch that.",
        "I'm sorry, I still didn't get that.",
        "I'm having trouble hearing you.",
    ),
    explain_yes_no="Please say yes or no. Or press 1 for yes, 2 for no.",
    explain_keys="You can also press {keys}.",
    explain_digits="You can also key it in and press the hash key.",
    offer_operator="Or press 0 to speak to somebody.",
    giving_up="I'm sorry, we don't seem to get any further.",
    no_operator="I'm sorry, there is nobody here I can put you through to.",
    general_help="Just answer in your own words. Say repeat to hear it again, or start over to begin anew.",
    understood="{value}.",
    ask_slot="What is the {slot}?",
    confirm=("I heard {value}. Is that right?", "That's {value}, yes?"),
    confirm_intent="You'd like {title}. Is that right?",
    anything_wrong="What should I change?",
    changed="Okay.",
    continue_entry="Go on.",
    restarted="Okay, let's start over.",
    message_taken="Thank you, I've noted that.",
    tool_failed="I'm sorry, that didn't work just now.",
    bad_key="That key does nothing here.",
    ask_year="And the year?",
    spell_it="Please spell it for me, letter by letter.",
    key_it_in="Please key it in on your telephone, then press the hash key.",
)

MANNERS: dict[str, Manners] = {"en": ENGLISH}


def of(language: str) -> Manners:
    """Those of a BCP 47 language; English where there are none yet."""
    return MANNERS.get(language.split("-")[0].lower(), ENGLISH)
