"""The hyperparameters of each model family, from the file that states them."""

import json

from reference_pages.json_schema import bounds
from reference_pages.markdown import code, table


def hyperparameters() -> str:
    """Return a heading and a table for each model family."""
    from pipeline.learn.families import family, names

    parts = []
    for name in names():
        found = family(name)
        rows = [
            (
                code(key),
                _values(parameter),
                code(json.dumps(found.defaults[key])) if key in found.defaults else "",
                _space(found.space[key]) if key in found.space else "",
            )
            for key, parameter in found.parameters.items()
        ]
        regressor, classifier = found.estimators
        parts += [
            f"### `{name}` {{ #family-{name} }}",
            f"Estimators: `{regressor}` for regression, `{classifier}` for classification.",
            table(("Hyperparameter", "Values", "Fixed by default", "Searched by default"), rows),
        ]
    return "\n\n".join(parts)


def _values(parameter: object) -> str:
    """Return the values that a hyperparameter may take; `parameter` is a `pipeline.learn.space.Parameter`."""
    from pipeline.learn.space import Parameter

    assert isinstance(parameter, Parameter)
    if parameter.layers:
        return "list of integers: the sizes of the hidden layers"
    words = [code("null" if word is None else word) for word in parameter.words]
    if parameter.low <= parameter.high:
        low, above = (None, parameter.low) if parameter.above else (parameter.low, None)
        words.insert(0, ("integer" if parameter.whole else "number") + bounds(low, above, parameter.high, None))
    return " or ".join(words)


def _space(values: object) -> str:
    """Return a range or a list of choices in words."""
    from pipeline.learn.space import Range

    if isinstance(values, Range):
        return f"{values.low:g} to {values.high:g}{', logarithmic' if values.log else ''}"
    assert isinstance(values, list)
    return ", ".join(code(json.dumps(value)) for value in values)
