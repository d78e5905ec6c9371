"""`voicebot models`: fetched from a publisher's double on loopback, resumed, checked, never half there."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.peers import model_hub
from tests.peers.model_hub import Hub
from voicebot.commands import checks, models
from voicebot.core import catalogue
from voicebot.engines import models as on_disk
from voicebot.errors import UsageError

CONTENT = bytes(range(256)) * 5000
RIGHT = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with model_hub.serving() as served:
        served.files = {"/base.pt": CONTENT, "/voice.onnx": CONTENT, "/voice.onnx.json": b"{}"}
        yield served


@pytest.fixture
def root(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder, and a catalogue whose publisher is the double."""
    entries = catalogue.read(f"""
        ["whisper/base"]
        about = "a test"
        licence = "MIT"
        megabytes = 1
        files = [["whisper/base.pt", "{hub.url}/base.pt", "{RIGHT}"]]

        ["piper/voice"]
        about = "a voice"
        licence = "CC0"
        megabytes = 1
        from = "{hub.url}/hub/"
        files = [["piper/voice.onnx", "voice.onnx"], ["piper/voice.onnx.json", "voice.onnx.json"]]

        ["coqui/vits"]
        about = "a voice"
        licence = "Apache 2.0"
        megabytes = 1
        unpack = true
        files = [["coqui/vits", "{hub.url}/vits.zip"]]

        ["silero/vad"]
        about = "nobody names its checksum"
        licence = "MIT"
        megabytes = 1
        files = [["silero/silero_vad.onnx", "{hub.url}/base.pt"]]
        """)
    monkeypatch.setattr(on_disk, "known", lambda: entries)
    monkeypatch.setenv("VOICEBOT_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(models.app, list(arguments), input=answer)


def test_the_catalogue_that_ships_is_sound() -> None:
    known = on_disk.known()
    assert set(catalogue.KINDS) == {model.kind for model in known.values()}
    assert all(model.licence and model.about and model.megabytes for model in known.values())
    assert all(file.url.startswith("https://") for model in known.values() for file in model.files)
    assert all(file.sha256 for name, model in known.items() if name.startswith("whisper/") for file in model.files)


def test_a_model_is_fetched_after_its_licence_was_shown_and_accepted(root: Path) -> None:
    refused = run("get", "whisper/base", answer="n\n")
    assert "Licence: MIT" in refused.output
    assert 1 == refused.exit_code
    assert not (root / "whisper" / "base.pt").exists()
    assert 0 == run("get", "whisper/base", answer="y\n").exit_code
    assert CONTENT == (root / "whisper" / "base.pt").read_bytes()
    assert ["base.pt"] == [path.name for path in (root / "whisper").iterdir()]
    assert root / "whisper" / "base.pt" == on_disk.find("whisper", "base")


def test_a_model_that_is_here_is_not_fetched_again(root: Path, hub: Hub) -> None:
    run("get", "whisper/base", "--yes")
    assert "here already" in run("get", "whisper/base", "--yes").output
    assert 1 == len(hub.asked)


def test_a_download_that_broke_off_goes_on_where_it_stopped(root: Path, hub: Hub) -> None:
    hub.breaks_after = 400_000
    broken = run("get", "whisper/base", "--yes")
    assert isinstance(broken.exception, UsageError)
    assert "goes on from there" in str(broken.exception)
    with pytest.raises(UsageError, match="voicebot models"):
        on_disk.find("whisper", "base")
    have = (root / "whisper" / "base.pt.part").stat().st_size
    assert have > 0
    assert 0 == run("get", "whisper/base", "--yes").exit_code
    assert f"bytes={have}-" == hub.asked[-1][1]
    assert CONTENT == (root / "whisper" / "base.pt").read_bytes()


def test_another_version_of_a_file_is_never_joined_to_the_beginning_of_the_old_one(root: Path, hub: Hub) -> None:
    hub.breaks_after = 400_000
    run("get", "silero/vad", "--yes")
    hub.files["/base.pt"] = CONTENT[::-1]
    assert 0 == run("get", "silero/vad", "--yes").exit_code
    assert CONTENT[::-1] == (root / "silero" / "silero_vad.onnx").read_bytes()


def test_a_file_with_the_wrong_checksum_is_thrown_away(root: Path, hub: Hub) -> None:
    hub.files["/base.pt"] = b"something else"
    wrong = run("get", "whisper/base", "--yes")
    assert "does not have the checksum that its catalogue names" in str(wrong.exception)
    assert [] == list((root / "whisper").iterdir())


def test_the_checksum_that_a_server_names_on_the_way_is_checked(root: Path, hub: Hub) -> None:
    hub.lies = True
    assert "that its server names" in str(run("get", "piper/voice", "--yes").exception)
    hub.lies = False
    assert "2 of 2 files had the checksum" in run("get", "piper/voice", "--yes").output


def test_where_nobody_names_a_checksum_that_is_said(root: Path) -> None:
    assert "0 of 1 files had the checksum" in run("get", "silero/vad", "--yes").output


def test_without_a_network_there_is_one_clear_sentence(root: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known = catalogue.read(
        '["whisper/base"]\nabout="a"\nlicence="MIT"\nmegabytes=1\n'
        'files=[["whisper/base.pt", "http://127.0.0.1:9/base.pt"]]'
    )
    monkeypatch.setattr(on_disk, "known", lambda: known)
    failed = run("get", "whisper/base", "--yes")
    assert isinstance(failed.exception, UsageError)
    assert "Is there a network?" in str(failed.exception)


def test_a_file_that_is_not_there_any_more_is_said_with_its_status(root: Path, hub: Hub) -> None:
    hub.fails = 403
    assert "answered 403" in str(run("get", "whisper/base", "--yes").exception)


def test_an_archive_is_unpacked_into_its_folder_and_nowhere_else(root: Path, hub: Hub) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("some/folder/config.json", "{}")
        archive.writestr("../../../model_file.pth", "weights")
    hub.files["/vits.zip"] = packed.getvalue()
    assert 0 == run("get", "coqui/vits", "--yes").exit_code
    assert ["config.json", "model_file.pth"] == sorted(path.name for path in (root / "coqui" / "vits").iterdir())
    assert [] == [path for path in root.parent.rglob("model_file.pth") if root / "coqui" not in path.parents]
    assert 0 == run("check", "coqui/vits").exit_code


def test_what_is_no_archive_is_thrown_away(root: Path, hub: Hub) -> None:
    hub.files["/vits.zip"] = b"an error page"
    assert "no ZIP archive" in str(run("get", "coqui/vits", "--yes").exception)
    assert [] == list((root / "coqui").iterdir())


def test_check_reads_what_is_here_and_finds_what_has_changed(root: Path) -> None:
    for name in ("whisper/base", "silero/vad"):
        run("get", name, "--yes")
    assert 0 == run("check").exit_code
    (root / "silero" / "silero_vad.onnx").write_bytes(b"other")
    found = run("check")
    assert 1 == found.exit_code
    assert "silero/silero_vad.onnx has changed" in found.output
    assert "✓ whisper/base" in found.output
    assert "is missing" in run("check", "piper/voice").output


def test_list_and_doctor_say_what_is_here(root: Path, hub: Hub) -> None:
    hub.breaks_after = 1000
    run("get", "silero/vad", "--yes")
    run("get", "whisper/base", "--yes")
    assert {"whisper/base": "ok", "silero/vad": "note"} == {f.name: f.verdict.value for f in checks.models_here()}
    lines = run("list").output.splitlines()
    assert next(line for line in lines if "whisper/base" in line).strip().startswith("✓")
    assert not next(line for line in lines if "piper/voice" in line).strip().startswith("✓")


def test_an_unknown_model_is_answered_with_those_that_are_like_it(root: Path) -> None:
    assert "Did you mean whisper/base?" in str(run("get", "base").exception)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ('files = [["whisper/../../etc/passwd", "https://x/y"]]', "outside"),
        ('files = [["piper/x.onnx", "https://x/y"]]', "outside"),
        ('files = [["whisper/x.pt", "https://x/y", "abc"]]', "SHA-256"),
        ("files = []", "needs a file"),
    ],
)
def test_an_entry_that_is_not_sound_is_refused(entry: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        catalogue.read(f'["whisper/x"]\nabout="a"\nlicence="MIT"\nmegabytes=1\n{entry}')
