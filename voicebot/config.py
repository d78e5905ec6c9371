"""Settings: flags over environment (`VOICEBOT_…`) over `.env` over these defaults."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting of the service; `voicebot settings` prints them, secrets masked."""

    model_config = SettingsConfigDict(env_prefix="VOICEBOT_", env_file=".env", extra="ignore", populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address to listen on. The default is reachable from this machine only.")
    port: int = Field(8080, ge=0, le=65535, description="Port for web page, web hooks and media streams.")
    public_url: str = Field(
        "", description="https URL at which Twilio reaches this service; signatures are checked against it."
    )
    data_dir: Path = Field(Path("data"), description="Recordings, timelines, call list, caches.")
    models_dir: Path = Field(
        default_factory=lambda data: data["data_dir"] / "models",
        description="Models that `voicebot models get` fetched.",
    )
    dialplans: Path = Field(Path("dialplans"), description="Folder of dialplans, or one file.")
    default_dialplan: str = Field(
        "frontdesk", description="Dialplan for a call that no dialplan's `takes` matches; empty to refuse it."
    )

    twilio_account_sid: str = Field("", description="Twilio account SID (AC…).")
    twilio_auth_token: SecretStr = Field(
        SecretStr(""), description="Twilio auth token; without it the Twilio routes refuse every request."
    )

    twilio_api_url: str = Field("https://api.twilio.com", description="Twilio's REST API; a region's edge or a double.")

    sip_host: str = Field("127.0.0.1", description="Address to take SIP on. The default is reachable from here only.")
    sip_port: int = Field(5060, ge=0, le=65535, description="UDP port for SIP; 0 switches it off.")
    sip_workers: int = Field(1, ge=0, le=64, description="SIP processes; 0 switches SIP off.")
    sip_calls_per_worker: int = Field(
        4, ge=1, le=100, description="Calls of one SIP process; the pjsua2 that is installed may allow fewer."
    )
    sip_allow: str = Field(
        "127.0.0.0/8,::1", description="Addresses and networks that may call over SIP; all others are refused."
    )
    sip_public_address: str = Field(
        "", description="This machine's address as SIP phones see it, where that is not VOICEBOT_SIP_HOST."
    )
    sip_rtp_port: int = Field(
        0, ge=0, le=65000, description="First UDP port for RTP, the next hundred for each process; 0: any."
    )

    sip_srtp: str = Field(
        "off", pattern="^(off|optional|required)$", description="SRTP for calls in: off, optional or required."
    )
    sip_accounts: SecretStr = Field(
        SecretStr(""),
        description="Accounts to register with and to call out with: sip:user:password@host, several apart by spaces.",
    )

    console_token: SecretStr = Field(
        SecretStr(""),
        description="Token for the web page and call list. Needed unless the service listens on loopback only.",
    )
    workers: int = Field(1, ge=1, description="Processes that carry calls, one for each core to be used.")
    max_calls: int = Field(200, ge=1, description="Calls at once; a call over it is refused as busy.")
    late_ms: int = Field(
        20, ge=0, description="Lateness (p90 over 2 s) or a core nearly used up from which calls are refused; 0: never."
    )
    max_calls_per_caller: int = Field(5, ge=1, description="Calls at once from one number.")
    drain_seconds: int = Field(600, ge=0, description="On SIGTERM, how long calls may go on before a polite goodbye.")
    record: bool = Field(True, description="Write stereo recordings.")
    retention_days: int = Field(30, ge=0, description="Days to keep recordings and timelines; 0 keeps them for ever.")

    vad: str = Field("silero", description="Voice activity: silero (webrtc where it cannot run) or webrtc.")
    eot_model: str = Field("", description="End-of-turn model (ONNX, smart-turn v3's format) that joins the vote.")
    asr_workers: int = Field(1, ge=1, description="Recogniser processes.")
    tts_workers: int = Field(1, ge=1, description="Synthesiser processes.")

    openai_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("VOICEBOT_OPENAI_API_KEY", "OPENAI_API_KEY"),
        description="Switches on OpenAI's engines: the streaming LLM, and recogniser and voice where a dialplan asks.",
    )
    openai_base_url: str = Field(
        "",
        validation_alias=AliasChoices("VOICEBOT_OPENAI_BASE_URL", "OPENAI_BASE_URL"),
        description="Any OpenAI-compatible server instead.",
    )
    openai_model: str = Field("gpt-4.1-mini", description="Chat model of the LLM engine.")
    openai_asr_base_url: str = Field("", description="… for the recogniser, where it is another server.")
    openai_asr_model: str = Field("gpt-transcribe", description="Transcription model of the recogniser `openai`.")
    openai_tts_base_url: str = Field("", description="… for the voice, where it is another server.")
    openai_tts_model: str = Field("gpt-4o-mini-tts", description="Speech model of the voice `openai`.")

    log_format: str = Field(
        "auto", pattern="^(auto|console|json)$", description="console, json, or auto (console on a terminal)."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least severe level to log.")

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("must start with https:// (http:// for a test on this machine)")
        return url.rstrip("/")

    @field_validator("sip_allow")
    @classmethod
    def _sip_allow(cls, text: str) -> str:
        for each in text.replace(",", " ").split():
            ipaddress.ip_network(each, strict=False)
        return text

    @property
    def sip_on(self) -> bool:
        """Whether SIP is wanted at all."""
        return self.sip_port > 0 and self.sip_workers > 0

    @property
    def loopback(self) -> bool:
        """Whether the service can be reached from this machine only."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")
