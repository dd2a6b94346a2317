"""The options of each command, from its argument parser."""

import argparse
from collections.abc import Iterator
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent

from reference_pages.markdown import code, prose, table
from reference_pages.paths import SOURCE

WIDTH = 100  # characters of a usage line


def commands() -> str:
    """Return a section for each script in src/: its description, usage and options."""
    return "\n\n".join(section(path.name, load_parser(path)) for path in sorted(SOURCE.glob("*.py")))


def load_parser(script: Path) -> argparse.ArgumentParser:
    """Return the parser that a script's function ``build_parser`` makes.

    Raises
    ------
    AttributeError
        If the script has no such function.
    """
    spec = spec_from_file_location(f"command_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    parser = module.build_parser()
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def section(name: str, parser: argparse.ArgumentParser) -> str:
    """Return the section of a command, with a subsection for each of its subcommands.

    Parameters
    ----------
    name : str
        The script's file name.
    parser : ArgumentParser
    """
    parser.prog = f"python src/{name}"
    parts = [f"## {name} {{ #{_anchor(name)} }}", prose(parser.description), _usage(parser), _options(parser)]
    for command, summary, subparser in _subcommands(parser):
        subparser.prog = f"python src/{name} {command}"
        parts += [
            f"### {name} {command} {{ #{_anchor(name)}-{command} }}",
            prose(f"{summary[:1].upper()}{summary[1:]}."),
        ]
        parts += [_usage(subparser), _options(subparser)]
    return "\n\n".join(part for part in parts if part)


def _usage(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = partial(argparse.HelpFormatter, width=WIDTH)
    vars(parser)["color"] = False  # Python 3.14 colors what goes to a terminal
    usage = dedent(" " * len("usage: ") + parser.format_usage().removeprefix("usage: "))
    return f"```text\n{usage.rstrip()}\n```"


def _options(parser: argparse.ArgumentParser) -> str:
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    rows = [
        (code(_invocation(action)), _default(action), prose(_help(parser, action)))
        for action in parser._actions
        if not isinstance(action, hidden)
    ]
    return table(("Option", "Default", "Description"), rows) if rows else ""


def _invocation(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    value = action.metavar if isinstance(action.metavar, str) else choices
    if not action.option_strings:
        return value
    forms = {0: "", "?": f" [{value}]", "+": f" {value} [{value} ...]", "*": f" [{value} ...]"}
    return (
        f"{', '.join(action.option_strings)}{forms.get(action.nargs or '', f' {value}') if action.nargs != 0 else ''}"
    )


def _default(action: argparse.Action) -> str:
    if action.required:
        return "required"
    if isinstance(action, argparse.BooleanOptionalAction):
        return code(action.option_strings[not action.default])
    if action.default in (None, "", argparse.SUPPRESS) or (action.default is False and action.nargs == 0):
        return ""
    return code(action.default)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = (action.help or "").replace(" (default: %(default)s)", "")  # the default has a column of its own
    return text % {**vars(action), "prog": parser.prog}


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield name, summary and parser of each subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, subparser in action.choices.items():
                yield name, summaries.get(name, ""), subparser


def _anchor(name: str) -> str:
    return name.removesuffix(".py").replace("_", "-")
