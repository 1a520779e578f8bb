"""Ways to damage a file: its bytes, the parts of a PNG, the values of a JSON or YAML file, the file itself."""

import copy
import datetime
import io
import json
import math
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

Mutate = Callable[[bytes, random.Random], bytes]

NUMBERS = [0, 1, 2, 7, 127, 128, 255, 256, 1000, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 255, 256, 65536, 2**63, -(2**63), 10**30, 10**400),
    *(0.5, -0.0, 1e308, 1e-320, math.inf, -math.inf, math.nan),
    *("", "x", "é", "a b", "a\nb", "\0", "x" * 5000, "0", "1/0", "1/256", "1e999", "1e999999999", "nan", "-"),
    *("..", "../..", "/", "/dev/null", ".", "*", "*a*b*c*d*e*f*g*h*", "**/*", "{name}", "{split}", "{", "{name}{name}"),
    *("semantic", "module:Class", "os.system", "hf-hub:a/b", "<script>", "[red]", "%s", "{0}"),
    *([], {}, [[]], [None], [0, 1, 2], ["x", "x"], {"a": 1}, {"files": "image"}, {1: 2}, {None: 0}, {"name": "x"}),
    datetime.date(2024, 2, 29),
]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change, insert, remove, repeat or cut off bytes, a few times."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(result) + 1)
        length = min(rng.choice([1, 2, 4, 16, 200]), len(result) - place)
        kind = rng.randrange(7)
        if kind == 0 and length:
            result[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            result[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            del result[place : place + length]
        elif kind == 3:
            result[place:place] = rng.randbytes(rng.choice([1, 4, 50]))
        elif kind == 4:
            result[place:place] = result[place : place + length] * rng.choice([1, 3, 100])
        elif kind == 5:
            del result[place:]
        else:
            form = rng.choice([">I", "<I", ">H", "<H", "B"])
            number = rng.choice(NUMBERS) % 256 ** struct.calcsize(form)
            result[place : place + struct.calcsize(form)] = struct.pack(form, number)
    return bytes(result)


def mutate_png(data: bytes, rng: random.Random) -> bytes:
    """Damage a PNG and make its checksums right again, or damage its bytes."""
    if rng.random() < 0.25:
        return mutate_bytes(data, rng)
    chunks = list(_chunks(data))
    place = rng.randrange(len(chunks))
    kind, content = chunks[place]
    choice = rng.randrange(6)
    if choice == 0:  # a field of the header
        header = bytearray(chunks[0][1])
        field = rng.randrange(7)
        if field < 2:
            number = rng.choice([*NUMBERS, rng.randrange(300)])
            header[4 * field : 4 * field + 4] = struct.pack(">I", number)
        else:
            header[6 + field] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
        chunks[0] = b"IHDR", bytes(header)
    elif choice == 1:  # filters and pixels
        pixels = zlib.decompress(b"".join(part for name, part in chunks if name == b"IDAT"))
        packed = zlib.compress(mutate_bytes(pixels, rng))
        chunks = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
        chunks.insert(-1, (b"IDAT", packed))
    elif choice == 2:
        del chunks[place]
    elif choice == 3:
        chunks.insert(rng.randrange(len(chunks)), chunks[place])
    elif choice == 4:
        extra = rng.choice([b"tRNS", b"PLTE", b"eXIf", b"gAMA", b"iCCP", b"tEXt", b"zTXt", b"acTL", b"ABCD"])
        chunks.insert(rng.randrange(1, len(chunks) + 1), (extra, rng.randbytes(rng.choice([0, 2, 6, 768, 3000]))))
    else:
        chunks[place] = kind, mutate_bytes(content, rng)
    parts = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return data[:8] + b"".join(parts)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove, add or nest values of a JSON file, or damage its bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    return json.dumps(_mutated(json.loads(data), rng), default=str).encode()


def mutate_yaml(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove, add or nest values of a YAML file, or damage its text."""
    choice = rng.random()
    if choice < 0.2:
        return mutate_bytes(data, rng)
    if choice < 0.23:
        return data + rng.choice(
            [
                b"\nx: 2024-13-45\n",
                b"\nx: " + b"[" * 3000,
                b"\nx: !!python/object/apply:os.getcwd []\n",
                b"\nx: " + b"9" * 5000 + b"\n",
                b"\na: &a [1,1,1,1,1,1,1,1,1]\n"
                + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
            ]
        )
    return yaml.safe_dump(_mutated(yaml.safe_load(data), rng), sort_keys=False, allow_unicode=True).encode()


def _mutated(tree: Any, rng: random.Random) -> Any:
    """Return a copy of a tree of values with a few of them changed."""
    return _changed(json.loads(json.dumps(tree, default=str)), rng)


def _changed(tree: Any, rng: random.Random) -> Any:
    """Change a few values of a tree in place; return the tree, or what stands in its place."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = list(_places(tree))
        if not places:
            return _value(rng)
        parent, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice(["x", "fx", "id", "name", "files", ""])] = _value(rng)
        elif kind == 2:
            parent[key] = rng.choice([[parent[key]], {"files": parent[key]}, str(parent[key])])
        else:
            parent[key] = _value(rng)
    return tree


def mutate_checkpoint(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove, add or nest values and tensors of a checkpoint, or damage its bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    tree = torch.load(io.BytesIO(data), weights_only=True)
    if rng.random() < 0.4:
        places = [(parent, key) for parent, key in _places(tree) if isinstance(parent[key], torch.Tensor)]
        for parent, key in rng.sample(places, 2):
            parent[key] = _other_tensor(parent[key], rng)
    else:
        tree = _changed(tree, rng)
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return buffer.getvalue()


def _other_tensor(tensor: torch.Tensor, rng: random.Random) -> torch.Tensor:
    return rng.choice(
        [
            lambda: tensor.flatten()[:-1].clone(),
            lambda: tensor[None].repeat(2, *[1] * tensor.ndim),
            lambda: torch.full_like(tensor, 10**6),
            lambda: tensor * math.nan,
            lambda: tensor.to(torch.complex64),
            lambda: tensor.to(torch.bool),
            lambda: tensor.to_sparse() if tensor.ndim else tensor,
            lambda: torch.empty(0),
            # A few bytes that stand for 32 GB.
            lambda: torch.zeros(1, dtype=torch.float64).expand(2**16, 2**16),
        ]
    )()


def _value(rng: random.Random) -> Any:
    # A copy, because later changes may be within it.
    return copy.deepcopy(rng.choice(VALUES))


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


def mutate_lines(data: bytes, rng: random.Random) -> bytes:
    """Change words of a text file, or damage its bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    lines = [line.split(b" ") for line in data.split(b"\n")]
    line = rng.choice(lines)
    line[rng.randrange(len(line))] = str(_value(rng)).encode()
    return b"\n".join(b" ".join(line) for line in lines)


def replace_file(path: Path, rng: random.Random) -> None:
    """Put something else in the place of a file, or nothing."""
    path.unlink()
    kind = rng.randrange(6)
    if kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(path)
    elif kind == 3:
        path.symlink_to("/etc/hostname")
    elif kind == 4:
        os.mkfifo(path)
    elif kind == 5:
        path.with_name(f"{rng.choice(['x', ' ', 'é', 'a_000000_000000'])}{path.suffix}").write_bytes(b"")


def remove(path: Path) -> None:
    """Remove whatever is at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
