"""What the service tells a new SIP worker. A file of its own: the service must not import what needs pjsua2."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


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
    log_level: int = 0
    """PJSIP's; 0: errors only, and to nobody."""

    @property
    def facts(self) -> dict[str, object]:
        return dataclasses.asdict(self)
