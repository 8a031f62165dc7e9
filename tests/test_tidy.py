"""The tree is tidy: short functions, small files, no dead modules, no empty words, nothing about its workshop."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 80
DOCSTRING_WORDS_MIN = 2
SHIPPED = ("shardlake", "streams", "batch", "serving")
# Modules that nobody in the tree imports, because users do.
PUBLIC = ("shardlake.testing", "serving.frame", "shardlake.app.handler")
# Folders that tools make, for a tree that is not under git.
MADE = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "build", "dist"}

# The project speaks of itself alone. Each word is written in pieces, so that this file does not hold it.
_WORKSHOP = (
    ("/wo", r"rk/(main|shared|\.)"),
    ("/op", "t/(pypi|wheels)"),
    ("/ro", "ot/"),
    (r"/(home|Users)/", r"[a-z]\w*/"),
    ("/tmp/", "brief"),
    (r"\bissues? ", r"(show|list)\b"),
    (r"\b(this|next|previous|later|earlier) ", r"(issue|session|brief)s?\b"),
    (r"\bissue ", r"#?\d"),
    (r"\b(sub-?|coding )", r"agents?\b"),
    (r"\bhelper", r" sessions?\b"),
    (r"\bclaude", r" code\b"),
    (r"\bai-", r"(generated|written)\b"),
    ("co-authored", "-by"),
)
_HOSTS = (("pythonho", r"sted\.org"), ("pypi", r"\.org/simple"))
BANNED = tuple(re.compile("".join(pieces), re.IGNORECASE) for pieces in _WORKSHOP)
# The lock file names the hosts of every package; nothing else has a reason to.
HOSTS = tuple(re.compile("".join(pieces), re.IGNORECASE) for pieces in _HOSTS)
REASON = re.compile(r"^\s*# long: \S")


@cache
def _files(root: Path) -> tuple[Path, ...]:
    """List what is tracked, or would be: everything on disk that is not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        paths = (root / name for name in listed.stdout.split("\0") if name)
    else:
        paths = (path for path in root.rglob("*") if not MADE & set(path.relative_to(root).parts))
    return tuple(sorted(path for path in paths if path.is_file()))


def _python_files(root: Path) -> list[Path]:
    return [path for path in _files(root) if path.suffix == ".py"]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


# ------------------------------------------------------------------------------------------------------ length


def too_long(source: str) -> Iterator[str]:
    """Name the file and the functions that are longer than they may be and do not say why."""
    lines = source.splitlines()
    nodes = ast.parse(source)
    first = next((node.lineno for node in nodes.body if isinstance(node, ast.Import | ast.ImportFrom)), 10)
    if len(lines) > FILE_LINES_MAX and not _reasoned(lines[:first]):
        yield f"{len(lines)} lines; at most {FILE_LINES_MAX}"
    for node in ast.walk(nodes):
        if isinstance(node, Function) and _length(node) > FUNCTION_LINES_MAX:
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            top = lines[max(start - 2, 0) : node.body[min(1, len(node.body) - 1)].lineno]
            if not _reasoned(top):
                yield f"{node.name}: {_length(node)} lines; at most {FUNCTION_LINES_MAX}"


def _length(node: Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _reasoned(lines: list[str]) -> bool:
    return any(REASON.match(line) for line in lines)


def test_files_and_functions_are_short_or_say_why(root: Path) -> None:
    found = [
        f"{path.relative_to(root)}: {fault}"
        for path in _python_files(root)
        for fault in too_long(path.read_text(encoding="utf-8"))
    ]
    assert not found, "write `# long: reason` at the top, or split it"


def test_a_long_function_is_noticed_and_a_reason_is_heard() -> None:
    body = "    pass\n" * FUNCTION_LINES_MAX
    assert list(too_long("def f():\n" + body)) == ["f: 81 lines; at most 80"]
    assert not list(too_long("# long: a table\ndef f():\n" + body))
    assert not list(too_long('def f():\n    """Do it."""\n    # long: a table\n' + body))
    assert list(too_long("x = 1\n" * 401)) == ["401 lines; at most 400"]


# ------------------------------------------------------------------------------------------------------- words


@dataclass(frozen=True, slots=True)
class _Text:
    name: str
    text: str


def _texts(root: Path) -> Iterator[_Text]:
    for path in _files(root):
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield _Text(path.relative_to(root).as_posix(), content.decode("utf-8", "replace"))


def banned_words(name: str, text: str) -> Iterator[str]:
    """Name each line that speaks of where the tree was made."""
    for pattern in BANNED if name == "uv.lock" else (*BANNED, *HOSTS):
        for match in pattern.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"


def test_no_banned_words(root: Path) -> None:
    found = [fault for file in _texts(root) for fault in banned_words(file.name, file.text)]
    found += [fault for path in _files(root) for fault in banned_words("a name", path.relative_to(root).as_posix())]
    assert not found


@pytest.mark.parametrize("pieces", [("see /wo", "rk/shared/x"), ("as issue", " 2 says"), ("Co-Authored", "-By: x")])
def test_a_banned_word_is_noticed(pieces: tuple[str, str]) -> None:
    assert [fault[:12] for fault in banned_words("README.md", f"fine\n{''.join(pieces)}\n")] == ["README.md:2:"]


# ------------------------------------------------------------------------------------------------- dead modules


def _module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _mentions(tree: ast.Module) -> Iterator[str]:
    """Give every dotted name that a module imports, or holds as text for a late import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.partition(":")[0]


def dead_modules(modules: dict[str, ast.Module], entries: set[str]) -> set[str]:
    """Give the modules that no other module names and that are no entry point; packages live by their modules."""
    named = {mention for name, tree in modules.items() for mention in _mentions(tree) if mention != name}
    parents = {name.rpartition(".")[0] for name in modules}
    return {name for name in modules if not {name} & (named | entries | parents) and not name.endswith("__main__")}


def _entries(root: Path) -> set[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
    return {target.partition(":")[0] for group in groups for target in group.values()} | set(SHIPPED) | set(PUBLIC)


def test_no_dead_modules(root: Path) -> None:
    shipped = [path for path in _python_files(root) if path.relative_to(root).parts[0] in SHIPPED]
    modules = {_module_name(root, path): _tree(path) for path in shipped}
    entries = _entries(root)
    public = {name for name in modules if name.startswith("shardlake.testing.")}
    dead = dead_modules(modules, entries | public)
    assert not dead, "nothing shipped imports them: delete them, or name them among the entry points"


def test_a_dead_module_is_noticed() -> None:
    modules = {"a": "", "a.main": "from a import used\nlate = 'a.late:run'", "a.used": "", "a.late": "", "a.dead": ""}
    trees = {name: ast.parse(source) for name, source in modules.items()}
    assert dead_modules(trees, {"a.main"}) == {"a.dead"}


# --------------------------------------------------------------------------------------------------- docstrings


def empty_docstrings(tree: ast.Module) -> Iterator[int]:
    """Give the lines of docstrings that say nothing."""
    for node in ast.walk(tree):
        if isinstance(node, Documented):
            text = ast.get_docstring(node)
            if text is not None and len(text.split()) < DOCSTRING_WORDS_MIN:
                yield node.body[0].lineno


def test_docstrings_say_something(root: Path) -> None:
    found = [
        f"{path.relative_to(root)}:{line}" for path in _python_files(root) for line in empty_docstrings(_tree(path))
    ]
    assert not found


def test_an_empty_docstring_is_noticed() -> None:
    assert list(empty_docstrings(ast.parse('"""A module of note."""\ndef f():\n    """ """\n'))) == [3]
