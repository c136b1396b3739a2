"""The command ``scbtheory``. Errors meant for people are one line and exit code 2."""

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scbtheory import __version__, dynamics
from scbtheory.errors import SCBError

__all__ = ["main", "parser"]


def main(argv: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Greek letters is no reason to stop
    arguments = parser().parse_args(argv)
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except SCBError as error:
        print(f"scbtheory: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has left, as `| head` does; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("scbtheory"):
            raise
        print(f"scbtheory: {error.name} is not installed: pip install 'scbtheory[book]'", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"scbtheory: out of memory: {error}".removesuffix(": "), file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that may not be written to
        where = f"{error.filename}: " if error.filename else ""
        print(f"scbtheory: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("scbtheory: interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="scbtheory", description="Verify the theory, build its book.")
    top.add_argument("--version", action="version", version=f"scbtheory {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    verify = commands.add_parser("verify", help="check claims, and that their controls are rejected")
    verify.add_argument("ids", nargs="*", metavar="ID", help="claims, such as G3; all by default")
    verify.add_argument("--json", type=_path, metavar="FILE", help="also write the reports there")
    verify.add_argument("--full", action="store_true", help="run experiments at full size (SCB_PROFILE=full)")
    verify.set_defaults(run=_verify)

    measure = commands.add_parser("measure", help="verify claims and store what they measured for the pages")
    measure.add_argument("ids", nargs="*", metavar="ID", help="claims, such as G3; all by default")
    measure.add_argument("--full", action="store_true", help="at full size (SCB_PROFILE=full)")
    measure.add_argument("--jobs", type=_positive, default=2, help="claims at a time (%(default)s)")
    measure.set_defaults(run=_measure)

    where = commands.add_parser("where", help="show a claim's page, file, derivations, numerics and tests")
    where.add_argument("ids", nargs="+", metavar="ID", help="claims, such as S3")
    where.set_defaults(run=_where)

    new = commands.add_parser("new-claim", help="lay out the file of a new claim")
    new.add_argument("name", metavar="ID_SUBJECT", help="such as S8_cooling")
    new.add_argument("--title", required=True, help="what the claim says, in words")
    new.add_argument("--chapter", required=True, help="the page that will state it, such as stage_two")
    new.set_defaults(run=_new_claim)

    stages = commands.add_parser("stages", help="predict when the stages of training end")
    dynamics.add_arguments(stages)
    stages.set_defaults(run=dynamics.run_stages)

    book = commands.add_parser("book", help="execute every chapter and render the book")
    book.add_argument("--no-execute", action="store_true", help="render the stored outputs")
    book.add_argument("--jobs", type=_positive, default=2, help="chapters at a time (%(default)s)")
    book.set_defaults(run=_book)

    pdf = commands.add_parser("pdf", help="print the whole book, with its stored outputs, through Chromium")
    pdf.add_argument("--output", type=_path, metavar="FILE", help="the PDF; _build/book.pdf by default")
    pdf.set_defaults(run=_pdf)

    refresh = commands.add_parser("refresh", help="re-execute chapters and store their outputs")
    refresh.add_argument("chapters", nargs="*", metavar="CHAPTER", help="all by default")
    refresh.add_argument("--jobs", type=_positive, default=2, help="chapters at a time (%(default)s)")
    refresh.set_defaults(run=_refresh)

    run = commands.add_parser("run", help="execute chapters with other parameters into a folder")
    run.add_argument("chapters", nargs="+", metavar="CHAPTER")
    run.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        type=_assignment,
        help="a parameter of each of them; the value is a Python literal or a word",
    )
    run.add_argument("--seed", type=int, metavar="N", help="the same as -p seed=N")
    run.add_argument("--backend", metavar="NAME", help="the same as -p backend=NAME, such as cupy")
    run.add_argument("--dtype", metavar="NAME", help="the same as -p dtype=NAME, such as float32")
    run.add_argument("--profile", choices=("quick", "full"), help="size of the claims' experiments")
    run.add_argument("--jobs", type=_positive, default=2, help="chapters at a time (%(default)s)")
    run.add_argument("--output", type=_path, required=True, metavar="DIR", help="where the new notebooks go")
    run.set_defaults(run=_run)

    render = commands.add_parser("render", help="render the book with the chapters of a run, which say what ran")
    render.add_argument("--from", dest="folder", type=_path, required=True, metavar="DIR", help="what run wrote")
    render.add_argument("--output", type=_path, metavar="DIR", help="where the pages go; DIR/html by default")
    render.set_defaults(run=_render)

    normalise = commands.add_parser("normalise", help="strip what differs between two runs")
    normalise.add_argument("notebooks", nargs="+", type=_path, metavar="FILE")
    normalise.set_defaults(run=_normalise)
    return top


# Imports below are inside the commands: `scbtheory verify` needs none of the book's packages.


def _verify(arguments: argparse.Namespace) -> int:
    if arguments.full:
        os.environ["SCB_PROFILE"] = "full"  # worker processes inherit it
    from scbtheory.verification import terminal

    return terminal.run(arguments.ids, arguments.json)


def _measure(arguments: argparse.Namespace) -> int:
    if arguments.full:
        os.environ["SCB_PROFILE"] = "full"  # worker processes inherit it
    from scbtheory.publishing import source
    from scbtheory.verification import measurements

    def done(name: str, holds: bool) -> None:
        print(f"{name} {'measured' if holds else 'FAILS'}", flush=True)

    return int(not measurements.store(source.find_root(), arguments.ids, jobs=arguments.jobs, done=done))


def _where(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import source
    from scbtheory.verification.where import where

    try:
        root = source.find_root()
    except source.NoBook:
        root = None  # an installed package has neither pages nor tests
    for claim_id in arguments.ids:
        room = None
        for place in where(claim_id, root=root):
            if place.room != room:
                room = place.room
                print(f"{claim_id} {room}")
            print(f"  {_shown(place.path)}:{place.line}  {place.what}")
    return 0


def _new_claim(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import source
    from scbtheory.verification import new

    source.chapters(source.find_root(), [arguments.chapter])
    path = new.lay_out(arguments.name, title=arguments.title, chapter=arguments.chapter)
    print(f"wrote {_shown(path)}; fill it in, and state it in book/{arguments.chapter}.ipynb")
    return 0


def _book(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import book, source

    page = book.build(source.find_root(), run=not arguments.no_execute, jobs=arguments.jobs)
    print(f"The book is at {_shown(page)}")
    return 0


def _pdf(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import printing, source

    root = source.find_root()
    page = printing.print_book(root, arguments.output or root / "_build" / "book.pdf")
    print(f"The printed book is at {_shown(page)}")
    return 0


def _refresh(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import book, source

    root = source.find_root()
    notebooks = source.chapters(root, arguments.chapters)
    changed = book.refresh(notebooks, jobs=arguments.jobs)
    for notebook in changed:
        print(f"stored {_shown(notebook)}")
    for notebook in notebooks:
        if not source.is_listed(root, notebook):
            print(f"scbtheory: _toc.yml does not list book/{notebook.stem}, which is on no page", file=sys.stderr)
    print(f"{len(changed)} of {len(notebooks)} chapters changed")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import book, source

    options = [(name, getattr(arguments, name)) for name in ("seed", "backend", "dtype")]
    parameters: dict[str, object] = {}
    for name, value in (*arguments.parameters, *((name, value) for name, value in options if value is not None)):
        if parameters.setdefault(name, value) != value:
            raise SCBError(f"{name}={parameters[name]} and {name}={value} contradict each other")
    notebooks = source.chapters(source.find_root(), arguments.chapters)
    written = book.run(notebooks, arguments.output, parameters, jobs=arguments.jobs, profile=arguments.profile)
    for notebook in written:
        print(f"wrote {_shown(notebook)}")
    print(f"for pages: scbtheory render --from {arguments.output}")
    return 0


def _render(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import book, source

    for page in book.render_run(source.find_root(), arguments.folder, arguments.output):
        print(f"rendered {_shown(page)}")
    return 0


def _normalise(arguments: argparse.Namespace) -> int:
    from scbtheory.publishing import notebooks

    changed = [path for path in arguments.notebooks if notebooks.normalise_file(path)]
    for path in changed:
        print(f"normalised {path}")
    return int(bool(changed))  # what a commit hook expects


def _assignment(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a bare word, as in backend=cupy


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")  # Path("") is the current folder
    return Path(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _shown(path: Path) -> Path:
    """``path`` as a person in this folder would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


if __name__ == "__main__":
    sys.exit(main())
