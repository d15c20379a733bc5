"""YAML as people write it, and nothing that grows when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerochain.errors import InputError

if TYPE_CHECKING:
    from yaml import Node

_MOST_VALUES = 100_000
_DEEPEST = 50


def parse_yaml(content: bytes | str, path: Path | str | None = None) -> Any:
    """The value in a YAML text; None where there is none.

    Raises:
        InputError: not YAML or not UTF-8, or aliases that stand for more than anybody writes.
    """
    import yaml

    try:
        loader = yaml.SafeLoader(content.decode() if isinstance(content, bytes) else content)
        node = loader.get_single_node()
        check_size(node)
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise InputError(
            f"is not YAML ({str(error).partition(chr(10))[0]})",
            path=path,
            cause="a quote, an indentation or a colon is missing, or the file was damaged",
            remedy="fix it",
        ) from error


def read_yaml(path: Path) -> Any:
    """The value in a YAML file.

    Raises:
        InputError: as `parse_yaml`, or it can't be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"can't be read ({error.strerror})", path=path, remedy="check the path"
        ) from error
    return parse_yaml(content, path)


def check_size(node: Node | None) -> None:
    """Raise ValueError where a text stands for too much.

    A few lines of aliases of aliases are billions of values once they are written out, and an
    alias within itself has no end.
    """
    if node is not None and _n_values(node, {}, 0) > _MOST_VALUES:
        raise ValueError(f"stands for more than {_MOST_VALUES} values")


def _n_values(node: Node, known: dict[int, int | None], depth: int) -> int:
    import yaml

    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} levels within each other")
    if id(node) in known:
        counted = known[id(node)]
        if counted is None:
            raise ValueError("an alias stands within itself")
        return counted
    known[id(node)] = None
    inner: list[Node] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = [one for pair in node.value for one in pair]
    known[id(node)] = n = 1 + sum(_n_values(one, known, depth + 1) for one in inner)
    return n
