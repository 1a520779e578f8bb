"""What the command line says of arguments that it does not take."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from multisigma.cli import main
from multisigma.cli.commands import COMMANDS


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "A command must be given, one of generate, check,"),
        ("evalute RUN", "The command must be one of generate, check, "),
        ("--quite check R", "There is no option --quite before the command."),
        ("evalute RUN", "Found 'evalute'. Did you mean evaluate?"),
        ("evaluate RUN --data D --votes bar", "Option --votes must be one of default, paper. Found 'bar'. See `multi"),
        ("evaluate RUN --data D --checkpoint bset", "Option --checkpoint must be one of last, best. Found 'bset'."),
        ("evaluate RUN", "Option --data must be given. See `multisigma evaluate --help`."),
        ("evaluate RUN other --data D", "The command takes no further argument. Found other."),
        ("evaluate RUN --data D --vots x", "There is no option --vots. Did you mean --votes?"),
        ("report", "The argument RUN must be given."),
        ("predict --model RUN", "The argument INPUTS must be given, or --camera-index."),
        ("train --out", "Option --out must have a value."),
        ("train", "Option --out must be given."),
        ("train --out R --preset p", "Option --preset must be one of demo, full, laptop, table1, tiny. Found 'p'."),
        ("train --out R --precision 12", "Option --precision must be one of 32-true, 16-mixed, bf16-mixed. Found 12."),
        ("train --out R --iterations many", "Option --iterations must be a whole number. Found many."),
        ("train --out R --validation-frames x", "Option --validation-frames must be a whole number or null. Found x."),
        ("train --out R --crop big", "Option --crop: a size is HxW in pixels, such as 256x512; found 'big'."),
        ("train --out R --flip x", "Option --flip must be a number. Found x."),
        ("train --out R --weighting-options x", "Option --weighting-options must be a mapping such as '{name: value}'"),
        ("train --out R --config none.yaml", "Option --config: File does not exist: '"),
        ("train --out R --config FILE", "A configuration has no field `learnign_rate`. Did you mean learning_rate?"),
        ("evaluate RUN --data D --pictures -3", "Option --pictures must be a whole number, 0 or more. Found -3."),
        ("evaluate RUN --data D --pictures null", "Option --pictures must be a whole number, 0 or more. Found null."),
        ("generate OUT --train -1", "Option --train must be a whole number, 0 or more. Found -1."),
        ("generate OUT --val=-1", "Option --val must be a whole number, 0 or more. Found -1."),
        ("generate OUT --seed x", "Option --seed must be a whole number, 0 or more. Found x."),
        ("generate OUT --processes 0", "Option --processes must be a positive whole number or null. Found 0."),
        ("demo --out OUT --seed 4294967296", "Option --seed must be below 2^32, as NumPy asks; found 4294967296."),
        ("demo --out OUT --seed -1", "Option --seed must be a whole number, 0 or more. Found -1."),
        ("predict a.png --out OUT --height tall", "Option --height must be a whole number or null. Found tall."),
    ],
)
def test_a_wrong_argument_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("learnign_rate: 1\n", encoding="utf-8")
    assert main(command.replace("FILE", str(file)).split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert message in shown.err
    assert shown.err.count("\n") == 1
    for word in ("usage", "typing", "class '", "Parser key"):
        assert word not in shown.err


def test_quiet_stands_before_or_after_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (before, after) in enumerate([((), ()), (("--quiet",), ()), ((), ("--quiet",))]):
        options = ["--train", "1", "--val", "0", "--size", "64x128", "--processes", "1"]
        assert main([*before, "generate", str(tmp_path / str(number)), *options, *after]) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("1 frames of 64x128") == (number == 0)
        # Without --quiet there may be lines of progress.
        assert number == 0 or shown.err == ""
    assert main(["--quiet", "check", str(tmp_path / "nowhere")]) == 2
    assert "the data root must be a folder" in capsys.readouterr().err


def test_help_and_wrong_arguments_load_no_network() -> None:
    """Loading torch and what comes with it takes seconds."""
    code = f"""import sys
from multisigma.cli import main
for command in {[[], *([command] for command in COMMANDS)]}:
    try:
        main([*command, "--help"])
    except SystemExit as done:
        assert done.code == 0
    assert main([*command, "--nothing"]) == 2
    slow = {{"torch", "lightning", "timm", "numba", "matplotlib", "sklearn"}} & set(sys.modules)
    assert not slow, (command, slow)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for title in ("multisigma [--help]", *(f"multisigma {command}" for command in COMMANDS)):
        assert title in done.stdout
    # Types are shown by their names.
    assert not re.search(r"<\s*class|typing\.", done.stdout)


def test_what_needs_no_network_loads_none(tmp_path: Path) -> None:
    """Data, other systems' files and reports: the commands run without torch, up to the fault that they find."""
    (tmp_path / "config.yaml").write_text("{}", encoding="utf-8")
    code = f"""import sys
from multisigma.cli import main
assert main(["check", "nowhere"]) == 2
assert main(["prepare", "nowhere", "out"]) == 2
assert main(["generate", "out", "--train", "0", "--val", "0"]) == 2
assert main(["evaluate", "--predictions", "nowhere", "--data", "nowhere"]) == 2
predict = ["predict", "nowhere.png", "--model", "nowhere", "--camera", "none.json"]
assert main([*predict, "--out", {str(tmp_path / "out")!r}]) == 2
assert main(["report", {str(tmp_path)!r}]) == 0
assert not {{"torch", "lightning", "timm"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["bomb.yaml", "outer.yaml"])
def test_a_configuration_file_has_no_aliases(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """By nine lists of nine aliases each a few lines would take all memory; these are two of two, in case they do."""
    (tmp_path / "bomb.yaml").write_text("a: &a [1, 1]\naspp_channels: [*a, *a]\n", encoding="utf-8")
    (tmp_path / "outer.yaml").write_text("config: bomb.yaml\n", encoding="utf-8")
    assert main(["train", "--out", str(tmp_path / "run"), "--config", str(tmp_path / name)]) == 2
    shown = capsys.readouterr().err
    assert "bomb.yaml: not a readable YAML file: aliases (*name) are not read; write the value out" in shown
