"""Studies: nothing is done twice, a stopped study goes on, and the page depends on the results alone."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from multisigma.claims import Claims
from multisigma.cli import main
from multisigma.errors import MultisigmaError
from multisigma.experiments import figure7, table1
from multisigma.experiments import study as study_module
from multisigma.experiments.results import Result, result_path
from multisigma.experiments.study import Study, make_page, run_study, work
from multisigma.experiments.tuning import Method, candidates, chosen, tuned_runs
from multisigma.files import machine, remove_leftovers
from multisigma.synthetic import generate
from multisigma.training.config import TrainConfig
from tests.experiments.fakes import fake_result, write_fake
from tests.kills import killed_at_each_operation


def slow_fake(config: TrainConfig, run: Path) -> Result:
    time.sleep(0.02)
    return write_fake(config, run)


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "execute", write_fake)
    monkeypatch.setattr(study_module, "_POLL", 0.01)
    monkeypatch.setattr(study_module, "hash_of_data", lambda data: "d")


def start(folder: Path) -> multiprocessing.process.BaseProcess:
    """Start another process that does the study of table 1, with runs that take a moment and train nothing."""
    # A fork has the modules already, which take seconds to import.
    process = multiprocessing.get_context("fork").Process(target=work, args=(table1, Study(folder, "smoke", 2, "data")))
    process.start()
    return process


def exit_codes(processes: list[multiprocessing.process.BaseProcess]) -> list[int | None]:
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def calls(folder: Path) -> list[str]:
    return [json.loads(line) for line in (folder / "runs" / "calls.txt").read_text().splitlines()]


def page_of(folder: Path, seeds: int = 2) -> str:
    make_page(table1, Study(folder, "smoke", seeds)).write(folder / "page.md")
    return (folder / "page.md").read_text()


def test_a_study_runs_what_is_missing(tmp_path: Path, without_training: None) -> None:
    study = Study(tmp_path, "smoke", 2, "data")
    run_study(table1, study)
    done = calls(tmp_path)
    assert len(done) == len(set(done))
    assert {path.name for path in (tmp_path / "runs").glob("*.gz")} == set(done)
    before = page_of(tmp_path)
    run_study(table1, Study(tmp_path, "smoke", 2, "data"))
    assert calls(tmp_path) == done
    assert page_of(tmp_path) == before
    # Another seed adds its own runs alone.
    run_study(table1, Study(tmp_path, "smoke", 3, "data"))
    assert set(calls(tmp_path)[len(done) :]).isdisjoint(done)


def test_results_of_other_data_are_refused(
    tmp_path: Path, without_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(table1, Study(tmp_path, "smoke", 1, "data"))
    monkeypatch.setattr(study_module, "hash_of_data", lambda data: "e")
    with pytest.raises(MultisigmaError, match="--out must be a folder of results for the same data"):
        run_study(table1, Study(tmp_path, "smoke", 1, "data"))


def test_a_page_says_what_differs(tmp_path: Path, without_training: None) -> None:
    run_study(table1, Study(tmp_path, "smoke", 1, "data"))
    assert "All runs agree" in page_of(tmp_path, 1)
    path = next((tmp_path / "runs").glob("equal-depth-*.gz"))
    result = Result.read(path)
    replace(result, provenance={**result.provenance, "code": "other"}).write(path)
    assert "The runs differ in code." in page_of(tmp_path, 1)


def test_killed_five_times_and_shared_by_two(
    tmp_path: Path, without_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study that is killed at random moments, and then shared by two processes, gives the same page."""
    monkeypatch.setattr(study_module, "execute", slow_fake)
    rng = random.Random(0)
    folder = tmp_path / "killed"
    (folder / "runs").mkdir(parents=True)
    for _ in range(5):
        process = start(folder)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        assert exit_codes([process]) == [-signal.SIGKILL]
    assert exit_codes([start(folder), start(folder)]) == [0, 0]
    # A killed process may have repeated the one run that it was at.
    done = calls(folder)
    assert len(done) - len(set(done)) <= 5
    whole = tmp_path / "whole"
    run_study(table1, Study(whole, "smoke", 2, "data"))
    assert page_of(folder) == page_of(whole)


@pytest.mark.slow
def test_training_runs_killed_five_times_and_shared_by_two(tmp_path: Path) -> None:
    """The same with runs that train: curves and numbers are those of a study that nobody disturbed."""
    root, killed, whole = (tmp_path / name for name in ("streets", "killed", "whole"))
    generate(root, 4, 2, 64, 128, seed=0, processes=1, samples_page=False)
    rng = random.Random(1)

    def begin() -> multiprocessing.process.BaseProcess:
        study = Study(killed, "smoke", 4, str(root))
        process = multiprocessing.get_context("fork").Process(target=_train, args=(study,))
        process.start()
        return process

    for _ in range(5):
        process = begin()
        time.sleep(rng.uniform(0.2, 3))
        process.kill()
        assert exit_codes([process]) in ([-signal.SIGKILL], [0])
    assert exit_codes([begin(), begin()]) == [0, 0]
    run_study(figure7, Study(whole, "smoke", 4, str(root)))
    first, second = (sorted((folder / "runs").glob("*.gz")) for folder in (killed, whole))
    assert [path.name for path in first] == [path.name for path in second]
    for one, other in zip(map(Result.read, first), map(Result.read, second), strict=True):
        assert one.curves == other.curves
        assert [m.value for m in one.measurements] == pytest.approx([m.value for m in other.measurements], nan_ok=True)
    assert not list((killed / "runs").glob("*.lock"))


