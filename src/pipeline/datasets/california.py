"""The real California housing table, through scikit-learn's loader, with the columns this pipeline expects."""

import warnings
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import pandas as pd

DOLLARS = 100_000


def fetch_california() -> "pd.DataFrame":
    """Download the table of Pace & Barry (Statistics and Probability Letters 33, 1997).

    Returns
    -------
    DataFrame, shape (20640, 9)
        One row a census block group, with totals where scikit-learn gives averages a household, and the target
        in dollars. It has no ocean_proximity: scikit-learn's variant lacks it.

    Raises
    ------
    PipelineError
        When the table cannot be downloaded.
    """
    from sklearn.datasets import fetch_california_housing

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a note for each retry
            averages = fetch_california_housing(as_frame=True).frame
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise PipelineError(
            f"the California housing table cannot be downloaded: {reason}",
            "try again with internet access, or set dataset.path in params.yaml to a CSV you have",
        ) from None
    return totals(averages)


def totals(averages: "pd.DataFrame") -> "pd.DataFrame":
    """Turn scikit-learn's averages a household into the totals of the census table."""
    import pandas as pd

    households = (averages["Population"] / averages["AveOccup"]).round()
    return pd.DataFrame(
        {
            "longitude": averages["Longitude"],
            "latitude": averages["Latitude"],
            "housing_median_age": averages["HouseAge"],
            "total_rooms": (averages["AveRooms"] * households).round(),
            "total_bedrooms": (averages["AveBedrms"] * households).round(),
            "population": averages["Population"],
            "households": households,
            "median_income": averages["MedInc"],
            "median_house_value": (averages["MedHouseVal"] * DOLLARS).round(),
        }
    )
