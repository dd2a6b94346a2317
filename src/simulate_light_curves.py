"""Write simulated light curves to a CSV file, the same bytes for the same options."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, help="number of stars (default: 1000)")
    parser.add_argument("--points", type=int, help="number of points in each light curve (default: 600)")
    parser.add_argument("--seed", type=int, help="random seed (default: 2009)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("data/raw/light_curves.csv"),
        help="CSV file to write (default: %(default)s)",
    )
    return parser


def main() -> None:
    """Parse the command line and write the table."""
    parser = build_parser()
    arguments = parser.parse_args()
    if arguments.stars is not None and arguments.stars < 1:
        parser.error("--stars must be 1 or more")
    from pipeline.datasets.simulated_light_curves import MIN_POINTS, POINTS, SEED, STARS, simulate
    from pipeline.support.files import atomic_write

    stars = STARS if arguments.stars is None else arguments.stars
    points = POINTS if arguments.points is None else arguments.points
    if points < MIN_POINTS:
        parser.error(f"--points must be {MIN_POINTS} or more")
    simulated = simulate(stars, points, SEED if arguments.seed is None else arguments.seed)
    with atomic_write(arguments.output) as temporary:
        simulated.table.to_csv(temporary, index=False, float_format="%.0f")
    with_planet = int(simulated.stars["depth"].notna().sum())
    print(f"{arguments.output}: {stars:,} simulated stars, {points:,} points each, {with_planet:,} with a planet")


if __name__ == "__main__":
    run_script(main)
