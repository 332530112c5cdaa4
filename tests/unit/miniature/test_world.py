"""The drawn world: the same on every machine, and told by its captions."""

import hashlib

import numpy as np
import pytest

from nearlossless.miniature.world import (
    COLOURS,
    PATTERNS,
    SHAPES,
    Scene,
    Shape,
    draw,
    held_out_scenes,
    is_held_out,
    scene_at,
)


def plain(colour: str, background: str, centre: tuple[float, float] = (0.5, 0.5)) -> Scene:
    """One square on a plain background."""
    return Scene("a square", (Shape("square", colour, centre, 0.2),), background, "plain", 0.0)


@pytest.mark.parametrize("index", range(5))
def test_scene_repeats(index: int) -> None:
    """An index always gives the same scene, and the same picture to the bit."""
    assert scene_at(index) == scene_at(index)
    assert draw(scene_at(index)).tobytes() == draw(scene_at(index)).tobytes()


def test_indices_and_seeds_give_different_scenes() -> None:
    """Different indices and different seeds give different pictures."""
    pictures = [draw(scene_at(index, seed=seed)) for index in range(6) for seed in range(2)]
    assert len({hashlib.sha256(picture.tobytes()).digest() for picture in pictures}) == len(pictures)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (64, 96), (96, 64), (256, 256)])
def test_picture_has_its_size(height: int, width: int) -> None:
    """A picture is RGB and has the height and width that were asked for."""
    picture = draw(scene_at(1), height, width)
    assert (picture.mode, picture.size) == ("RGB", (width, height))


@pytest.mark.parametrize("held_out", [True, False])
def test_scene_is_on_the_asked_side_of_the_split(held_out: bool) -> None:
    """Training never meets a held-out caption, and the held-out set holds no other."""
    assert {is_held_out(scene_at(index, held_out=held_out).caption) for index in range(40)} == {held_out}


def test_held_out_captions_differ() -> None:
    """Held-out scenes have captions that are all different."""
    captions = [scene.caption for scene in held_out_scenes(30)]
    assert len(set(captions)) == 30
    assert all(is_held_out(caption) for caption in captions)


def test_prompts_of_the_miniature_are_held_out(miniature_case: object) -> None:
    """The case draws captions that the pipeline was never trained on."""
    prompts = getattr(getattr(miniature_case, "generation", None), "prompts", ())
    assert prompts
    assert all(is_held_out(prompt) for prompt in prompts)


@pytest.mark.parametrize("index", range(20))
def test_caption_names_what_is_drawn(index: int) -> None:
    """A caption names every shape with its colour, the background and its pattern."""
    scene = scene_at(index)
    words = scene.caption.split()
    for shape in scene.shapes:
        assert shape.kind in words
        assert shape.colour in words
    assert {scene.background, scene.pattern} <= set(words)


@pytest.mark.parametrize("colour", [name for name in COLOURS if name != "white"])
def test_shape_has_its_colour_where_it_lies(colour: str) -> None:
    """The centre of a shape has the shape's colour, a corner the background's."""
    pixels_HWC = np.asarray(draw(plain(colour, "white")))
    assert tuple(pixels_HWC[64, 64]) == COLOURS[colour]
    assert tuple(pixels_HWC[2, 2]) == COLOURS["white"]


def test_position_is_x_then_y() -> None:
    """A shape whose centre is to the right and above lies there in the picture."""
    pixels_HWC = np.asarray(draw(plain("red", "white", (0.75, 0.25)), 64, 128))
    assert tuple(pixels_HWC[16, 96]) == COLOURS["red"]
    assert tuple(pixels_HWC[48, 32]) == COLOURS["white"]


@pytest.mark.parametrize("kind", SHAPES)
def test_every_shape_is_drawn(kind: str) -> None:
    """Each kind of shape changes the picture, and no two kinds look the same."""
    pictures = {
        other: draw(Scene("", (Shape(other, "red", (0.5, 0.5), 0.2),), "white", "plain", 0.0)).tobytes()
        for other in SHAPES
    }
    empty = draw(Scene("", (), "white", "plain", 0.0)).tobytes()
    assert pictures[kind] != empty
    assert sum(content == pictures[kind] for content in pictures.values()) == 1


def test_every_pattern_looks_different() -> None:
    """No two patterns give the same background."""
    assert len({draw(Scene("", (), "red", pattern, 0.0)).tobytes() for pattern in PATTERNS}) == len(PATTERNS)
