"""What every part of a record has in common."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Nothing unknown is read, and what is not finite is written as a word."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")
