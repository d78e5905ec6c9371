"""Rules of the house that a program can check: who imports whom, what is pure, what must not be in the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

import voicebot
from voicebot.commands import settings
from voicebot.config import Settings
from voicebot.core import dialplan

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "voicebot"

BELOW = {
    "__init__": set[str](),
    "errors": set[str](),
    "config": {"errors"},
    "log": {"errors"},
    "audio": {"errors"},
    "core": {"errors"},
}
"""Room → the rooms it may import. A room may always import itself."""
BELOW["carriers"] = BELOW["engines"] = {"errors", "config", "log", "audio", "core", "__init__"}
BELOW["call"] = BELOW["carriers"] | {"carriers", "engines"}
BELOW["service"] = BELOW["replay"] = BELOW["call"] | {"call"}
BELOW["commands"] = BELOW["call"] | {"call", "service", "replay"}
BELOW["cli"] = BELOW["commands"] | {"commands"}
BELOW["start"] = {"cli", "commands"}
BELOW["__main__"] = {"cli"}

MODULES = sorted(PACKAGE.rglob("*.py"))
PURE = [file for file in MODULES if file.relative_to(PACKAGE).parts[0] in ("audio", "core")]
DOCUMENTED = ("audio", "core", "engines", "carriers", "call")


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Dotted names of everything a module imports, inside functions and for type checking, too."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(tree(file)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                base = list(package[: len(package) - node.level + 1]) if node.level else []
                start = ".".join([*base, *([node.module] if node.module else [])])
                yield from (f"{start}.{alias.name}" for alias in node.names)
            case _:
                pass


def rooms_imported(file: Path) -> set[str]:
    found = set()
    for name in imports(file):
        first, _, rest = name.partition(".")
        if first == "voicebot":
            target = rest.partition(".")[0]
            exists = (PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").exists()
            found.add(target if target and exists else "__init__")
    return found


# --- who may import whom ---------------------------------------------------------------------------------------


def test_every_room_has_its_place_in_the_import_rule() -> None:
    assert set() == {room(file) for file in MODULES} - set(BELOW)


def test_a_module_imports_only_from_rooms_below_its_own() -> None:
    forbidden = {name_of(file): rooms_imported(file) - BELOW[room(file)] - {room(file)} for file in MODULES}
    assert {} == {name: rooms for name, rooms in forbidden.items() if rooms}


def test_the_import_rule_sees_every_way_to_import() -> None:
    # This test's own reader, on a module known to use what it must see: `from voicebot import log`.
    assert {"log", "core", "engines"} <= rooms_imported(PACKAGE / "call" / "runtime.py")


# --- what is pure ----------------------------------------------------------------------------------------------

IMPURE = set(
    "asyncio time logging structlog socket ssl select selectors subprocess multiprocessing threading concurrent "
    "pathlib os io shutil tempfile sys signal sqlite3 secrets uuid requests httpx urllib.request "
    "http.client anyio".split()
)
IMPURE_CALLS = {".now", ".utcnow", ".today", "open", "print", "input"}


def calls(file: Path) -> Iterator[tuple[str, str]]:
    """`file:line` and the last name of every call: `open(…)` gives `open`, `datetime.now(…)` gives `.now`."""
    for node in ast.walk(tree(file)):
        match node:
            case ast.Call(func=ast.Name(id=called)):
                yield f"{name_of(file)}:{node.lineno}", called
            case ast.Call(func=ast.Attribute(attr=attr)):
                yield f"{name_of(file)}:{node.lineno}", f".{attr}"
            case _:
                pass


def impure(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:count]) in IMPURE for count in range(1, len(parts) + 1))


def test_audio_and_core_import_no_clock_no_logger_and_nothing_that_reads_or_writes() -> None:
    used = {name_of(file): {name for name in imports(file) if impure(name)} for file in PURE}
    assert {} == {name: modules for name, modules in used.items() if modules}


def test_audio_and_core_ask_no_clock_and_open_nothing() -> None:
    assert [] == [place for file in PURE for place, called in calls(file) if called in IMPURE_CALLS]


def test_chance_in_audio_and_core_is_seeded_by_the_caller() -> None:
    unseeded = []
    for file in PURE:
        for node in ast.walk(tree(file)):
            match node:
                case ast.Attribute(value=ast.Name(id="random"), attr=attr) if attr != "Random":
                    unseeded.append(f"{name_of(file)}:{node.lineno}")
                case ast.Call(func=ast.Attribute(attr="Random" | "default_rng"), args=[]):
                    unseeded.append(f"{name_of(file)}:{node.lineno}")
                case _:
                    pass
    assert [] == unseeded


# --- tasks -----------------------------------------------------------------------------------------------------

LOOPS = {"asyncio", "loop", "_loop", "get_running_loop", "get_event_loop", "new_event_loop"}


def ownerless_tasks(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        match node:
            case ast.Attribute(attr="ensure_future") | ast.Name(id="ensure_future" | "create_task"):
                yield f"{name_of(file)}:{node.lineno}"
            case ast.Attribute(value=owner, attr="create_task"):
                owner = owner.func if isinstance(owner, ast.Call) else owner
                last = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if last in LOOPS:
                    yield f"{name_of(file)}:{node.lineno}"
            case _:
                pass


def test_a_task_belongs_to_a_task_group() -> None:
    assert [] == [place for file in MODULES for place in ownerless_tasks(file)]


# --- size and words --------------------------------------------------------------------------------------------


def test_a_file_is_about_one_thing() -> None:
    lines = {name_of(file): len(file.read_text("utf-8").splitlines()) for file in MODULES}
    assert {} == {name: count for name, count in lines.items() if count > 400}


def public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


def says_itself(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A function of one statement; a class of data, for its fields say what it is; and methods that do as much."""
    if not isinstance(node, ast.ClassDef):
        return len(node.body) == 1
    methods = list(public(node.body))
    data = any("dataclass" in ast.unparse(part) for part in node.decorator_list)
    return all(ast.get_docstring(part) or says_itself(part) for part in methods) and (data or not methods)


