# SPDX-License-Identifier: Apache-2.0
"""Which of a model's classes each class of a data set is.

By name; by number where the data set has no names; or as the user's file says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Union

import numpy as np
import yaml

from kd_yolo_ros.errors import UserError
from kd_yolo_ros.metrics.ground_truth import GroundTruth, Truth

ClassMapFile = Union[None, str, Path, Mapping[Any, Any]]


class ClassMap(NamedTuple):
    """The answer of `map_classes`.

    Attributes:
        to_model: the data set's class number to the model's, for classes that both have.
        missing: names of the data set's classes that the model lacks; they are not counted.
    """

    to_model: Dict[int, int]
    missing: List[str]


def map_classes(
    names_model: Sequence[str],
    truth: GroundTruth,
    class_map: ClassMapFile = None,
    absent_too: bool = False,
) -> ClassMap:
    """Match the data set's classes with the model's.

    Args:
        names_model: the model's class names in order.
        truth: the data set; only the classes that occur in it matter, as far as not
            `absent_too`.
        class_map: YAML file or mapping of {data set's name or number: model's name or number,
            or null for a class that is not to count}.
            What it does not mention is matched as without it.
        absent_too: also match classes that the data set, or else the map, names without there
            being an object of them.

    Raises:
        UserError: it cannot be told which class is meant, or none is common to both.
    """
    given = _read(class_map)
    by_name = _index_names(names_model)
    to_model: Dict[int, int] = {}
    missing: List[str] = []
    used = set()
    class_ids = set(truth.class_ids)
    if absent_too:
        class_ids.update(truth.names or (int(key) for key in given if _is_number(key)))
    for class_id in sorted(class_ids):
        name = None if truth.names is None else truth.names[class_id]
        keys = [key for key in (name, class_id, str(class_id)) if key in given]
        used.update(keys)
        if keys:
            if given[keys[0]] is None:
                missing.append(name if name is not None else f'class {class_id}')
            else:
                to_model[class_id] = _model_class(given[keys[0]], names_model, by_name)
        elif name is None:
            if class_id >= len(names_model):
                raise UserError(
                    f'{truth.description}: class {class_id} has no name and the model only '
                    f'{len(names_model)} classes: say which is meant with --class-map'
                )
            to_model[class_id] = class_id
        else:
            found = _find(name, names_model, by_name)
            if found is None:
                missing.append(name)
            else:
                to_model[class_id] = found
    known = set(used)
    if truth.names is not None:
        known.update(truth.names, truth.names.values(), map(str, truth.names))
    unknown = [key for key in given if key not in known and not _is_number(key)]
    if unknown:
        raise UserError(f'class map: {truth.description} has no class {unknown[0]!r}')
    if class_ids and not to_model:
        raise UserError(
            f'{truth.description} and the model have no class in common '
            f'({", ".join(missing[:5])} against {", ".join(names_model[:5])}): '
            'say which are the same with --class-map'
        )
    return ClassMap(to_model, missing)


def _is_number(key: Any) -> bool:
    return isinstance(key, int) or str(key).isdigit()


def _plain(name: str) -> str:
    return ' '.join(name.casefold().replace('_', ' ').replace('-', ' ').split())


def _index_names(names: Sequence[str]) -> Dict[str, List[int]]:
    index: Dict[str, List[int]] = {}
    for number, name in enumerate(names):
        index.setdefault(_plain(name), []).append(number)
    return index


def _find(
    name: str, names_model: Sequence[str], by_name: Mapping[str, Sequence[int]]
) -> Optional[int]:
    """Return the model's class of that name; spelling counts only where it decides."""
    exact = [number for number, model_name in enumerate(names_model) if model_name == name]
    found = exact or by_name.get(_plain(name), [])
    if len(found) > 1:
        raise UserError(
            f'class {name!r} may be any of the classes {", ".join(map(str, found))} of the '
            'model: say which is meant with --class-map'
        )
    return found[0] if found else None


def _model_class(
    value: Any, names_model: Sequence[str], by_name: Mapping[str, Sequence[int]]
) -> int:
    found = _find(str(value), names_model, by_name)
    if found is not None:
        return found
    if _is_number(value) and int(value) < len(names_model):
        return int(value)
    listed = ', '.join(names_model[:10]) + (', …' if len(names_model) > 10 else '')
    raise UserError(f'class map: the model has no class {value!r}, it has {listed}')


def knows_masks(truths: Iterable[Truth], class_map: ClassMap) -> bool:
    """Tell whether masks can be judged: an object of a class that the model has comes with one.

    Crowd regions are no such objects.
    """
    known = list(class_map.to_model)
    return any(
        (truth.has_mask & ~truth.crowd & np.isin(truth.class_ids, known)).any() for truth in truths
    )


def _read(class_map: ClassMapFile) -> Mapping[Any, Any]:
    if class_map is None:
        return {}
    if isinstance(class_map, (str, Path)):
        try:
            with open(class_map, encoding='utf-8') as file:
                content = yaml.safe_load(file)
        except OSError as error:
            raise UserError(f'class map {class_map}: {error.strerror}') from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f'class map {class_map}: {" ".join(str(error).split())}') from error
    else:
        content = class_map
    if not isinstance(content, Mapping):
        raise UserError(
            f'class map {class_map}: expected lines of "class of the data set: class of the model"'
        )
    return content
