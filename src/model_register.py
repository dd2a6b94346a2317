"""Stage 3: register a run's model, set its stage and export it for Production; or list, verify, roll back."""

import argparse
import sys
from pathlib import Path

from pipeline.cli import run_script

STAGES = ("None", "Staging", "Production", "Archived")
LATEST = -1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--stage", choices=STAGES, help="stage of the version (default: register.stage of params.yaml)")
    action.add_argument("--rollback", action="store_true", help="return to the previous production version")
    action.add_argument(
        "--list", action="store_true", help="list all versions: stage, run, metrics, data, who set the stage and why"
    )
    action.add_argument("--history", action="store_true", help="list all stage transitions, the oldest first")
    action.add_argument(
        "--verify",
        nargs="?",
        type=int,
        const=LATEST,
        metavar="VERSION",
        help="verify a version and its export against the store (default: the export that latest points to)",
    )
    parser.add_argument("--run-id", metavar="ID", help="MLflow run to register (default: the winner of model_train)")
    parser.add_argument(
        "--force", action="store_true", help="with --stage Production: promote even if the gate refuses"
    )
    parser.add_argument(
        "--reason", default="", metavar="TEXT", help="reason to record in the history; required with --force"
    )
    parser.add_argument(
        "--to", type=int, metavar="VERSION", help="with --rollback: version to return to (default: the previous one)"
    )
    return parser


def main() -> None:
    """Parse the command line and run one action on the current pipeline folder."""
    parser = build_parser()
    arguments = parser.parse_args()
    is_read_only = arguments.list or arguments.history or arguments.verify is not None
    if arguments.force and (arguments.stage != "Production" or not arguments.reason.strip()):
        parser.error('--force requires --stage Production and a --reason "…" for the history')
    if arguments.to is not None and not arguments.rollback:
        parser.error("--to requires --rollback")
    if arguments.run_id and (is_read_only or arguments.rollback):
        parser.error("--run-id is for registration only; with --rollback, use --to VERSION")
    if arguments.reason and is_read_only:
        parser.error("--reason is for changes of a stage only")

    from pipeline.params.load import load_params

    params = load_params().registry
    if arguments.list or arguments.history:
        from pipeline.register.listing import history_table, versions_table

        print(versions_table(params.model_name) if arguments.list else history_table(params.model_name))
    elif arguments.verify is not None:
        from pipeline.register.verify.verify import report, verify
        from pipeline.store.open import open_store

        version = None if arguments.verify == LATEST else arguments.verify
        checks = verify(open_store(), params.model_name, Path(), version)
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