def _train(study: Study) -> None:
    # A forked process must not use the pool of threads of its parent.
    torch.set_num_threads(1)
    run_study(figure7, study)


def test_two_processes_do_nothing_twice(
    tmp_path: Path, without_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "execute", slow_fake)
    (tmp_path / "runs").mkdir()
    assert exit_codes([start(tmp_path), start(tmp_path)]) == [0, 0]
    done = calls(tmp_path)
    assert len(done) == len(set(done)) == len(list((tmp_path / "runs").glob("*.gz")))
    assert not list((tmp_path / "runs").glob("*.lock"))


def test_a_claim_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with Claims().claim(path) as first:
        assert first
        assert Claims().is_held(path)
        with Claims().claim(path) as second:
            assert not second
    assert not path.exists()
    assert not Claims().is_held(path)


def test_a_claim_without_owner_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path.write_text(json.dumps({"host": machine(), "process": ended.pid, "claim": "x"}))
    with Claims().claim(path) as mine:
        assert mine
    # Of another host, only the heartbeat is known.
    path.write_text(json.dumps({"host": "elsewhere", "process": ended.pid, "claim": "x"}))
    claims = Claims(stale=0.05)
    with claims.claim(path) as mine:
        assert not mine
    time.sleep(0.1)
    os.utime(path)
    with claims.claim(path) as mine:
        assert not mine
    time.sleep(0.1)
    with claims.claim(path) as mine:
        assert mine


def test_no_kill_leaves_half_a_claim(tmp_path: Path) -> None:
    """Half a claim would have no owner, and a new process would wait for its next sign."""

    def claim(place: Path) -> None:
        with Claims().claim(place / "a.lock"):
            pass

    for place in killed_at_each_operation(tmp_path, lambda _: None, claim):
        with Claims().claim(place / "a.lock") as mine:
            assert mine
        remove_leftovers(place)
        assert not list(place.iterdir())


def test_half_a_claim_goes_stale(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text('{"host": "')
    claims = Claims(stale=0.01)
    assert claims.is_held(path)
    assert not claims.is_local(path)
    time.sleep(0.02)
    with claims.claim(path) as mine:
        assert mine


def test_a_claim_is_kept_alive(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with Claims(beat=0.01).claim(path):
        before = path.stat().st_mtime_ns
        time.sleep(0.1)
        assert path.stat().st_mtime_ns > before


def test_a_method_is_chosen_on_one_half_and_reported_with_other_seeds(tmp_path: Path) -> None:
    study = Study(tmp_path, "cpu", 2, "data")
    (tmp_path / "runs").mkdir()
    method = Method("dwa", study.config("dwa"), [{"temperature": 1.0}, {"temperature": 2.0}])
    possible = candidates(study, method)
    assert len({result_path(tmp_path, config) for config in possible}) == 6
    assert {config.seed for config in possible} == {0}
    assert tuned_runs(study, [method]) == possible
    assert chosen(study, method) is None
    for config in possible:
        fake_result(config).write(result_path(tmp_path / "runs", config))
        study.find(config)
    best = chosen(study, method)
    assert best in possible
    rest = tuned_runs(study, [method])[6:]
    assert [config.seed for config in rest] == [1, 2]
    assert {replace(config, seed=0) for config in map(_hashable, rest)} == {_hashable(best)}


def test_the_papers_protocol_has_one_learning_rate(tmp_path: Path, without_training: None) -> None:
    study = Study(tmp_path, "cpu", 2, "data", tuned=False)
    method = Method("equal", study.config("equal"))
    assert candidates(study, method) == [chosen(study, method)] == [study.config("equal", seed=0)]
    run_study(table1, study)
    assert main(["experiment", "table1", "--out", str(tmp_path), "--seeds", "2", "--protocol", "paper"]) == 0
    page = (tmp_path / "table1-one-rate.md").read_text()
    assert "--seeds 2 --protocol paper" in page
    assert "## Choices" not in page


def _hashable(config: TrainConfig | None) -> TrainConfig:
    assert config is not None
    return replace(config, weighting_options=None)


def test_a_run_that_fails_for_another_reason_stops_the_study(tmp_path: Path) -> None:
    root = tmp_path / "streets"
    generate(root, 2, 2, 64, 128, seed=0, processes=1, samples_page=False)
    study = Study(tmp_path / "out", "smoke", 1, str(root))
    (tmp_path / "out" / "runs").mkdir(parents=True)
    with pytest.raises(MultisigmaError, match="--weighting"):
        work(SimpleNamespace(SEEDS=1, plan=lambda study: [study.config("unknown")], page=None), study)
    assert not list((tmp_path / "out" / "runs").glob("*.lock"))
