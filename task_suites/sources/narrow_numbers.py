"""Numbers of half and single precision as they were written: a rating of 3.8 is 3.8 and not 3.799999952316284.

Parquet, Arrow and the hub's data sets may store a number in 16 or 32 bits. As a Python float it has all digits of its
nearest binary fraction, which a CSV file with the same numbers has not; a prompt would show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any


def restorers(schema: Any) -> dict[str, Callable[[Any], Any]]:
    """Return column -> what makes its values as they were written, for the columns of an Arrow schema that hold such
    numbers, also within lists and objects."""
    return {field.name: partial(_restored, kind=field.type) for field in schema if _is_narrow(field.type)}


def restored(row: Mapping[str, Any], made: Mapping[str, Callable[[Any], Any]]) -> Mapping[str, Any]:
    """Return a row with the values of its columns as they were written."""
    return {name: made[name](value) if name in made else value for name, value in row.items()} if made else row


def _is_narrow(kind: Any) -> bool:
    return _number(kind) is not None or any(_is_narrow(kind.field(i).type) for i in range(kind.num_fields))


def _number(kind: Any) -> Any:
    """Return NumPy's type of an Arrow type of half or single precision; None for another one."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return kind.to_pandas_dtype() if pa.types.is_float32(kind) or pa.types.is_float16(kind) else None


def _restored(value: Any, kind: Any) -> Any:
    if isinstance(value, float) and (number := _number(kind)):
        return float(str(number(value)))
    if isinstance(value, Mapping):
        return {name: _restored(item, kind.field(name).type) for name, item in value.items()}
    if isinstance(value, tuple):  # an entry of a map
        return tuple(_restored(item, kind.field(i).type) for i, item in enumerate(value))
    if isinstance(value, list) and kind.num_fields == 1:
        return [_restored(item, kind.field(0).type) for item in value]
    return value
