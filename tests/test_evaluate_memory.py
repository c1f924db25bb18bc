"""What an evaluation keeps of a log of any length, and that a short one is measured whole."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluate import evaluated, logged, shelved, shop

from stream.evaluation.batch import Batch
from stream.evaluation.evaluating import Evaluation
from stream.evaluation.sample import Sample, notices

NUMBERS = st.floats(allow_nan=False, width=32)
Row = tuple[float, ...]


def sampled(rows: Sequence[Row], most: int, *, single: bool = False) -> Sample:
    """Rows of three numbers through a sample."""
    sample = Sample(3, single=single, most=most)
    for row in rows:
        sample.add(row)
    return sample


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=30), st.booleans())
def test_while_rows_are_few_all_are_kept_as_they_came(rows: list[Row], single: bool) -> None:  # noqa: FBT001
    """Bit for bit, in their order, up to the very last that there is room for."""
    sample = sampled(rows, max(1, len(rows)), single=single)
    assert list(map(tuple, sample.rows().tolist())) == rows
    assert not list(notices({"conversion": sample}))


@given(st.integers(1, 50), st.integers(0, 500), st.booleans())
def test_of_any_number_of_rows_no_more_are_held_than_there_is_room_for(
    most: int,
    more: int,
    single: bool,  # noqa: FBT001
) -> None:
    """Each of them was added, none is there twice, and all it takes is their numbers' bytes."""
    rows = [(float(n), float(-n), 0.5) for n in range(most + more)]
    sample = sampled(rows, most, single=single)
    kept = [tuple(row) for row in sample.rows().tolist()]
    assert len(sample) == len(kept) == len(set(kept)) == most
    assert set(kept) <= set(rows)
    assert sample.rows().nbytes == most * 3 * (4 if single else 8)
    assert sample.seen == len(rows)


def test_each_row_is_as_likely_as_any_other_to_be_kept() -> None:
    """Of each tenth of 50,000 rows a tenth of those that are kept."""
    sample = sampled([(float(n), 0.0, 0.0) for n in range(50_000)], 5_000)
    tenths = np.bincount(sample.rows()[:, 0].astype(int) // 5_000, minlength=10)
    assert np.abs(tenths - 500).max() < 75  # three and a half deviations


def test_the_same_log_gives_the_same_draw() -> None:
    """A figure can be printed again."""
    rows = [(float(n), 0.0, 0.0) for n in range(300)]
    assert np.array_equal(sampled(rows, 20).rows(), sampled(rows, 20).rows())


def trained(most: int) -> Batch:
    """A batch model of 2,000 rows, of which it may keep so many."""
    chance, model = random.Random(4), Batch(on=True, most=most)
    for _ in range(2_000):
        x = chance.gauss(0.0, 1.0)
        missing = None if chance.random() < 0.1 else chance.random()
        model.add([x, missing], x + chance.gauss(0.0, 1.0) > 0.0)
    return model


def test_a_batch_model_that_has_room_is_trained_on_all_rows() -> None:
    """More room changes no bit of it; less room leaves about the same model."""
    pytest.importorskip("sklearn")
    asked = [[x / 10.0, 0.3] for x in range(-20, 21)]
    answers = []
    for most in (2_000, 10**6, 500):
        model = trained(most)
        assert model._sample is not None
        assert len(model._sample) == min(most, 2_000)
        model.fit()
        answers.append(model.says_all(asked))
    assert np.array_equal(answers[0], answers[1])
    assert 0.0 < np.abs(answers[0] - answers[2]).max() < 0.1


def held(run: Evaluation) -> list[int]:
    """So many rows each part of an evaluation holds."""
    return [len(sample) for sample in run.samples().values()]


def test_a_log_that_fits_is_measured_whole_and_a_longer_one_by_a_draw() -> None:
    """Where there is room, more room changes no figure; where there is none, a notice says so."""
    log = logged(shelved(shop()))
    whole, more, drawn = (evaluated(log, most=most, batch=True) for most in (2_400, 10**9, 100))
    assert whole[1] == more[1]
    assert whole[0] == drawn[0]  # the dump has every prediction
    assert max(held(whole[2])) > 100
    assert max(held(drawn[2])) == 100
    told = [notice for notice in drawn[1]["notices"] if "drawn evenly" in notice]
    assert any(notice.startswith("conversion: the figures are of 100 predict") for notice in told)
    assert len(told) == held(drawn[2]).count(100)
    assert drawn[1]["conversion"]["n"] == 100
    assert abs(drawn[1]["conversion"]["auc"] - whole[1]["conversion"]["auc"]) < 0.15
