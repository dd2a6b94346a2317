"""params.yaml, read and checked."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import ParamsError
from pipeline.params.messages import problems
from pipeline.params.schema import Params
from pipeline.support.yaml import read_yaml

MOST_BYTES = 1_000_000


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises
    ------
    ParamsError
        When the file is missing or too large, is not YAML, or holds an unknown key or a value out of range; the
        message names each key.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ParamsError(
                f"{path} has {size:,} bytes, more than {MOST_BYTES:,}", "keep parameters in it, and data in files"
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
    """Check the content of a params file; `source` names it in messages."""
    if not isinstance(content, dict):
        raise ParamsError(f"{source} holds no keys", "start it with `dataset:` (README, 'Use your own table')")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError(
            f"{source}: " + "; ".join(problems(error, content)), f"mend the named key in {source}"
        ) from None
