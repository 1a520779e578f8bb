"""Damaged requests to the page: `make test-serve`. Needs gradio, else it is skipped."""

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")
def test_damaged_requests_give_an_error_in_words_or_a_result() -> None:
    pytest.importorskip("gradio")
    from tests.fuzz.page import fuzz_page, open_page

    with open_page() as page:
        faults, statuses = fuzz_page(page, cases=150, seed=0)
    assert faults == {}
    assert statuses["200"] > 30
