"""Stage 1: validate and split the table at dataset.path of ./params.yaml."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    return argparse.ArgumentParser(description=__doc__)


def main() -> None:
    """Parse the command line and run the stage in the current folder."""
    build_parser().parse_args()
    from pipeline.params.load import load_params
    from pipeline.prepare.stage import prepare
    from pipeline.support.cluster import cluster_of
    from pipeline.support.threads import in_threads

    params = load_params()
    with cluster_of(params.train.engine, Path()) as cluster:
        folder, run = (cluster.folder, cluster.run) if cluster else (Path(), in_threads)
        prepared = prepare(params.dataset, folder, run, params.features)
    print(prepared.summary)


if __name__ == "__main__":
    run_script(main)
