"""Care for the MLflow store: what it holds, moving, pruning, backup and restore."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    subparsers.add_parser("status", help="what the store holds, and what needs care, with the command that mends it")
    relocate = subparsers.add_parser(
        "relocate", help="after the repository was moved: let the store record the new place"
    )
    relocate.add_argument("--from", dest="origin", type=Path, metavar="OLD", help="where it was, if that is asked for")
    prune = subparsers.add_parser("prune", help="remove failed runs and candidates that were never registered")
    prune.add_argument(
        "--older-than", default="30d", metavar="AGE", help="hours, days or weeks: 12h, 30d (default), 4w"
    )
    prune.add_argument("--dry-run", action=argparse.BooleanOptionalAction, default=True, help="only show what would go")
    backup = subparsers.add_parser("backup", help="write one file with all of the store, while others use it")
    backup.add_argument("--to", type=Path, metavar="FILE", help="mlruns.backup-TIME.tar beside mlruns/ when absent")
    restore = subparsers.add_parser("restore", help="put a backup into the store's place; what is there is kept")
    restore.add_argument("archive", type=Path, metavar="FILE")
    return parser


def main() -> None:
    """Parse the command line and do what it says with the store."""
    arguments = build_parser().parse_args()
    from pipeline.store.care import commands

    match arguments.command:
        case "status":
            print(commands.status())
        case "relocate":
            print(commands.relocate_store(arguments.origin))
        case "prune":
            print(commands.prune_store(arguments.older_than, arguments.dry_run))
        case "backup":
            print(commands.back_up_store(arguments.to))
        case "restore":
            print(commands.restore_store(arguments.archive))


if __name__ == "__main__":
    run_script(main)
