"""
The drawn world: scenes of shapes on patterned backgrounds, and the captions that describe them.

It stands in for the photographs that a full-size model was trained on. A caption names everything that
can be told apart in its picture (up to a small jitter), so that a judge can say whether a picture
follows its prompt. Pictures are drawn with Pillow at twice their size and reduced with LANCZOS.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS = {
    "red": (214, 40, 46),
    "green": (46, 160, 67),
    "blue": (38, 84, 214),
    "yellow": (244, 208, 48),
    "orange": (240, 128, 32),
    "purple": (136, 62, 176),
    "white": (244, 244, 240),
    "black": (24, 24, 28),
}
# A black background would hide the second, darker tone of its pattern.
BACKGROUND_COLOURS = tuple(name for name in COLOURS if name != "black")
PATTERNS = ("plain", "stripes", "checkers", "gradient")
SIZES = {"small": 0.12, "large": 0.21}  # radius as a share of the shorter side
PAIR_RADIUS = 0.16
POSITIONS = {  # centre as (x, y) shares of the picture
    "center": (0.5, 0.5),
    "top left": (0.27, 0.27),
    "top right": (0.73, 0.27),
    "bottom left": (0.27, 0.73),
    "bottom right": (0.73, 0.73),
}
RELATIONS = {  # centres of the first and the second shape
    "left of": ((0.26, 0.5), (0.74, 0.5)),
    "above": ((0.5, 0.26), (0.5, 0.74)),
}
SECOND_TONE = 0.62  # brightness of a pattern's second tone
PATTERN_PX = 6  # width of a stripe and side of a checker, at any picture size
OVERSAMPLING = 2
HELD_OUT_SHARE = 20  # one caption in twenty is never trained on


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: what it is, where its centre lies (shares of the picture), its radius (share)."""

    kind: str
    colour: str
    centre: tuple[float, float]
    radius: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows. `phase` shifts the pattern in pixels; the caption does not tell it."""

    caption: str
    shapes: tuple[Shape, ...]
    background: str
    pattern: str
    phase: float


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _background_phrase(colour: str, pattern: str) -> str:
    return f"on {colour} {pattern}" if pattern in {"stripes", "checkers"} else f"on a {pattern} {colour} background"


def random_scene(rng: np.random.Generator) -> Scene:
    """Draw one scene: a single sized and placed shape, or two medium ones in a relation."""
    background = _pick(rng, BACKGROUND_COLOURS)
    pattern = _pick(rng, PATTERNS)
    foreground = tuple(name for name in COLOURS if name != background)
    jitter = rng.uniform(-0.03, 0.03, size=(2, 2))
    phase = float(rng.uniform(0, 2 * PATTERN_PX))
    where = _background_phrase(background, pattern)

    def shape(index: int, centre: tuple[float, float], radius: float) -> Shape:
        x, y = centre[0] + jitter[index, 0], centre[1] + jitter[index, 1]
        return Shape(_pick(rng, SHAPES), _pick(rng, foreground), (float(x), float(y)), radius)

    if rng.random() < 0.5:
        size, position = _pick(rng, tuple(SIZES)), _pick(rng, tuple(POSITIONS))
        only = shape(0, POSITIONS[position], SIZES[size])
        caption = f"{size} {only.colour} {only.kind} {position} {where}"
        return Scene(caption, (only,), background, pattern, phase)
    relation = _pick(rng, tuple(RELATIONS))
    first, second = (shape(index, centre, PAIR_RADIUS) for index, centre in enumerate(RELATIONS[relation]))
    caption = f"{first.colour} {first.kind} {relation} {second.colour} {second.kind} {where}"
    return Scene(caption, (first, second), background, pattern, phase)


def is_held_out(caption: str) -> bool:
    """Whether a caption belongs to the part of the world that training never sees."""
    return zlib.crc32(caption.encode()) % HELD_OUT_SHARE == 0


def scene_at(index: int, *, seed: int = 0, held_out: bool = False) -> Scene:
    """
    The scene with this index, the same one on every machine.

    Args:
        index: Any number from 0 up; the world does not end.
        seed: Another world's worth of scenes.
        held_out: Take only captions that training never sees, or only those it may see.
    """
    rng = np.random.default_rng([seed, index, int(held_out)])
    while True:
        scene = random_scene(rng)
        if is_held_out(scene.caption) == held_out:
            return scene


def held_out_scenes(count: int, *, seed: int = 0) -> list[Scene]:
    """`count` scenes with captions that are all different and that training never saw."""
    scenes: dict[str, Scene] = {}
    index = 0
    while len(scenes) < count:
        scene = scene_at(index, seed=seed, held_out=True)
        scenes.setdefault(scene.caption, scene)
        index += 1
    return list(scenes.values())


def _background(scene: Scene, height: int, width: int) -> np.ndarray:
    light = np.array(COLOURS[scene.background], dtype=np.float64)
    y, x = np.mgrid[0:height, 0:width] / OVERSAMPLING
    if scene.pattern == "stripes":
        dark_share = ((x + y + scene.phase) // PATTERN_PX) % 2
    elif scene.pattern == "checkers":
        dark_share = ((x + scene.phase) // PATTERN_PX + (y + scene.phase) // PATTERN_PX) % 2
    elif scene.pattern == "gradient":
        dark_share = y / y.max()
    else:
        dark_share = np.zeros_like(x)
    tone = 1 - (1 - SECOND_TONE) * dark_share[..., None]
    colours: np.ndarray = np.rint(light * tone).astype(np.uint8)
    return colours


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, radius * 1.1, radius * 0.45)
    return [(float(x + r * np.cos(a)), float(y + r * np.sin(a))) for a, r in zip(angles, radii, strict=True)]


def _draw_shape(canvas: ImageDraw.ImageDraw, shape: Shape, height: int, width: int) -> None:
    x, y = shape.centre[0] * width, shape.centre[1] * height
    r = shape.radius * min(height, width)
    fill = COLOURS[shape.colour]
    if shape.kind == "circle":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif shape.kind == "ring":
        canvas.ellipse((x - r, y - r, x + r, y + r), outline=fill, width=max(1, round(r * 0.42)))
    elif shape.kind == "square":
        canvas.rectangle((x - r * 0.88, y - r * 0.88, x + r * 0.88, y + r * 0.88), fill=fill)
    elif shape.kind == "triangle":
        canvas.polygon([(x, y - r * 1.05), (x - r, y + r * 0.8), (x + r, y + r * 0.8)], fill=fill)
    elif shape.kind == "star":
        canvas.polygon(_star(x, y, r), fill=fill)
    else:
        arm = r * 0.34
        canvas.rectangle((x - r, y - arm, x + r, y + arm), fill=fill)
        canvas.rectangle((x - arm, y - r, x + arm, y + r), fill=fill)


def draw(scene: Scene, height: int = 128, width: int = 128) -> Image.Image:
    """
    The picture of a scene.

    Returns:
        RGB picture of `width` x `height` pixels. Shapes scale with the shorter side, patterns do not.
    """
    size = (height * OVERSAMPLING, width * OVERSAMPLING)
    picture = Image.fromarray(_background(scene, *size))
    canvas = ImageDraw.Draw(picture)
    for shape in scene.shapes:
        _draw_shape(canvas, shape, *size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)
