"""The search for transits against astropy's box least squares, which tries every period of a fine grid."""

from typing import NamedTuple


class Transit(NamedTuple):
    """A simulated planet: times in points, depth in deviations of the noise."""

    n_points: int
    period: float
    duration: int
    epoch: float
    depth: float
    missing: float


CURVES = [
    Transit(600, 41.3, 3, 1.0, 6.0, 0.0),
    Transit(600, 73.7, 4, 20.0, 4.0, 0.02),
    Transit(1000, 120.5, 5, 100.0, 3.0, 0.0),
    Transit(1500, 61.7, 4, 60.2, 2.5, 0.05),
    Transit(1500, 250.0, 9, 40.0, 5.0, 0.01),
    Transit(3197, 333.3, 8, 200.0, 2.5, 0.01),
]
