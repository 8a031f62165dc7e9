"""Run one target with the inputs of atheris, or read one input again.

    python -m tests.fuzz.run NAME --seconds 60     look for inputs that break a promise (Linux, group `fuzz`)
    python -m tests.fuzz.run NAME FILE ...         read inputs again, without atheris

What was found is kept under build/fuzz/NAME: `found` has inputs that failed, and `corpus` those that led somewhere new,
from which the next run goes on. Seeds are made of the examples in the code.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.fuzz.target import Target

FOLDER: Final = Path("build/fuzz")
INSTRUMENTED: Final = ("shardlake", "streams", "tests.fuzz")  # the targets too: which way an input took is news
NAMES: Final = (
    "cloudfront", "cloudfront_realtime", "cutting", "fields", "json", "changes", "kinesis_page", "dynamodb_page",
    "answers", "aggregates", "frames",
)  # fmt: skip
INPUT_BYTES_MAX: Final = 4096
INPUT_SECONDS_MAX: Final = 60
MEMORY_MIB_MAX: Final = 3000


def targets() -> Mapping[str, "Target"]:
    """Import all targets, and what they fuzz."""
    from tests.fuzz.decoders import DECODERS
    from tests.fuzz.framed import FRAMED
    from tests.fuzz.wires import WIRES

    return {target.name: target for target in (*DECODERS, *WIRES, *FRAMED)}


def replay(name: str, files: Sequence[str]) -> None:
    """Read inputs as they were read when they failed."""
    check = targets()[name].check
    for file in files:
        check(Path(file).read_bytes())
        print(f"{file}: nothing is wrong with it")


def fuzz(name: str, seconds: int) -> None:
    """Let atheris look for inputs that fail; the process ends with it, with 77 if it found one."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed, which is there for Linux on x86_64 alone; make test runs the same targets")
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        target = targets()[name]
    found, corpus = FOLDER / name / "found", FOLDER / name / "corpus"
    for folder in (found, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words = FOLDER / name / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), "ascii")
    print(
        f"An input that fails is kept in {found}; read it again with: python -m tests.fuzz.run {name} FILE", flush=True
    )
    options = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "timeout": INPUT_SECONDS_MAX,
        "rss_limit_mb": MEMORY_MIB_MAX,
        "dict": words,
        "keep_seed": 1,
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
    }
    atheris.Setup(
        [sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], _kept(target, found)
    )
    atheris.Fuzz()


def _kept(target: "Target", found: Path) -> Callable[[bytes], None]:
    """Keep an input that fails, and say where, before the engine ends."""

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except KeyboardInterrupt:
            raise
        except BaseException:
            path = found / f"input-{sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            print(f"{path} fails; read it again with: python -m tests.fuzz.run {target.name} {path}", file=sys.stderr)
            raise

    return check


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("files", nargs="*", metavar="FILE", help="inputs to read again")
    parser.add_argument("--seconds", type=int, default=60, help="how long to look for inputs that fail")
    given = parser.parse_args()
    warnings.simplefilter("error")
    if given.files:
        replay(given.name, given.files)
    else:
        fuzz(given.name, given.seconds)


if __name__ == "__main__":
    main()
