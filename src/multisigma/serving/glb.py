"""A point cloud as binary glTF 2.0 (GLB), the format that browsers turn."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import numpy as np

from multisigma.visualization.point_cloud import PointCloud

__all__ = ["to_glb"]

_MAGIC: Final = 0x46546C67
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_FLOAT, _UNSIGNED_BYTE, _ARRAY_BUFFER, _POINTS = 5126, 5121, 34962, 0


def to_glb(cloud: PointCloud, most: int = 200_000) -> bytes:
    """Return the content of a GLB file: x right, y up, z backwards, as glTF has it.

    Args:
        cloud: The points, at least one.
        most: Largest number of points; of more, every n-th is taken.
    """
    cloud = cloud.chosen(np.arange(0, len(cloud), max(1, -(-len(cloud) // most))))
    points = np.ascontiguousarray(cloud.points * np.array([1, -1, -1], np.float32), "<f4")
    # Vertex attributes begin at multiples of four bytes, so colours have a fourth.
    colours = np.full((len(points), 4), 255, np.uint8)
    colours[:, :3] = cloud.colours
    parts = [points.tobytes(), colours.tobytes()]
    offsets = [0, len(parts[0])]
    content: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "multisigma"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"mode": _POINTS, "attributes": {"POSITION": 0, "COLOR_0": 1}, "material": 0}]},
        ],
        # Shown in their own colours, without light.
        "materials": [{"extensions": {"KHR_materials_unlit": {}}}],
        "extensionsUsed": ["KHR_materials_unlit"],
        "buffers": [{"byteLength": sum(map(len, parts))}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": offset, "byteLength": len(part), "target": _ARRAY_BUFFER}
            for offset, part in zip(offsets, parts, strict=True)
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": _FLOAT,
                "count": len(points),
                "type": "VEC3",
                "min": points.min(0).tolist(),
                "max": points.max(0).tolist(),
            },
            {
                "bufferView": 1,
                "componentType": _UNSIGNED_BYTE,
                "normalized": True,
                "count": len(points),
                "type": "VEC4",
            },
        ],
    }
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    chunks = [
        struct.pack("<II", len(data), kind) + data
        for kind, data in ((_JSON_CHUNK, text), (_BINARY_CHUNK, b"".join(parts)))
    ]
    return struct.pack("<III", _MAGIC, 2, 12 + sum(map(len, chunks))) + b"".join(chunks)
