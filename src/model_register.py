"""Stage 3: register a run's model, give it a stage, and export it when the stage is Production; or look, or go back."""

import argparse
import sys
from pathlib import Path

from pipeline.cli import run_script

STAGES = ("None", "Staging", "Production", "Archived")
LATEST = -1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stage", choices=STAGES, help="the stage to give; register.stage of params.yaml when absent")
    what.add_argument("--rollback", action="store_true", help="put the version before back into Production")
    what.add_argument("--list", action="store_true", help="the versions: stage, run, metrics, data, by whom and why")
    what.add_argument("--history", action="store_true", help="every move of a version from stage to stage")
    what.add_argument(
        "--verify",
        nargs="?",
        type=int,
        const=LATEST,
        metavar="VERSION",
        help="check a version and its export against the store; the export that latest points at when absent",
    )
    parser.add_argument("--run-id", metavar="ID", help="the MLflow run to register; the winner of training when absent")
    parser.add_argument("--force", action="store_true", help="with --stage Production: promote what the gate refuses")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the history; needed with --force")
    parser.add_argument("--to", type=int, metavar="VERSION", help="with --rollback: the version to go back to")
    return parser


def main() -> None:
    """Parse the command line and do one thing in the current folder."""
    parser = build_parser()
    arguments = parser.parse_args()
    looks = arguments.list or arguments.history or arguments.verify is not None
    if arguments.force and (arguments.stage != "Production" or not arguments.reason.strip()):
        parser.error('--force goes with --stage Production and a --reason "…", which the history keeps')
    if arguments.to is not None and not arguments.rollback:
        parser.error("--to goes with --rollback")
    if arguments.run_id and (looks or arguments.rollback):
        parser.error("--run-id goes with registering; --rollback takes --to VERSION")
    if arguments.reason and looks:
        parser.error("--reason goes with a change of stage")

    from pipeline.params.load import load_params

    params = load_params().registry
    if arguments.list or arguments.history:
        from pipeline.register.listing import history_table, versions_table

        print(versions_table(params.model_name) if arguments.list else history_table(params.model_name))
    elif arguments.verify is not None:
        from pipeline.register.verify.verify import report, verify
        from pipeline.store.open import open_store

        wanted = None if arguments.verify == LATEST else arguments.verify
        checks = verify(open_store(), params.model_name, Path(), wanted)
        print(report(checks))
        sys.exit(not all(check.passed for check in checks))
    elif arguments.rollback:
        from pipeline.register.rollback import rollback

        rollback(params, Path(), arguments.to, arguments.reason)
    else:
        from pipeline.register.stage import Registration, register

        register(params, Path(), Registration(arguments.stage, arguments.run_id, arguments.force, arguments.reason))


if __name__ == "__main__":
    run_script(main)
