"""The page's sound, under node: the same file that its worklets run, held against the service's own G.711."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voicebot.audio.g711 import ulaw_decode, ulaw_encode

SOURCE = Path(__file__).parents[2] / "voicebot/service/static/dsp.js"
NODE = shutil.which("node") or ""
RATES = (16000, 44100, 48000, 96000)
pytestmark = pytest.mark.skipif(not NODE, reason="no node on this machine: apt install nodejs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """node takes a file for a module by its name."""
    folder = tmp_path_factory.mktemp("dsp")
    shutil.copy(SOURCE, folder / "dsp.mjs")
    return folder


def run(folder: Path, script: str) -> Any:
    """What a script, which has everything of dsp.js, gives to `show`."""
    names = "ulawEncode,ulawDecode,ulawToFloat,floatToUlaw,Resampler,Framer,Playout,toBase64,fromBase64"
    text = f"""
        import * as dsp from "./dsp.mjs";
        const {{{names}}} = dsp;
        const show = (value) => console.log(JSON.stringify(value));
        const resample = (from, to, samples) => {{
          const r = new Resampler(from, to), out = [];
          for (const x of samples) {{ r.feed(x); while (r.ready) out.push(r.next()); }}
          return out;
        }};
        const times = (count, f) => Array.from({{ length: count }}, (_, n) => f(n));
        const tone = (hz, rate, count) => times(count, (n) => Math.sin((2 * Math.PI * hz * n) / rate));
        const pull = (playout, count) => times(count, () => playout.next());
        const loud = (count) => new Uint8Array(count).fill(floatToUlaw(0.5));
        {script}
    """
    command = [NODE, "--input-type=module", "-"]
    done = subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def decibels(samples: list[float]) -> float:
    """RMS against that of a full tone, the filter's start left out."""
    settled = np.array(samples[len(samples) // 4 :])
    return float(20 * np.log10(np.sqrt(2 * np.mean(settled**2)) + 1e-12))


# --- G.711


def test_known_values_of_mu_law(folder: Path) -> None:
    # ITU-T G.711, table 2: its ends, and the smallest steps on both sides of zero.
    assert [0xFF, 0x80, 0x00, 0xFE, 0x7E] == run(folder, "show([0, 32767, -32768, 8, -8].map(ulawEncode))")
    assert [0, 32124, -32124, 8, -8] == run(folder, "show([0xff, 0x80, 0x00, 0xfe, 0x7e].map(ulawDecode))")


def test_every_sample_is_encoded_as_the_service_does(folder: Path) -> None:
    pcm = np.arange(-32768, 32768, dtype="<i2")
    coded = run(folder, "show(Array.from({ length: 65536 }, (_, i) => ulawEncode(i - 32768)))")
    assert list(ulaw_encode(pcm.tobytes())) == coded


def test_every_byte_is_decoded_as_the_service_does(folder: Path) -> None:
    pcm = np.frombuffer(ulaw_decode(bytes(range(256))), "<i2")
    assert pcm.tolist() == run(folder, "show(Array.from({ length: 256 }, (_, byte) => ulawDecode(byte)))")


def test_a_float_too_loud_is_clipped(folder: Path) -> None:
    assert [0x80, 0x00] == run(folder, "show([7.5, -7.5].map(floatToUlaw))")


def test_audio_survives_json(folder: Path) -> None:
    assert list(range(256)) == run(
        folder, "show([...fromBase64(toBase64(Uint8Array.from({length: 256}, (_, i) => i)))])"
    )


# --- resampling


@pytest.mark.parametrize("rate", RATES)
def test_the_telephone_band_goes_down_and_up_unharmed(folder: Path, rate: int) -> None:
    script = f"""
        show([200, 1000, 3300].flatMap((hz) => [
          resample({rate}, 8000, tone(hz, {rate}, {rate // 5})),
          resample(8000, {rate}, tone(hz, 8000, 1600)),
        ]));
    """
    assert [pytest.approx(0, abs=0.1)] * 6 == [decibels(tone) for tone in run(folder, script)]


@pytest.mark.parametrize("rate", RATES)
def test_what_would_alias_is_gone_by_50_db(folder: Path, rate: int) -> None:
    above = [4000, 4300, 4600, 5200, 7000, 7900]
    tones = run(folder, f"show({above}.map((hz) => resample({rate}, 8000, tone(hz, {rate}, {rate // 5}))))")
    assert max(decibels(tone) for tone in tones) < -50


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_that_goes_up_leaves_no_image_above_50_db(folder: Path, rate: int) -> None:
    tones = run(folder, f"show([300, 1000, 3300].map((hz) => resample(8000, {rate}, tone(hz, 8000, 2400))))")
    for up in tones:
        settled = np.array(up)[rate // 10 :]
        spectrum = np.abs(np.fft.rfft(settled * np.kaiser(len(settled), 14)))
        images = spectrum[np.fft.rfftfreq(len(settled), 1 / rate) > 4000].max()
        assert 20 * np.log10(images / spectrum.max()) < -50


@pytest.mark.parametrize("rate", RATES)
def test_the_delay_is_constant_and_said(folder: Path, rate: int) -> None:
    # An impulse half way: the answer's peak comes `delayMs` later.
    script = f"""
        const impulse = Array.from({{ length: {rate // 5} }}, (_, n) => (n === {rate // 10} ? 1 : 0));
        show([new Resampler({rate}, 8000).delayMs, resample({rate}, 8000, impulse)]);
    """
    delay_ms, answer = run(folder, script)
    assert delay_ms < 5
    assert 100 + delay_ms == pytest.approx(int(np.argmax(answer)) / 8, abs=0.13)


@pytest.mark.parametrize("rate", RATES)
def test_no_sample_is_lost_and_none_is_held_back(folder: Path, rate: int) -> None:
    script = f"""
        const r = new Resampler({rate}, 8000), counts = [];
        for (let push = 0, all = 0; push < 500; push++) {{
          for (let i = 0; i < 128; i++) {{ r.feed(0.1); while (r.ready) {{ r.next(); all++; }} }}
          counts.push(all);
        }}
        show(counts);
    """
    assert [-(-128 * push * 8000 // rate) for push in range(1, 501)] == run(folder, script)


# --- frames of the microphone


def test_a_second_of_microphone_is_fifty_frames_of_its_tone(folder: Path) -> None:
    script = """
        const framer = new Framer(48000), frames = [];
        const half = tone(1000, 48000, 48000).map((x) => x / 2);
        framer.push(half, ({ payload, level }) => frames.push([...payload, level]));
        show(frames);
    """
    frames = run(folder, script)
    assert 50 == len(frames)
    assert {161} == {len(frame) for frame in frames}
    pcm = np.frombuffer(ulaw_decode(bytes(frames[25][:160])), "<i2") / 32768
    assert 0.5 / np.sqrt(2) == pytest.approx(np.sqrt(np.mean(pcm**2)), rel=0.02)
    assert 0.5 / np.sqrt(2) == pytest.approx(frames[25][160], rel=0.02)


def test_a_muted_microphone_sends_frames_of_silence(folder: Path) -> None:
    script = """
        const framer = new Framer(48000), frames = [];
        framer.muted = true;
        framer.push(tone(1000, 48000, 4800), ({ payload, level }) => frames.push([...new Set(payload), level]));
        show(frames);
    """
    assert [[0xFF, 0]] * 5 == run(folder, script)


# --- playout and its marks


def test_a_mark_is_passed_when_the_sample_before_it_has_left(folder: Path) -> None:
    script = """
        const playout = new Playout(24);
        playout.write(loud(800)); playout.mark("0:800"); playout.write(loud(800)); playout.mark("0:1600");
        const passed = [];
        for (let n = 1; n <= 2000; n++) { playout.next(); for (const name of playout.played()) passed.push([n, name]); }
        show(passed);
    """
    assert [[824, "0:800"], [1624, "0:1600"]] == run(folder, script)


def test_a_mark_with_nothing_before_it_comes_back_at_once(folder: Path) -> None:
    script = """
        const playout = new Playout();
        playout.mark("0:0");
        show(playout.played());
    """
    assert ["0:0"] == run(folder, script)


def test_a_clear_gives_every_mark_back_and_plays_no_more(folder: Path) -> None:
    script = """
        const playout = new Playout(24);
        for (const at of [400, 800, 1200]) { playout.write(loud(400)); playout.mark(`0:${at}`); }
        pull(playout, 410);
        const early = playout.played(), back = playout.clear(), after = pull(playout, 400);
        show({ early, back, again: playout.played(), loud: after.filter((x) => x !== 0).length });
    """
    # The first mark's sample was taken and had not left; what still sounds is the fade.
    told = run(folder, script)
    assert {"early": [], "back": ["0:400", "0:800", "0:1200"], "again": []} == {k: told[k] for k in told if k != "loud"}
    assert told["loud"] < 40


def test_after_a_clear_the_next_words_play_whole(folder: Path) -> None:
    script = """
        const playout = new Playout();
        playout.write(loud(800)); pull(playout, 100); playout.clear();
        playout.write(loud(400)); playout.mark("1:400");
        const passed = [];
        for (let n = 1; n <= 800; n++) { playout.next(); if (playout.played().length) passed.push(n); }
        show(passed);
    """
    assert [400] == run(folder, script)


def test_playing_begins_when_40_ms_are_there_or_were_waited_for(folder: Path) -> None:
    script = """
        const first = (samples) => pull(samples, 2000).findIndex((x) => x !== 0);
        const starting = (count) => { const p = new Playout(); p.write(loud(count)); return first(p); };
        show([starting(320), starting(80)]);
    """
    assert [0, 320] == run(folder, script)


def test_what_comes_late_is_faded_and_never_clicks(folder: Path) -> None:
    script = """
        const playout = new Playout(), out = [];
        for (let burst = 0; burst < 5; burst++) { playout.write(loud(400)); out.push(...pull(playout, 700)); }
        show(out);
    """
    out = np.array(run(folder, script))
    assert 0.48 < out.max() < 0.52
    assert (out == 0).sum() > 500
    assert np.abs(np.diff(out)).max() < 0.03


def test_more_than_half_a_minute_ahead_is_dropped_and_its_marks_still_come_back(folder: Path) -> None:
    script = """
        const playout = new Playout();
        for (let second = 0; second < 31; second++) playout.write(loud(8000));
        playout.mark("0:248000");
        const waiting = playout.waiting;
        pull(playout, 240000);
        show([waiting, playout.played()]);
    """
    assert [240000, ["0:248000"]] == run(folder, script)
