"""The error tree. Two leaves say who broke the contract:

* `VoicebotError`
    * `PeerError`: they did (a carrier, an engine, a web hook). The call survives it.
        * `CannotTransfer`: a telephone that does not put callers through; another way may.
    * `UsageError`: we or the operator did (a setting, a dialplan, a file). The text says what to do.
        * `DialplanError`: a fault in a dialplan, with file, line and mend.

A bad message from a carrier is not an error at all: it is the value `Malformed(reason)`.
"""

from __future__ import annotations


class VoicebotError(Exception):
    """Base of everything this package raises on purpose."""


class PeerError(VoicebotError):
    """A peer broke its contract: closed early, timed out, answered with an error.

    `retryable` says whether asking the same peer once more may help.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class CannotTransfer(PeerError):
    """It does not do that at all: nobody was called."""


class UsageError(VoicebotError):
    """We or the operator asked for something that cannot be; one sentence, with what to do."""


class DialplanError(UsageError):
    """A fault in a dialplan: `file:line: what is wrong. What to do.`"""

    def __init__(self, message: str, *, file: str = "", line: int = 0, hint: str = "") -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(f"{place}{message}" + (f" {hint}" if hint else ""))
        self.message, self.file, self.line, self.hint = message, file, line, hint
