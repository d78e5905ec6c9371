"""What the service tells a new SIP worker. A file of its own: the service must not import what needs pjsua2."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from voicebot.core.sip_accounts import Account


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message to a worker, as JSON."""

    address: str = "127.0.0.1"
    """To bind RTP to; empty: all."""
    public_address: str = ""
    """To write into SDP, where it is another."""
    rtp_port: int = 0
    """First port for RTP; 0: any."""
    capacity: int = 4
    """Calls wanted; the build may allow fewer."""
    media_lost_s: float = 15.0
    """A call whose far end sends neither RTP nor RTCP for this long is over; not while it is held."""
    srtp: str = "off"
    """For calls through the door; an account has its own (see `core.sip_accounts`)."""
    accounts: tuple[Account, ...] = ()
    """To register, and to call out with. A worker that has some takes no calls from the door."""
    dials: bool = False
    """Whether it also calls out without an account."""
    register_s: int = 300
    """How long a registration is asked to stand."""
    retry_s: int = 30
    """A registrar that failed is asked again after this long."""
    answer_s: float = 8.0
    """For its first answer; then the next one is asked as well."""
    back_s: float = 30.0
    """One that comes back must stand for this long before it is used again."""
    log_level: int = 0
    """PJSIP's; 0: errors only, and to nobody."""

    @property
    def facts(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Setup:
        """From JSON."""
        own = (Account(**each | {"backups": tuple(each["backups"])}) for each in facts["accounts"])
        return cls(**facts | {"accounts": tuple(own)})
