"""What a language model is told must be what the caller heard."""

from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.conversation import CUT, MOST_MESSAGES, Conversation
from voicebot.core.dialogue import ToolCall

LOOK = ToolCall("1", "look", {})


def told(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation.messages()]


def test_pieces_of_a_reply_are_one_message() -> None:
    conversation = Conversation()
    conversation.heard("hello")
    conversation.said("Good ")
    conversation.said("morning.")
    assert [("user", "hello"), ("assistant", "Good morning.")] == told(conversation)


def test_what_was_heard_may_end_behind_a_tool() -> None:
    conversation = Conversation()
    conversation.heard("where")
    conversation.said("Let me look. ")
    conversation.called([LOOK])
    conversation.result("1", "room four")
    conversation.said("In room four, upstairs.")
    conversation.committed("Let me look. In room", complete=False)
    assert ["where", "Let me look. ", "room four", "In room—"] == [text for _, text in told(conversation)]


def test_a_tool_call_stays_when_nothing_of_its_reply_was_heard() -> None:
    conversation = Conversation()
    conversation.heard("where")
    conversation.said("Let me look. ")
    conversation.called([LOOK])
    conversation.committed("", complete=False)
    conversation.heard("hello?")
    assert ["user", "assistant", "tool", "user"] == [role for role, _ in told(conversation)]


def test_a_result_stands_behind_its_call_even_when_it_comes_late() -> None:
    conversation = Conversation()
    conversation.heard("where")
    conversation.called([LOOK, ToolCall("2", "look", {})])
    conversation.result("2", "two")
    conversation.heard("and")
    conversation.result("3", "nobody asked")
    assert [("tool", "two"), ("tool", told(conversation)[3][1])] == told(conversation)[2:4]


HEARD = st.text(alphabet="ab .\n", max_size=30)


@given(st.lists(HEARD, max_size=6), st.integers(0, 100), st.booleans())
def test_committed_text_is_a_prefix_of_what_was_said(pieces: list[str], characters: int, tool: bool) -> None:
    conversation = Conversation()
    conversation.heard("go")
    for at, piece in enumerate(pieces):
        conversation.said(piece)
        if tool and at == 1:
            conversation.called([LOOK])
    generated = "".join(pieces)
    conversation.committed(generated[:characters], complete=False)
    kept = "".join(text for role, text in told(conversation) if role == "assistant").replace(CUT, "")
    dense = "".join(generated.split())
    assert dense.startswith("".join(kept.split()))
    assert len("".join(kept.split())) == len("".join(generated[:characters].split()))


STEPS = st.lists(
    st.sampled_from(["heard", "nothing", "said", "called", "result", "cut", "complete"]), max_size=400
) | st.integers(0, 300).map(lambda n: ["heard", "called"] * n)


@given(STEPS)
def test_every_request_is_one_that_a_server_accepts(steps: list[str]) -> None:
    """Whatever happened: bounded, no empty message, each result behind its call, each call with a result."""
    conversation = Conversation()
    for at, step in enumerate(steps):
        match step:
            case "heard":
                conversation.heard(f"caller {at}")
            case "nothing":
                conversation.heard()
            case "said":
                conversation.said(f"bot {at} ")
            case "called" if not conversation.waiting():
                conversation.called([ToolCall(f"{at}a", "look", {}), ToolCall(f"{at}b", "look", {})])
            case "result" if waiting := conversation.waiting():
                conversation.result(waiting[-1].call_id, "done")
            case "cut":
                conversation.committed("bot", complete=False)
            case _:
                conversation.committed("", complete=True)
    conversation.heard("last")
    messages = conversation.messages()
    assert len(messages) <= MOST_MESSAGES + 1
    open_calls: list[str] = []
    for message in messages:
        if message.role == "tool":
            open_calls.remove(message.call_id)
            continue
        assert not open_calls
        assert message.text.strip() or message.calls
        open_calls = [call.call_id for call in message.calls]
    assert not open_calls
    assert "last" == messages[-1].text.rpartition("\n")[2]
