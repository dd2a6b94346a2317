"""Inspect and maintain the MLflow store: status, relocate, prune, backup and restore."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    subparsers.add_parser("status", help="show the store's contents and problems, with the command that fixes each")
    relocate = subparsers.add_parser("relocate", help="update the recorded paths after the repository was moved")
    relocate.add_argument(
        "--from", dest="origin", type=Path, metavar="OLD", help="the store's former folder, if it cannot be detected"
    )
    prune = subparsers.add_parser("prune", help="remove failed runs, and candidates that were never registered")
    prune.add_argument(
        "--older-than", default="30d", metavar="AGE", help="minimum age in hours, days or weeks: 12h, 30d (default), 4w"
    )
    prune.add_argument(
        "--dry-run", action=argparse.BooleanOptionalAction, default=True, help="only show what would be removed"
    )
    backup = subparsers.add_parser("backup", help="write the whole store to one file, even while it is in use")
    backup.add_argument(
        "--to", type=Path, metavar="FILE", help="path of the backup (default: mlruns.backup-TIME.tar beside mlruns/)"
    )
    restore = subparsers.add_parser("restore", help="replace the store with a backup, and keep the replaced store")
    restore.add_argument("archive", type=Path, metavar="FILE", help="path of the backup")
    return parser


def main() -> None:
    """Parse the command line and run the subcommand."""
    arguments = build_parser().parse_args()
    from pipeline.store.maintenance import commands

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