def undocumented(file: Path) -> Iterator[str]:
    """Public things at the top of a module without a docstring. Methods are not asked, and neither are protocols and
    an engine's `create` and `check`: those are documented where the contract is, `engines/base.py`."""
    if not ast.get_docstring(tree(file)) and file.name != "__init__.py":
        yield name_of(file)
    for node in public(tree(file).body):
        if ast.get_docstring(node) or says_itself(node):
            continue
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
            continue
        if not (room(file) == "engines" and node.name in ("create", "check")):
            yield f"{name_of(file)}:{node.lineno} {node.name}"


def test_what_is_public_says_what_it_is_for() -> None:
    assert [] == [thing for file in MODULES if room(file) in DOCUMENTED for thing in undocumented(file)]


# --- what the repository must not hold -------------------------------------------------------------------------

FORBIDDEN = [
    "../" + "shared",
    "/" + "work/",
    "/" + "root/",
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
]
SECRETS = {
    "an API key": re.compile(r"\b(sk|rk)-(proj-|ant-)?[A-Za-z0-9_]{20,}"),
    "a private key": re.compile("-----BEGIN [A-Z ]*" + "PRIVATE KEY-----"),
    "a cloud key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}"),
    "a token in a URL": re.compile(r"https?://[^/\s:@{}]+:[^/\s:@{}]{8,}@"),
}


