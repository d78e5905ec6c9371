"""How PJSIP is set up: endpoint, transports, accounts. Runs in a worker process only (see `sip_phone`)."""

from __future__ import annotations

import ctypes
import ssl
import sys
from typing import Any

import pjsua2 as pj

from voicebot.carriers.base import FRAME_MS, RATE
from voicebot.carriers.sip_setup import Setup
from voicebot.core.sip_accounts import Account

CODECS = ("PCMU/8000/1", "PCMA/8000/1")
DEBIAN_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Python's OpenSSL has a folder of certificates and no file, as in Debian's images: PJSIP takes a file."""
_ERROR_LEVEL = 1


def endpoint_config(setup: Setup) -> Any:
    """No sound card, no echo canceller, a jitter buffer of 20 ms that grows where it must."""
    config = pj.EpConfig()
    ua, media, log = config.uaConfig, config.medConfig, config.logConfig
    ua.threadCnt = 0  # SIP is handled where `turn` is called, and nowhere else
    ua.maxCalls, ua.userAgent = setup.capacity, "voicebot"
    log.level = log.consoleLevel = max(setup.log_level, _ERROR_LEVEL)
    media.clockRate = media.sndClockRate = RATE
    media.channelCount, media.audioFramePtime = 1, FRAME_MS
    media.ecTailLen, media.noVad, media.maxMediaPorts = 0, True, 254
    media.jbInit, media.jbMinPre, media.jbMaxPre, media.jbMax = 20, 20, 120, 300
    return config


def transport(endpoint: Any, kind: str, address: str, public_address: str) -> int:
    """A new one, bound to any port of `address` (empty: of all). `kind`: udp, tcp, tls."""
    config = pj.TransportConfig()
    config.boundAddress, config.publicAddress = address, public_address
    kinds = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
    if kind == "tls":
        config.tlsConfig.verifyServer = True
        config.tlsConfig.CaListFile = ssl.get_default_verify_paths().cafile or DEBIAN_AUTHORITIES
    return int(endpoint.transportCreate(kinds[kind], config))


def door_config(setup: Setup, transport: int) -> Any:
    """The account without a registrar: for calls that the door passes on, and for calls out without an account."""
    config = pj.AccountConfig()
    config.idUri = "sip:voicebot@" + (setup.public_address or setup.address or "127.0.0.1")
    config.sipConfig.transportId = transport
    return _media_config(config, setup, setup.srtp)


def account_config(setup: Setup, account: Account, transport: int, at_once: bool) -> Any:
    """An extension or a trunk: digest, refresh before it runs out, again after a failure. `at_once`: it registers as
    soon as it is made."""
    config = pj.AccountConfig()
    config.idUri = f"sip:{account.user}@{account.domain}"
    config.sipConfig.transportId = transport
    credentials = pj.AuthCredInfo("digest", "*", account.user, pj.PJSIP_CRED_DATA_PLAIN_PASSWD, account.password)
    config.sipConfig.authCreds.push_back(credentials)
    if account.proxy:
        config.sipConfig.proxies.push_back(f"sip:{account.proxy};lr;transport={account.transport}")
    registration = config.regConfig
    if account.register:
        registration.registrarUri = f"sip:{account.domain};transport={account.transport}"
    registration.registerOnAdd, registration.timeoutSec = at_once, setup.register_s
    registration.retryIntervalSec, registration.firstRetryIntervalSec = setup.retry_s, min(2, setup.retry_s)
    registration.randomRetryIntervalSec = min(2, setup.retry_s)
    return _media_config(config, setup, account.srtp)


def _media_config(config: Any, setup: Setup, srtp: str) -> Any:
    config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
    media = config.mediaConfig
    media.transportConfig.boundAddress = setup.address
    media.transportConfig.publicAddress = setup.public_address
    media.transportConfig.port = setup.rtp_port
    media.lockCodecEnabled = False
    uses = {"off": pj.PJMEDIA_SRTP_DISABLED, "optional": pj.PJMEDIA_SRTP_OPTIONAL}
    media.srtpUse = uses.get(srtp, pj.PJMEDIA_SRTP_MANDATORY)
    media.srtpSecureSignaling = 0  # TLS ends in front of us, or on the account's own transport
    return config


def use_codecs(endpoint: Any) -> None:
    """Ours, in our order, and no others."""
    for codec in endpoint.codecEnum2():
        endpoint.codecSetPriority(codec.codecId, 0)
    for rank, name in enumerate(CODECS):
        endpoint.codecSetPriority(name, 255 - rank)


def most_calls() -> int:
    """What the build allows (`PJSUA_MAX_CALLS`), which the binding does not tell; its library does."""
    binary = next(module.__file__ for name, module in sys.modules.items() if name.endswith("_pjsua2"))
    return int(ctypes.CDLL(binary).pjsua_call_get_max_count())
