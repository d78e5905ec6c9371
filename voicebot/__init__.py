"""A telephone voicebot service: SIP, Twilio, a browser or a recording in; a conversation out."""

__version__ = "0.1.0"
