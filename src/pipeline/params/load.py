"""Read and validate params.yaml."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import ParamsError
from pipeline.params.messages import problems
from pipeline.params.schema import Params
from pipeline.support.yaml import read_yaml

MAX_BYTES = 1_000_000


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Return the validated content of params.yaml.

    Raises
    ------
    ParamsError
        When the file is missing, too large or not YAML, or has unknown keys or invalid values. The message names each
        key.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ParamsError(
                f"{path} has {size:,} bytes, more than {MAX_BYTES:,}",
                "keep only parameters in it, and data in files of their own",
            )
        content = read_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ParamsError(
            f"{path.resolve()} does not exist", "run from a folder that holds a dvc.yaml and a params.yaml"
        ) from None
    except ValueError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}", "correct that line") from None
    return check_params(content, str(path))


def check_params(content: Any, source: str) -> Params:
    """Return the validated content of a params file.

    Parameters
    ----------
    content : any
        The parsed YAML.
    source : str
        What messages call the file.

    Raises
    ------
    ParamsError
        When the content is not a mapping, or has unknown keys or invalid values.
    """
    if not isinstance(content, dict):
        raise ParamsError(f"{source} has no sections", "start it with `dataset:` (README, 'Use your own table')")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(
            f"{source}: " + "; ".join(problems(error, content)), f"correct the named keys in {source}"
        ) from None
