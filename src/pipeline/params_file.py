"""params.yaml, read and checked."""

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import ParamsError
from pipeline.params import Params
from pipeline.space import Range


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises
    ------
    ParamsError
        When the file is missing, is not YAML, or holds an unknown key or a value out of range; the message
        names each key.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (it is a SafeLoader)
    except FileNotFoundError:
        raise ParamsError(
            f"{path.resolve()} does not exist", "run from a folder that holds a dvc.yaml and a params.yaml"
        ) from None
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise ParamsError(f"{path} is not valid YAML: {detail}", "mend that line") from None
    return check_params(content, str(path))


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: otherwise the last one would win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def check_params(content: Any, source: str) -> Params:
    """Check the content of a params file; `source` names it in messages."""
    if not isinstance(content, dict):
        raise ParamsError(f"{source} holds no keys", "start it with `dataset:` (README, 'Use your own table')")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = [f"{_key(problem['loc'])}: {_reason(problem)}" for problem in error.errors(include_url=False)]
        raise ParamsError(f"{source}: " + "; ".join(dict.fromkeys(lines)), f"mend the named key in {source}") from None


def _key(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("range", "choices"))


def _reason(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown key; known are {', '.join(_known_keys(problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return "missing"
    reason = problem["msg"].removeprefix("Value error, ")
    return reason if isinstance(problem["input"], dict) else f"{reason} (it is {problem['input']!r})"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the section at `location`."""
    section: type[BaseModel] = Params
    for part in location:
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        if part == "space":  # holds ranges, by the names of parameters
            section = Range
            break
        annotation = fields[str(part)].annotation
        section = next(kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type))
    return [field.alias or name for name, field in section.model_fields.items()]