def repository() -> list[Path]:
    """Files that are, or are about to be, in the repository."""
    try:
        command = ["git", "ls-files", "-co", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for file in repository():
        try:
            yield name_of(file), file.read_text("utf-8")
        except UnicodeDecodeError:
            continue


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_nothing_names_a_place_that_only_one_machine_has(forbidden: str) -> None:
    assert [] == [name for name, text in texts() if forbidden in text]


@pytest.mark.parametrize("kind", SECRETS)
def test_nothing_in_the_repository_looks_like_a_secret(kind: str) -> None:
    assert [] == [name for name, text in texts() if SECRETS[kind].search(text)]


def test_nothing_in_the_repository_was_made_by_a_run() -> None:
    made = ("data/", "out/", ".venv/", "build/", "dist/")
    names = [name_of(file) for file in repository()]
    assert [] == [name for name in names if name == ".env" or name.startswith(made)]


# --- the package and its pages ---------------------------------------------------------------------------------


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest
    assert voicebot.__version__ == newest[1] == project()["version"]


def plain(requirement: str) -> str:
    """The package's name alone, in the registry's spelling."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def asked_for() -> set[str]:
    listed = project()["dependencies"]
    assert isinstance(listed, list)
    return {plain(name) for name in listed}


UNPINNED = {"torch"}
"""Comes in a build for each kind of machine; whoever wants it chooses."""


def test_everything_asked_for_is_pinned_for_a_fresh_machine() -> None:
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    asked = asked_for() | {plain(name) for group in extras.values() for name in group}
    pinned = {plain(line) for line in (ROOT / "deploy/constraints.txt").read_text().splitlines() if "==" in line}
    assert {"dev"} <= set(extras)
    assert set() == asked - pinned - UNPINNED


BESIDE = {"httptools", "python-multipart", "audioop-lts", "tzdata"}
"""Asked for and not imported by name: uvicorn, FastAPI and zoneinfo find them; audioop stands in for the
standard library's."""
WITHIN = {"starlette", "httpx2"}
"""Imported and not asked for: the layers under FastAPI and openai, in the versions that they ask for."""


def optional() -> set[str]:
    """What only an extra asks for, and what that brings (aiohttp: what Moshi's environment has, where one program
    runs): imported by one engine, where it is installed."""
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    return {plain(name) for group in extras.values() for name in group} | {"torch", "ctranslate2", "aiohttp"}


def test_what_the_package_imports_is_what_its_install_asks_for() -> None:
    providers = packages_distributions()
    tops = {name.partition(".")[0] for file in MODULES for name in imports(file)} - {"voicebot", "__future__"}
    found = [list(map(plain, providers[top])) for top in tops - set(sys.stdlib_module_names) if top in providers]
    # Several packages share a name such as `google`: the one that is asked for is meant.
    used = {next((each for each in names if each in asked_for() | optional()), names[0]) for names in found}
    assert used - WITHIN - optional() == asked_for() - BESIDE


def test_the_base_install_asks_for_no_torch_and_pins_none() -> None:
    named = " ".join(map(str, project()["dependencies"])) + (ROOT / "deploy/constraints.txt").read_text()  # type: ignore[call-overload]
    assert not re.search(r"\b(torch|tensorflow|transformers)\b", named)


def test_the_env_example_is_what_the_settings_command_prints() -> None:
    assert settings.template() == (ROOT / ".env.example").read_text()


README = (ROOT / "README.md").read_text("utf-8")
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.S | re.M)
CODE = "\n".join(
    [text for kind, text in FENCED.findall(README) if kind == "sh"] + re.findall(r"`([^`\n]+)`", FENCED.sub("", README))
)
COMMANDS = sorted(
    {tuple(line.split()) for line in re.findall(r"(?:^|\s|/)voicebot ((?:[a-z][a-z-]*)(?: [a-z][a-z-]+)?)", CODE, re.M)}
)
TARGETS = sorted(set(re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", CODE, re.M)))


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_that_the_readme_names_is_there(target: str) -> None:
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_that_the_readme_names_is_there(words: tuple[str, ...]) -> None:
    from voicebot.cli import app

    group = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    path = list(words) if hasattr(group, "commands") else [words[0]]
    assert 0 == CliRunner().invoke(app, [*path, "--help"]).exit_code


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    known = {settings.variables(name, field)[0] for name, field in Settings.model_fields.items()}
    named = set(re.findall(r"\bVOICEBOT_[A-Z_]+[A-Z]\b", README))
    assert known == named


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [] == [link for link in links if not (ROOT / link).exists()]


def test_the_readmes_dialplan_is_a_good_one() -> None:
    plans = [block for block in re.findall(r"```yaml\n(.*?)```", README, re.S) if yaml.safe_load(block)]
    assert plans
    for text in plans:
        assert dialplan.parse(text, "README.md").name
