"""A local Ray cluster of two workers gives the results of one process."""

from pathlib import Path

import pytest

from multisigma.errors import MultisigmaError
from multisigma.experiments import figure7
from multisigma.experiments.ray_cluster import work_on_ray
from multisigma.experiments.results import Result
from multisigma.experiments.study import Study, make_page, run_study
from multisigma.synthetic import generate


def test_ray_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path / "streets", 2, 2, 64, 128, seed=0, processes=1, samples_page=False)
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MultisigmaError, match="needs the extra 'ray'"):
        run_study(figure7, Study(tmp_path / "out", "smoke", 1, str(tmp_path / "streets")), elsewhere=work_on_ray)


@pytest.mark.slow
def test_two_workers_give_the_results_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    root = tmp_path / "streets"
    generate(root, 2, 2, 64, 128, seed=0, processes=1, samples_page=False)
    tables = []
    for name, options in (("one", {}), ("cluster", {"jobs": 2, "elsewhere": work_on_ray})):
        folder = tmp_path / name
        run_study(figure7, Study(folder, "smoke", 4, str(root)), **options)  # type: ignore[arg-type]
        study = Study(folder, "smoke", 4)
        text = "\n\n".join(make_page(figure7, study).parts)
        tables.append(text[: text.index("## How it was made")])
        assert len(list((folder / "runs").glob("*.gz"))) == 4
        assert not list((folder / "runs").glob("*.lock"))
    assert tables[0] == tables[1]
    first, second = (sorted((tmp_path / name / "runs").glob("*.gz")) for name in ("one", "cluster"))
    for mine, other in zip(first, second, strict=True):
        assert Result.read(mine).curves == Result.read(other).curves
