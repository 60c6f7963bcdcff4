"""A sample of benchmarks/hostile.py: no outcome is wrong, a crash or a hang; all are reported."""

import time

import hostile
import pytest
from hostile_inputs import attempts
from hostile_inputs.attempts import Answer, Attempt, Wrong, attempt, expect_refusal

# At most so many attempts of each kind, without those for which a video codec is compiled.
SAMPLES = {"images": 24, "videos": 9, "folders": 2, "lists": 24, "recipes": 24}
SAMPLES |= {"codecs": 9, "weights": 9, "checkpoints": 3}


def test_nothing_is_wrong_crashes_or_hangs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results, num_files = hostile.run(tmp_path, SAMPLES)
    for kind, found in results.items():
        assert not [result for result in found if result.outcome in attempts.BAD], kind
        assert SAMPLES[kind] // 2 < len(found) <= SAMPLES[kind]
    assert num_files > 50


def test_outcomes_are_told_apart():
    def wrong():
        raise Wrong("it was read")

    def crashes():
        raise ValueError("a fault")

    for run, seconds, outcome in (
        (lambda: attempts.RIGHT, 5, "right"),
        (lambda: attempts.REFUSED, 5, "refused"),
        (wrong, 5, "wrong"),
        (crashes, 5, "crashed"),
        (lambda: time.sleep(60), 0.05, "hung"),
    ):
        assert attempt(Attempt("x", run), seconds).outcome == outcome


@pytest.mark.parametrize(
    "answer",
    [
        Answer(0, "", ""),
        Answer(65, "", "strata decode: x.png: damaged\n"),
        Answer(2, "", "strata decode: another reason\n"),
        Answer(2, "", "Traceback (most recent call last):\nstrata: x.png: damaged\n"),
        Answer(2, "", ""),
    ],
)
def test_a_refusal_has_its_code_its_words_and_one_line(answer):
    with pytest.raises(Wrong):
        expect_refusal(answer, 2, "x.png", "damaged")
    right = Answer(2, "", "strata decode: x.png: damaged\n")
    assert expect_refusal(right, 2, "x.png", "damaged") == attempts.REFUSED
