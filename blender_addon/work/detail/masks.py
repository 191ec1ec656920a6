# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to repaint: what was gathered on the main thread, drawn on the worker as a mask of the picture's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .... import inference
from ....inference.errors import BadInput, NothingFound
from ....inference.photo.decode import as_stored, upright
from .texture_space import bled, from_camera, in_uv_space, of_texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ....inference.photo import Photo
    from ...core.exchange import TexturedSurface
    from .texture_space import Fragments

    Values = NDArray[np.float32]


@dataclass(frozen=True)
class DrawTarget:
    """What masks and control images are drawn for.

    size : (width, height) of the picture.  photo : the picture as the other tasks see it.
    where : `device`, `precision` and `progress` of tasks that are run on the way.
    orientation, upright : see `Picture`; the photo always is upright.
    """

    size: tuple[int, int]
    photo: Photo
    where: dict[str, Any]
    orientation: int = 1
    upright: bool = True

    def of_photo(self, values: NDArray[Any]) -> NDArray[Any]:
        """What was made of the photo (h, w, ...), turned as the picture lies."""
        return values if self.upright else as_stored(values, self.orientation)

    def of_image(self, values: NDArray[Any], is_upright: bool | None = None) -> NDArray[Any]:
        """An image (h, w, ...) that is to cover the picture, turned as that lies.

        is_upright : None where only the image's shape can tell. Raises BadInput where it lies on its side.
        """
        (height, width), (across, down) = values.shape[:2], self.size
        if is_upright is None and self.orientation > 4 and width != height and across != down:
            is_upright = (width > height) == (self.photo.size[0] > self.photo.size[1])
        transposed = abs(height * down - width * across) < 0.02 * width * across
        if is_upright is None and transposed and abs(width - height) > 0.04 * height:
            raise BadInput(
                f"The mask has {width} x {height} pixels, the picture {across} x {down}: one of them lies on its side.",
                "Turn one of them.",
            )
        if is_upright in (None, self.upright):
            return values
        return upright(values, self.orientation) if self.upright else as_stored(values, self.orientation)


class MaskSource(Protocol):
    """Anything that becomes a mask (h, w) float32 0..1 that covers the picture."""

    def drawn(self, target: DrawTarget) -> Values: ...


@dataclass(frozen=True)
class Mask:
    """A mask as it is asked for. grow : pixels of the picture, negative to shrink.  invert : before growing."""

    source: MaskSource
    invert: bool = False
    grow: float = 0.0

    def drawn(self, target: DrawTarget) -> Values:
        """(H, W) float32 0..1 of the picture's size."""
        return self._shaped(self.source.drawn(target), target)

    def each(self, target: DrawTarget) -> list[Values]:
        """The same of every hand, face or person by itself. Raises BadInput for a mask of another kind."""
        if not isinstance(self.source, FoundMask) or self.invert:
            raise BadInput(
                "Only what is found in the photo can be repainted one by one.",
                "Choose Hands, Faces or People as the mask, not inverted.",
            )
        return [self._shaped(one, target) for one in self.source.each(target)]

    def _shaped(self, drawn: Values, target: DrawTarget) -> Values:
        from ....inference.geometry import mask_shape

        values = np.clip(covering(drawn, target.size), 0, 1)
        if self.invert:
            values = 1 - values
        return mask_shape.shaped(values, self.grow, 0.0) if self.grow else values


@dataclass(frozen=True)
class ImageMask:
    """pixels : (h, w, 4) float32 of an image.  channel : "VALUE", the mean of the colours, or "ALPHA".
    inverted : black is repainted.
    photo : digest of the photo that it was made of, or "".  upright : it was turned by its own EXIF data.
    on_surface : it lies on a surface as the picture does, whatever its shape.
    """

    pixels: Values
    channel: str = "VALUE"
    inverted: bool = False
    photo: str = ""
    upright: bool = False
    on_surface: bool = False

    def drawn(self, target: DrawTarget) -> Values:
        if self.on_surface:
            return self.values()
        return target.of_image(self.values(), self.upright or self.photo == target.photo.digest or None)

    def values(self) -> Values:
        """(h, w) float32, as the image lies."""
        if self.channel == "ALPHA":
            values = np.ascontiguousarray(self.pixels[..., 3])
        else:
            values = self.pixels[..., :3].mean(-1, dtype=np.float64).astype(np.float32)
        return 1 - values if self.inverted else values


