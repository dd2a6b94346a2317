"""params.yaml, read and checked."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.errors import ParamsError
from pipeline.params.messages import problems
from pipeline.params.schema import Params
from pipeline.support.section import shown

MOST_BYTES = 1_000_000
MOST_VALUES = 200_000  # with those that `*` repeats


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
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Loader)  # noqa: S506 (it is a SafeLoader)
    except FileNotFoundError:
        raise ParamsError(
            f"{path.resolve()} does not exist", "run from a folder that holds a dvc.yaml and a params.yaml"
        ) from None
    # Its constructors of dates, numbers and truth values raise whatever Python does.
    except (yaml.YAMLError, ValueError, AttributeError, LookupError, TypeError, RecursionError) as error:
        detail = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ParamsError(f"{path} is not valid YAML: {detail[:500]}", "mend that line") from None
    return check_params(content, str(path))


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once, or the last one would win without a word, and repeated values stay few."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if node is None:
            return None
        if _n_values(node, {}) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(None, None, "it repeats values by `*` without bounds")
        return self.construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key, _ in node.value:
            value = self.construct_object(key, deep=True)
            if not isinstance(value, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is no plain value", key.start_mark)
            if value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {shown(value)} stands twice", node.start_mark)
            seen.add(value)
        return super().construct_mapping(node, deep)


def _n_values(node: yaml.Node, known: dict[int, float]) -> float:
    """Return how many values a node stands for, repeated ones counted each time; one within itself has no end."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = (one for part in parts for one in (part if isinstance(part, tuple) else (part,)))
        known[id(node)] = 1 + sum(_n_values(one, known) for one in flat)
    return known[id(node)]


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
