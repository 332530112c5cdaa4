"""The JSON Schema of `record.json`, for readers in other languages."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from nearlossless.record import Record

_WORDS = ["Infinity", "-Infinity", "NaN"]


class _Schema(GenerateJsonSchema):
    """JSON has no words for what is not finite: a record writes them as strings."""

    def float_schema(self, schema: Any) -> JsonSchemaValue:
        """A number, or one of three words."""
        return {"anyOf": [super().float_schema(schema), {"enum": _WORDS}]}


def record_schema() -> str:
    """The schema as JSON text, keys in order."""
    schema = Record.model_json_schema(schema_generator=_Schema, mode="validation")
    schema["$schema"] = _Schema.schema_dialect
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"
