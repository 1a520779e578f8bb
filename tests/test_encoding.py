"""Files are read and written as UTF-8, whatever the locale."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from multisigma.synthetic import generate

SOURCE = Path(__file__).parents[1] / "src" / "multisigma"
SMALL = (
    "--encoder test_resnet --encoder-weights none --aspp-channels 8 --decoder-channels 8 --batch-size 2 --crop 48x96"
)


def leaves_encoding_open(call: ast.Call) -> bool:
    """Whether a call opens a text file, or reads or writes one, with the encoding of the locale."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if name not in {"open", "read_text", "write_text"}:
        return False
    # `Image.open` and `os.open` take no encoding, and neither do our own `read_text` and `write_text`.
    if name != "open" and isinstance(call.func, ast.Name):
        return False
    if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in ("Image", "os"):
        return False
    texts = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    binary = name == "open" and any(isinstance(text, str) and "b" in text for text in texts)
    return not binary and not any(keyword.arg == "encoding" for keyword in call.keywords)


def test_what_is_found() -> None:
    """The search itself: each of these but the last two is found."""
    calls = ["open(p)", "p.open()", "p.open('w')", "p.read_text()", "p.write_text('a')"]
    calls += ["p.open('rb')", "open(p, encoding='utf-8')"]
    assert [leaves_encoding_open(ast.parse(c, mode="eval").body) for c in calls] == [True] * 5 + [False] * 2  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_text_file_has_its_encoding(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    found = [f"line {call.lineno}: {ast.unparse(call)}" for call in calls if leaves_encoding_open(call)]
    assert not found


def test_an_output_of_ascii_loses_no_more_than_letters() -> None:
    command = [sys.executable, "-m", "multisigma", "check", "nowhere/東京"]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: 1 fault\nnowhere/??: ")


def test_a_root_of_another_script_in_a_locale_of_ascii(tmp_path: Path) -> None:
    """Train, evaluate, report and predict, all in a process whose locale knows ASCII alone."""
    root, run = tmp_path / "Straße 東京", tmp_path / "Lauf Ä"
    generate(root, 2, 2, 64, 128, seed=0, processes=1, samples_page=False)
    training = f"{SMALL} --workers 0 --accelerator cpu --iterations 2 --validate-every 2".split()
    commands = [
        ["check", str(root)],
        ["prepare", str(root), str(tmp_path / "klein ß"), "--size", "32x64"],
        ["train", "--preset", "tiny", "--data", str(root), "--out", str(run), *training],
        ["evaluate", str(run), "--data", str(root), "--save-predictions", str(tmp_path / "gespeichert 京")],
        ["report", str(run)],
        [
            *("predict", str(root / "leftImg8bit" / "val"), "--model", str(run)),
            *("--out", str(tmp_path / "aus 京"), "--device", "cpu"),
        ],
    ]
    # As the command line starts, but for many commands: the imports of each would take seconds.
    code = """import json, sys
from multisigma.cli import main, use_utf8
use_utf8()
for command in json.loads(sys.argv[1]):
    assert main(command) == 0, ascii(command)
"""
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands, ensure_ascii=False)], env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert "東京" in (run / "config.yaml").read_text(encoding="utf-8") + (run / "report.html").read_text(
        encoding="utf-8"
    )
