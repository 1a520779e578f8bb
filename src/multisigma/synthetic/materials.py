"""Surface materials of the street scenes: what a primitive's `material` number means to the renderer."""

from __future__ import annotations

PLAIN = 0
ASPHALT = 1
TILES = 2
FACADE = 3
BRICK = 4
ROOF = 5
FOLIAGE = 6
GRASS = 7
FENCE = 8
PAINT = 9
GLASS = 10
WHEEL = 11
SIGN = 12
LAMP = 13
CLOTH = 14
MARKING = 15
SPOKES = 16
METAL = 17
BARK = 18
STRIPES = 19
CONCRETE = 20

#: Number of free parameters that a primitive hands to its material.
PARAMETERS = 6
