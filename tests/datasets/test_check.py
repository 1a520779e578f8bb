"""Checking whole roots: every fault at once, each at its file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from multisigma.cli import main
from multisigma.datasets.cityscapes.check import check_root
from multisigma.datasets.problems import CheckReport

MakeRoot = Callable[..., Path]


def counts(*numbers: int) -> dict[str, int]:
    return dict(zip(("frames", "semantic", "instance", "disparity", "camera"), numbers, strict=True))


def faults(report: CheckReport, root: Path) -> dict[str, str]:
    """Path in the root -> rule, of every problem."""
    assert len({problem.path for problem in report.problems}) == len(report.problems)
    return {problem.path.relative_to(root).as_posix(): problem.rule for problem in report.problems}


@pytest.mark.parametrize("extras", [False, True])
def test_sound_root(make_root: MakeRoot, extras: bool) -> None:
    report = check_root(make_root(extras=extras))
    assert report.problems == []
    assert report.splits == {"train": counts(2, 2, 2, 2, 2), "val": counts(1, 1, 1, 1, 1)}


def test_unlabelled_parts_are_sound(make_root: MakeRoot) -> None:
    root = make_root(without=["camera"])
    shutil.rmtree(root / "gtFine/train/aachen")
    shutil.rmtree(root / "disparity/val")
    report = check_root(root)
    assert report.problems == []
    assert report.splits == {"train": counts(2, 1, 1, 2, 0), "val": counts(1, 1, 1, 0, 0)}


def test_what_official_packages_and_systems_add_is_no_fault(make_root: MakeRoot) -> None:
    root = make_root(["train/aachen_000000_000019", "demoVideo/stuttgart_00_000000_000001"])
    for folder in ("cityscapes_panoptic_train", "cityscapes_panoptic_val_trainId"):
        (root / "gtFine" / folder).mkdir()
        (root / "gtFine" / folder / "aachen_000000_000019_gtFine_panoptic.png").touch()
    for folder in ("leftImg8bit/@eaDir", "gtFine/@eaDir", "gtFine/train/@eaDir", "leftImg8bit/train/@eaDir"):
        (root / folder).mkdir()
    (root / "leftImg8bit/train/aachen/Thumbs.db").touch()
    assert check_root(root).problems == []


def test_what_is_mostly_a_mistake_is_warned_of(make_root: MakeRoot) -> None:
    root = make_root(
        [f"train/{city}_000000_000019" for city in ("aachen", "bochum", "ulm")] + ["val/lindau_000000_000019"]
    )
    assert check_root(root).warnings == []
    shutil.rmtree(root / "gtFine/train/ulm")
    shutil.rmtree(root / "disparity/val")
    (root / "gtCoarse").mkdir()
    report = check_root(root)
    assert report.problems == []
    assert [(str(warning.path.relative_to(root)), warning.found) for warning in report.warnings] == [
        ("gtCoarse", "coarse ones, which stay unread"),
        ("leftImg8bit/train/ulm", "1 images without semantic, instance"),
        ("leftImg8bit/val", "1 images without disparity"),
    ]
    assert "Unzip gtFine_trainvaltest.zip into" in str(report.warnings[1])


def test_a_root_without_labels_is_warned_of(make_root: MakeRoot, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_root(without=["gtFine", "disparity"])
    assert main(["check", str(root)]) == 0
    shown = capsys.readouterr()
    assert "warning:" in shown.err
    assert f"{root}: training and evaluation need labels; found 3 images without" in shown.err
    assert "no faults" in shown.out


def test_table_shows_the_counts() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(CheckReport({"train": counts(52, 51, 50, 49, 48)}, []).table())
    numbers = [line.replace("│", " ").split() for line in capture.get().splitlines()]
    assert ["train", "52", "51", "50", "49", "48"] in numbers
    assert "frames" in capture.get()
    assert "disparity" in capture.get()


def test_missing_root_is_a_problem(tmp_path: Path) -> None:
    report = check_root(tmp_path / "no")
    assert report.splits == {}
    assert [problem.path for problem in report.problems] == [tmp_path / "no"]


def test_all_faults_at_once(make_root: MakeRoot) -> None:
    root = make_root([f"train/ulm_{i:06}_000019" for i in range(12)] + ["val/lindau_000000_000019"], extras=True)

    def at(folder: str, index: int, ending: str) -> Path:
        return root / folder / f"train/ulm/ulm_{index:06}_000019_{ending}"

    at("leftImg8bit", 0, "leftImg8bit.png").write_bytes(at("leftImg8bit", 0, "leftImg8bit.png").read_bytes()[:-30])
    at("gtFine", 1, "gtFine_labelIds.png").unlink()
    at("disparity", 2, "disparity.png").write_bytes(b"")
    at("camera", 3, "camera.json").write_text("{}")
    shutil.copy(at("gtFine", 4, "gtFine_labelIds.png"), at("gtFine", 4, "gtFine_instanceIds.png"))
    at("leftImg8bit", 5, "leftImg8bit.png").rename(at("leftImg8bit", 5, "left.png"))
    at("rightImg8bit", 6, "rightImg8bit.png").write_bytes(b"<html>")
    at("disparity_exact", 7, "disparity.png").unlink()
    shutil.copy(at("gtFine", 8, "gtFine_instanceIds.png"), at("gtFine", 9, "gtFine_instanceIds.png"))
    (root / "leftImg8bit/test").mkdir()
    for folder, ending in (("gtFine/train_extra/augsburg", "gtFine_labelIds"), ("disparity/val/munster", "disparity")):
        (root / folder).mkdir(parents=True)
        (root / folder / f"x_000000_000000_{ending}.png").touch()

    report = check_root(root)

    assert report.splits["train"] == counts(11, 10, 11, 11, 11)
    assert "test" not in report.splits
    misnamed = (
        "images must be named leftImg8bit/SPLIT/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png, "
        "both numbers of six digits and CITY the name of the folder"
    )
    orphan = "labels must belong to an image"
    camera = [problem for problem in report.problems if problem.path == at("camera", 3, "camera.json")]
    assert [problem.rule.split(",")[0] for problem in camera] == [
        f"the camera must hold {key}" for key in
        ("extrinsic.baseline", "intrinsic.fx", "intrinsic.fy", "intrinsic.u0", "intrinsic.v0")
    ]  # fmt: skip
    others = CheckReport(report.splits, [problem for problem in report.problems if problem not in camera])
    ulm = "train/ulm/ulm_00000"
    assert faults(others, root) == {
        f"leftImg8bit/{ulm}0_000019_leftImg8bit.png": "the PNG must be whole",
        f"gtFine/{ulm}1_000019_gtFine_labelIds.png":
            "every image must have its partner where gtFine/train/ulm/ has any such file",
        f"disparity/{ulm}2_000019_disparity.png": "the file must be a PNG",
        f"gtFine/{ulm}4_000019_gtFine_instanceIds.png": "the PNG must be 16-bit grey",
        f"leftImg8bit/{ulm}5_000019_left.png": misnamed,
        f"gtFine/{ulm}5_000019_gtFine_labelIds.png": orphan,
        f"gtFine/{ulm}5_000019_gtFine_instanceIds.png": orphan,
        f"disparity/{ulm}5_000019_disparity.png": orphan,
        f"disparity_exact/{ulm}5_000019_disparity.png": orphan,
        f"camera/{ulm}5_000019_camera.json": orphan,
        f"rightImg8bit/{ulm}5_000019_rightImg8bit.png": orphan,
        f"rightImg8bit/{ulm}6_000019_rightImg8bit.png": "the file must be a PNG",
        f"disparity_exact/{ulm}7_000019_disparity.png":
            "every image must have its partner where disparity_exact/train/ulm/ has any such file",
        f"gtFine/{ulm}9_000019_gtFine_instanceIds.png":
            "an instance id must be the label id, or the label id * 1000 + a number",
        "gtFine/train_extra": orphan,
        "disparity/val/munster": orphan,
    }  # fmt: skip
    assert [problem.path for problem in report.problems] == sorted(problem.path for problem in report.problems)


def test_right_image_of_another_size(make_root: MakeRoot) -> None:
    root = make_root(["train/aachen_000000_000019"], extras=True)
    small = make_root(["val/aachen_000000_000019"], size=(8, 8), extras=True)
    name = "aachen/aachen_000000_000019_rightImg8bit.png"
    shutil.copy(small / "rightImg8bit/val" / name, root / "rightImg8bit/train" / name)
    rule = "all files of a frame must have the same size (height x width)"
    assert faults(check_root(root), root) == {f"rightImg8bit/train/{name}": rule}


def test_packages_that_were_not_unzipped(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root(without=["disparity"])
    for name in ("gtFine_trainvaltest.zip", "disparity_trainvaltest.zip", "leftImg8bit_trainextra.zip", "other.zip"):
        (root / name).touch()
    found = [(w.path.name, w.found) for w in check_root(root).warnings]
    assert found == [
        ("disparity_trainvaltest.zip", "no disparity/train"),
        ("leftImg8bit_trainextra.zip", "no leftImg8bit/train_extra"),
    ]
    (tmp_path / "new").mkdir()
    (tmp_path / "new/leftImg8bit_trainvaltest.zip").touch()
    report = check_root(tmp_path / "new")
    assert len(report.problems) == 1
    assert [w.remedy for w in report.warnings] == [f"Unzip it into {tmp_path / 'new'}."]
