"""What a command shows beside its results: progress, and what the library logs."""

import logging

import pytest

from multisigma.cli import console
from multisigma.progress import SILENT, Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def go_over(progress: Progress, clock: list[float], steps: int, seconds: float, done: int = 0) -> None:
    progress.start("training", steps, done)
    for step in range(done + 1, steps + 1):
        clock[0] += seconds
        progress.update(step, f"loss {step}")
    progress.stop()


def test_a_long_job_without_a_terminal_gives_ten_lines(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    go_over(console.make_progress(), clock, 1000, 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: 100 of 1000, 900 s left; loss 100"
    assert len(lines) == 10


def test_a_short_job_without_a_terminal_gives_no_line(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    go_over(console.make_progress(), clock, 1000, 0.009)
    assert capsys.readouterr().err == ""


def test_lines_are_ten_seconds_apart(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    go_over(console.make_progress(), clock, 100, 0.25)
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["40", "80"]


def test_the_time_left_of_a_resumed_job(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    go_over(console.make_progress(), clock, 100, 5.0, done=80)
    assert capsys.readouterr().err.splitlines()[0].startswith("training: 90 of 100, 50 s left")


def test_a_bar_on_a_terminal(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console.errors, "_force_terminal", True)
    go_over(console.make_progress(), clock, 10, 1.0)
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "10/10" in shown
    assert "loss 10" in shown


def test_progress_stops_with_its_items() -> None:
    calls: list[str] = []

    class Recorded(Progress):
        def start(self, job: str, total: int, done: int = 0) -> None:
            calls.append(f"start {job} {total}")

        def update(self, done: int, note: str = "") -> None:
            calls.append(f"update {done}")

        def stop(self) -> None:
            calls.append("stop")

    assert list(Recorded().track("ab", "spelling")) == ["a", "b"]
    assert calls == ["start spelling 2", "update 1", "update 2", "stop"]
    calls.clear()
    next(iterator := Recorded().track(iter("ab"), "spelling", 2))
    iterator.close()
    assert calls == ["start spelling 2", "stop"]


def test_what_the_library_logs(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("multisigma.training.train")
    with console.shown_messages():
        logger.info("computing on [cpu]")
        logger.warning("no validation")
        console.console.quiet = True
        assert console.make_progress() is SILENT
        logger.info("computing on cpu")
        logger.warning("unlabelled")
    logger.info("nobody listens")
    assert capsys.readouterr().err == "computing on [cpu]\nwarning: no validation\nwarning: unlabelled\n"
