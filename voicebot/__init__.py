"""A telephone voicebot service: SIP, Twilio, a browser or a recording in; a conversation out."""

import os

__version__ = "0.1.0"

# onnxruntime would report every model that is loaded to its maker, with an identity of this machine. It looks here
# once, when it is first imported; engines' processes inherit it. Whoever wants to report sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
