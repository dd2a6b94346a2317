"""Make a scaler from means and variances."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


def scaler_of(
    names: Sequence[str], mean: NDArray[np.float64], variance: NDArray[np.float64], n_rows: int
) -> "StandardScaler":
    """Return a scaler as if it were fitted, without the rows.

    Parameters
    ----------
    names : sequence of str
        Names of the features.
    mean, variance : arrays of float64, shape (n_features,)
    n_rows : int
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    if names:
        scaler.fit(pd.DataFrame(np.zeros((1, len(names)), np.float32), columns=list(names)))
    else:  # which `fit` refuses
        scaler.feature_names_in_, scaler.n_features_in_ = np.array([], dtype=object), 0
    # Arrays from another process have data types of their own, and a pickle would differ.
    scaler.mean_, scaler.var_ = (np.array(values.tolist()) for values in (mean, variance))
    scaler.n_samples_seen_ = n_rows
    deviation = np.sqrt(scaler.var_)
    # 32-bit floats cannot divide by less.
    scaler.scale_ = np.where(deviation >= np.finfo(np.float32).tiny, deviation, 1.0)
    return scaler
