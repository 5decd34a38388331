"""Frozen settings with canonical JSON and errors that name the nearest valid key."""

from __future__ import annotations

import difflib
import json
import math
import types
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from regionzoo.errors import UserError

# Strict numbers: YAML 1.1 readers take 1e-3 for text and `yes` for a truth value; both must be refused, not converted.
Integer = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Truth = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Seed = Annotated[int, Field(strict=True, ge=0)]


def _cell(value: Any) -> float | tuple[float, float, float]:
    sizes = value if isinstance(value, list | tuple) else [value]
    good = all(isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < math.inf for one in sizes)
    if not good or len(sizes) not in (1, 3):
        raise ValueError(f"expected metres, one number above 0 or one along each of x, y, z (given: {value!r})")
    if len(sizes) == 1:
        return float(sizes[0])
    return float(sizes[0]), float(sizes[1]), float(sizes[2])


# One check of both forms: a union would tell an error once for each.
VoxelSize = Annotated[Any, PlainValidator(_cell)]
ClassSetName = Literal["scannet20", "scannet200", "nuscenes16"]
TAG = "~"
"""First character of the tags of tagged unions: they are in the path of an error and are no keys."""


class Settings(BaseModel):
    """Base of every settings model: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical(self) -> str:
        """The settings as one JSON string with sorted keys: equal settings, equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Settings from canonical JSON; :class:`UserError` with the key and the reason if they are not valid."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"--settings: not valid JSON ({error})") from None
        return cls.check(value, "--settings")

    @classmethod
    def check(cls, value: Any, where: str) -> Self:
        """Validate plain data; :class:`UserError` of one line naming ``where``, the key and the nearest valid one."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            # Unknown keys first: a misspelt key is also a missing one, and its nearest name is the help.
            items = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")[:3]
            raise UserError(f"{where}: " + "; ".join(_explain(cls, item) for item in items)) from None


def _explain(model: type[BaseModel], item: Any) -> str:
    whole = [str(part) for part in item["loc"]]
    path = [part for part in whole if not part.startswith(TAG)]
    key = ".".join(path)
    if item["type"] == "extra_forbidden":
        valid = _fields_at(model, whole[:-1])
        near = difflib.get_close_matches(path[-1], valid, n=1, cutoff=0.5)
        return f"{key}: unknown key" + (f"; did you mean '{near[0]}'?" if near else f"; valid: {', '.join(valid)}")
    if item["type"] == "missing":
        return f"{key}: missing"
    message = item["msg"].removeprefix("Value error, ")
    given = "" if item["type"] == "value_error" else f" (given: {item['input']!r})"
    return (f"{key}: " if key else "") + message[0].lower() + message[1:] + given


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Names of the fields of the model that stands at ``path`` below ``model``."""
    current: Any = model
    for part in path:
        if part.startswith(TAG):
            members = get_args(current)
            current = next(get_args(one)[0] for one in members if get_args(one)[1].tag == part)
        elif isinstance(current, type) and issubclass(current, BaseModel):
            if part not in current.model_fields:
                return []
            current = _strip(current.model_fields[part].annotation)
        elif get_origin(current) in (dict, tuple, list):
            current = _strip(next(arg for arg in reversed(get_args(current)) if arg is not Ellipsis))
        else:
            return []
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _strip(annotation: Any) -> Any:
    """The model inside Optional and Annotated, or a tagged union: the rest of the path tells its members apart."""
    if get_origin(annotation) is types.UnionType or str(get_origin(annotation)) == "typing.Union":
        members = [arg for arg in get_args(annotation) if arg is not type(None)]
        return annotation if get_origin(members[0]) is Annotated else _strip(members[0])
    return _strip(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation
