"""What `voicebot doctor` looks at. Each check is a function that returns findings; none leaves anything behind."""

from __future__ import annotations

import errno
import importlib.util
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Literal

from voicebot.call.stack import lack
from voicebot.commands import settings as listing
from voicebot.config import Settings
from voicebot.core import dialplan, interpreting
from voicebot.core.dialplan import Dialplan
from voicebot.core.responders import CASCADE, may_be_native
from voicebot.core.sip_accounts import NUMBER, accounts
from voicebot.engines import models, registry
from voicebot.errors import DialplanError, UsageError
from voicebot.service.sip import lacking
from voicebot.service.sip_outward import NO_ACCOUNT

LOW_DISK_BYTES = 1_000_000_000
"""About nine hours of stereo recording."""
_STAGES = {
    "vad": "voice activity", "eot": "end of turn", "asr": "recogniser", "llm": "agent", "tts": "voice",
    "s2s": "speech to speech", "mt": "text translator",
}  # fmt: skip
_PACKAGES = (
    ("espeakng-loader", "espeakng_loader"),
    ("pocketsphinx", "pocketsphinx"),
    ("onnxruntime", "onnxruntime"),
    ("silero-vad", "silero_vad"),
    ("webrtcvad-wheels", "webrtcvad"),
    ("pjsua2-python", "pjsua2"),
)
Stage = Literal["asr", "llm", "tts", "s2s"]
STAGES: tuple[Stage, ...] = ("asr", "llm", "tts")


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Something is missing or could be better; the service starts without it."""
    FAULT = "fault"
    """The service cannot start."""


@dataclass(frozen=True, slots=True)
class Finding:
    topic: str
    name: str
    verdict: Verdict
    detail: str


def everything() -> list[Finding]:
    """Every finding, grouped by topic. Settings that cannot be read are the last thing there is to say."""
    found = [*python(), *packages()]
    try:
        settings = listing.load()
    except UsageError as error:
        return [*found, Finding("settings", "values", Verdict.FAULT, str(error))]
    found += [Finding("settings", "unknown", Verdict.NOTE, fault) for fault in listing.unknown()]
    found += [*engines(settings), *models_here(), *dialplans(settings)]
    return [*found, *carriers(settings), *place(settings)]


def python() -> Iterator[Finding]:
    """The interpreter."""
    verdict = Verdict.OK if sys.version_info >= (3, 11) else Verdict.FAULT
    yield Finding("python", platform.python_version(), verdict, f"{sys.executable} on {platform.platform()}")


def packages() -> Iterator[Finding]:
    """The packages behind the embedded engines, and behind SIP."""
    for package, module in _PACKAGES:
        if importlib.util.find_spec(module) is None:
            yield Finding("packages", package, Verdict.NOTE, "not installed; see the engines and carriers below")
        else:
            yield Finding("packages", package, Verdict.OK, metadata.version(package))


def engines(settings: Settings) -> Iterator[Finding]:
    """Every engine of every stage. Only a voice activity engine that was asked for and cannot run is a fault here:
    of the others a dialplan needs one a stage, and says so itself."""
    for stage, topic in _STAGES.items():
        for name in registry.names(stage):
            missing = lack(settings, stage, name)
            terms = "" if missing else registry.licence(stage, name)
            able = f"can run here; {terms}" if terms else "can run here"
            yield Finding(topic, name, Verdict.OK if missing is None else Verdict.NOTE, missing or able)
    if settings.vad not in registry.names("vad"):
        names = ", ".join(registry.names("vad"))
        yield Finding(_STAGES["vad"], settings.vad, Verdict.FAULT, f"VOICEBOT_VAD names no engine; use one of: {names}")


def models_here() -> Iterator[Finding]:
    """Models that were fetched; that there is none is no news: the embedded engines need none."""
    root = models.folder()
    for name, model in models.known().items():
        if models.present(model, root):
            yield Finding("models", name, Verdict.OK, f"{model.about} ({model.licence})")
        elif any((root / (file.path + ".part")).exists() for file in model.files):
            yield Finding("models", name, Verdict.NOTE, f"half fetched; go on with voicebot models get {name}")


def dialplans(settings: Settings) -> Iterator[Finding]:
    """Every dialplan: valid, with an engine for each stage. No usable one is a fault."""
    path, usable = settings.dialplans, set[str]()
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path] if path.exists() else []
    for file in files:
        try:
            plan = dialplan.parse(file.read_text("utf-8"), str(file))
        except (DialplanError, OSError, UnicodeDecodeError) as error:
            yield Finding("dialplans", file.name, Verdict.NOTE, str(error))
            continue
        chains = {stage: _chain(settings, plan, stage) for stage in STAGES}
        if missing := [stage for stage, (able, _) in chains.items() if not able]:
            yield Finding(
                "dialplans", file.name, Verdict.NOTE, f"no engine of its can run here for: {', '.join(missing)}"
            )
            continue
        if plan.mode == "interpret" and not _interpreters(settings, plan):
            yield Finding("dialplans", file.name, Verdict.NOTE, "none of its interpreters can run here")
            continue
        if may_be_native(plan.engines):
            chains["s2s"] = _chain(settings, plan, "s2s")
        usable.add(plan.name)
        detail = f"{plan.name}: {plan.description} ({'; '.join(_in_words(*each) for each in chains.items())})"
        yield Finding("dialplans", file.name, Verdict.OK, detail)
        if cold := _made_cold(settings, plan):
            yield Finding("dialplans", f"{file.name}: transfers", Verdict.NOTE, cold)
    if not usable:
        yield Finding("dialplans", str(path), Verdict.FAULT, "no dialplan here can be used; set VOICEBOT_DIALPLANS")
    elif settings.default_dialplan and settings.default_dialplan not in usable:
        detail = (
            f"VOICEBOT_DEFAULT_DIALPLAN is not among {', '.join(sorted(usable))}; calls that match none are refused"
        )
        yield Finding("dialplans", settings.default_dialplan, Verdict.NOTE, detail)


def _chain(settings: Settings, plan: Dialplan, stage: Stage) -> tuple[list[str], list[str]]:
    """(the dialplan's engines that can run here, those that cannot), in its order."""
    names: tuple[str, ...] = getattr(plan.engines, "native" if stage == "s2s" else stage)
    known = registry.names(stage)
    able = [n for n in names if n.partition(":")[0] in known and lack(settings, stage, n, plan) is None]
    return able, [n for n in names if n not in able]


def _interpreters(settings: Settings, plan: Dialplan) -> list[str]:
    """Of an interpreted call's, those that can run here; the cascade needs a text translator."""
    told = interpreting.spec(plan)

    def able(stage: str, name: str) -> bool:
        return name.partition(":")[0] in registry.names(stage) and lack(settings, stage, name) is None

    texts = any(able("mt", name) for name in told.text)
    return [name for name in told.by if (texts if name == CASCADE else able("s2s", name))]


def _made_cold(settings: Settings, plan: Dialplan) -> str:
    """Which warm transfers are cold for callers of Twilio's, and why: those whom we cannot call ourselves. Empty where
    there are none. (A caller who came over SIP brings an exchange, at which a number is an address.)"""
    warm = {name: each.to for name, each in plan.transfers.items() if each.kind == "warm"}
    if not warm or not (settings.twilio_account_sid and settings.twilio_auth_token.get_secret_value()):
        return ""
    if why := lacking(settings):
        why = f"the service has no SIP: {why}"
    elif not accounts(settings.sip_accounts.get_secret_value()):
        warm = {name: to for name, to in warm.items() if NUMBER.fullmatch(to)}
        why = f"{NO_ACCOUNT}."
    else:
        return ""
    return f"{', '.join(warm)}: warm, but cold for calls through Twilio: {why}" if warm else ""


def _in_words(stage: str, chain: tuple[list[str], list[str]]) -> str:
    """As `llm openai, then scripted`, or `llm scripted, without openai`."""
    able, unable = chain
    return f"{stage} {', then '.join(able) or 'none'}" + (f", without {', '.join(unable)}" if unable else "")


def carriers(settings: Settings) -> Iterator[Finding]:
    """What can bring a call."""
    yield Finding("carriers", "recordings", Verdict.OK, "voicebot call FILE.wav")
    if settings.loopback:
        yield Finding("carriers", "browser", Verdict.OK, f"http://{settings.host}:{settings.port}/ from this machine")
    elif settings.console_token.get_secret_value():
        yield Finding("carriers", "browser", Verdict.OK, "open to other machines, with VOICEBOT_CONSOLE_TOKEN")
    else:
        detail = f"VOICEBOT_HOST={settings.host} is open to other machines: set VOICEBOT_CONSOLE_TOKEN"
        yield Finding("carriers", "browser", Verdict.FAULT, detail)
    yield _sip(settings)
    lacks = _twilio_lacks(settings)
    detail = "; ".join(lacks) or "signatures are checked against " + settings.public_url
    yield Finding("carriers", "twilio", Verdict.NOTE if lacks else Verdict.OK, detail)


def _sip(settings: Settings) -> Finding:
    """Never a fault: the service starts without SIP and says the same."""
    where = f"{settings.sip_host}:{settings.sip_port}"
    if lack := lacking(settings):
        return Finding("carriers", "sip", Verdict.NOTE, lack)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((settings.sip_host, settings.sip_port))
    except OSError as error:
        why = f"UDP {where} cannot be had: {(error.strerror or str(error)).lower()}; set VOICEBOT_SIP_PORT"
        return Finding("carriers", "sip", Verdict.NOTE, why)
    return Finding("carriers", "sip", Verdict.OK, f"sip:{where}, from {settings.sip_allow}")


def _twilio_lacks(settings: Settings) -> list[str]:
    lacks = []
    if not settings.twilio_auth_token.get_secret_value():
        lacks.append("set VOICEBOT_TWILIO_AUTH_TOKEN, or every request of Twilio's is refused")
    if not settings.twilio_account_sid:
        lacks.append("set VOICEBOT_TWILIO_ACCOUNT_SID, to configure numbers, transfer and hang up")
    if not settings.public_url:
        lacks.append("set VOICEBOT_PUBLIC_URL, the https address at which Twilio reaches this service")
    elif not settings.public_url.startswith("https://"):
        lacks.append("VOICEBOT_PUBLIC_URL must be https: Twilio opens media streams over TLS only")
    return lacks


def place(settings: Settings) -> Iterator[Finding]:
    """Where it runs: the data folder, the disk under it, the port."""
    yield _data_dir(settings.data_dir)
    free = shutil.disk_usage(_existing(settings.data_dir)).free
    verdict = Verdict.OK if free >= LOW_DISK_BYTES else Verdict.NOTE
    yield Finding("place", "disk", verdict, f"{free / 1e9:.1f} GB free; an hour of calls takes 0.12 GB")
    yield _port(settings.host, settings.port)


def _data_dir(folder: Path) -> Finding:
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        why = f"{place} cannot be written: {error.strerror}. Set VOICEBOT_DATA_DIR."
        return Finding("place", "data folder", Verdict.FAULT, why)
    return Finding("place", "data folder", Verdict.OK, f"{folder.absolute()} can be written")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: the service makes what is missing."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def _port(host: str, port: int) -> Finding:
    name = f"port {port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"taken on {host}; is the service running already? Else set VOICEBOT_PORT."
        else:
            why = f"cannot listen on {host}: {error.strerror or error}. Set VOICEBOT_HOST or VOICEBOT_PORT."
        return Finding("place", name, Verdict.FAULT, why)
    return Finding("place", name, Verdict.OK, f"free on {host}")
