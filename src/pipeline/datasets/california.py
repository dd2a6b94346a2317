"""Download the real California housing table with scikit-learn, and convert it to the columns of this pipeline."""

import warnings
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import pandas as pd

DOLLARS = 100_000


def fetch_california() -> "pd.DataFrame":
    """Return the downloaded table of Pace & Barry (Statistics and Probability Letters 33, 1997).

    Returns
    -------
    DataFrame, shape (20640, 9)
        One row for each census block group, with totals where scikit-learn has averages per household, and the target
        in dollars. The column ocean_proximity is missing, because scikit-learn's version does not have it.

    Raises
    ------
    PipelineError
        When the table cannot be downloaded.
    """
    from sklearn.datasets import fetch_california_housing

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one for each retry
            averages = fetch_california_housing(as_frame=True).frame
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise PipelineError(
            f"the California housing table cannot be downloaded: {reason}",
            "try again with internet access, or set dataset.path in params.yaml to a local CSV file",
        ) from None
    return totals(averages)


def totals(averages: "pd.DataFrame") -> "pd.DataFrame":
    """Convert scikit-learn's averages per household into the totals of the census table."""
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
