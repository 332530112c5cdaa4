"""Does another size compile anything?"""

from pipelines import compiled, draw
from torch._dynamo.utils import counters

SIZES = [
    (128, 128),
    (128, 64),
    (64, 128),
    (64, 64),
    (96, 160),
    (160, 96),
    (192, 192),
    (128, 256),
    (256, 128),
    (256, 256),
    (112, 208),
    (240, 80),
]


def test_shapes() -> None:
    """After three sizes no other one is compiled for."""
    pipeline = compiled()
    for size in SIZES[:3]:
        draw(pipeline, size=size, steps=2)
    before = counters["stats"]["unique_graphs"]
    for size in SIZES:
        draw(pipeline, size=size, steps=2)
    assert counters["stats"]["unique_graphs"] == before