def covering(values: Values, size: tuple[int, int]) -> Values:
    """The mask stretched over the whole picture of any size and shape: by area where it shrinks, else linearly."""
    import cv2

    width, height = size
    if values.shape == (height, width):
        return values
    shrinks = width * height < values.shape[0] * values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(values), size, interpolation=method), np.float32)


@dataclass(frozen=True)
class TextureMask:
    """An image (h, w, 4) that lies on the same surface as the picture, through a UV map of its own.

    surface : of which the picture is the texture, or the camera's view.  uvs : (T, 3, 2) through which the image lies.
    """

    image: ImageMask
    surface: TexturedSurface
    uvs: NDArray[np.float64]

    def drawn(self, target: DrawTarget) -> Values:
        fragments = fragments_of(self.surface, target.size)
        values = of_texture(self.image.values(), fragments.at(self.uvs))
        return bled_if_texture(self.surface, fragments.spread(values), fragments.drawn)


@dataclass(frozen=True)
class SurfaceMask:
    """values : (T, 3) at the corners of the surface's triangles: an attribute, or the weights of a vertex group."""

    surface: TexturedSurface
    values: Values

    def drawn(self, target: DrawTarget) -> Values:
        fragments = fragments_of(self.surface, target.size)
        return bled_if_texture(self.surface, fragments.spread(fragments.at(self.values)), fragments.drawn)


@dataclass(frozen=True)
class FoundMask:
    """The hands, faces or people of the photo. kind : "HANDS", "FACES" or "PEOPLE".

    made : digest of a photo -> the masks (h, w) that the other tasks have made of it, which the artist may have
    painted on; where there are none of this photo, it is searched again.
    """

    kind: str
    made: Mapping[str, Sequence[Values]]

    def drawn(self, target: DrawTarget) -> Values:
        made = self.made.get(target.photo.digest)
        if made:
            return np.max([covering(target.of_photo(one), target.size) for one in made], axis=0)
        if self.kind == "FACES":
            return np.max(self.each(target), axis=0)
        if self.kind == "HANDS":
            maps = inference.refine_hands(target.photo, **target.where)
            if not maps.hands:
                raise NothingFound("No hand was found in the photo.", "Choose another mask, or paint one.")
            return target.of_photo(maps.mask)
        people = inference.recover_people(target.photo, **target.where)
        masks = [one.mask for frame in people.frames for one in frame if one.mask is not None]
        if not masks:
            raise NothingFound("Nobody was found in the photo.", "Choose another mask, or paint one.")
        return target.of_photo(np.max(masks, axis=0))

    def each(self, target: DrawTarget) -> list[Values]:
        """The mask of every one of them, found now."""
        from ....inference.detailer.places import masks_of

        found = masks_of(target.photo, self.kind.lower(), **target.where)
        if not found:
            raise NothingFound(f"No {self.kind.lower()} were found in the photo.", "Choose another mask, or paint one.")
        return [target.of_photo(mask) for mask in found]


def fragments_of(surface: TexturedSurface, size: tuple[int, int]) -> Fragments:
    """What a picture (width, height) shows of the surface: from its camera, else in UV space."""
    if surface.camera is not None and surface.corners is not None:
        return from_camera(surface.corners, surface.camera.resized(*size))
    return in_uv_space(surface.uvs, *size)


def bled_if_texture(surface: TexturedSurface, values: Values, drawn: NDArray[np.bool_]) -> Values:
    """In a texture, values are carried on a little beyond the UV islands, where bilinear lookups reach."""
    return values if surface.camera is not None else bled(values, drawn)
