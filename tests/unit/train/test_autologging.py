"""Pickles of fitted estimators have the same bytes whatever the process has unpickled before."""

import pickle

from sklearn.preprocessing import StandardScaler

from pipeline.train.autologging import reproducible_pickles


class UnpickledScaler(StandardScaler):
    """A class whose first instance was unpickled, so that its attributes are named by strings of the pickle."""


class NewScaler(StandardScaler):
    """A class without unpickled instances."""


def test_pickles_do_not_depend_on_what_was_unpickled() -> None:
    names = ["".join(list(name)) for name in StandardScaler().__dict__]  # equal strings, but other objects
    state = dict.fromkeys([*names, "_sklearn_version"])
    del state["_sklearn_version"]  # as scikit-learn does; CPython shares no strings of a dictionary without gaps
    UnpickledScaler.__new__(UnpickledScaler).__setstate__(state)

    def pickled(scaler_class: type[StandardScaler]) -> int:
        return len(pickle.dumps([scaler_class(), "copy", "with_mean", "with_std"])) - len(scaler_class.__name__)

    assert pickled(UnpickledScaler) > pickled(NewScaler)
    with reproducible_pickles():
        assert pickled(UnpickledScaler) == pickled(NewScaler)
