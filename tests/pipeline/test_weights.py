"""The version store holds what is needed and nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simnet.pipeline.schedules import Backward, Forward, continuous
from simnet.pipeline.weights import Latest, Predicted, Stashed, WeightStore


def at(value):
    return torch.full((3,), float(value))


def test_read_gives_the_version_asked_for():
    store = WeightStore(at(0))
    kept = store.stash()
    store.advance(at(1))
    assert torch.equal(store.read(), at(1))
    assert torch.equal(store.read(kept), at(0))
    store.release(kept)
    with pytest.raises(KeyError, match="version 0 is not held"):
        store.read(kept)
    with pytest.raises(KeyError, match="not stashed"):
        store.release(kept)


def test_patch_is_no_update():
    store = WeightStore(at(0))
    version = store.stash()
    store.patch(at(5))
    assert store.version == 0
    assert torch.equal(store.read(version), at(5))


def test_recent_versions_stay():
    store = WeightStore(at(0), recent=2)
    for value in range(1, 6):
        store.advance(at(value))
    assert store.versions == 2
    assert torch.equal(store.read(4), at(4))


@given(st.integers(1, 8), st.integers(1, 30), st.integers(1, 4))
def test_stashing_holds_at_most_one_version_per_stage_after(stages, updates, every):
    """The ring of PipeDream: P - i + 1 versions at stage i, from 1, and fewer with several microbatches."""
    for stage in range(stages):
        store, policy, used = WeightStore(at(0)), Stashed(), {}
        most = 0
        for action in continuous(stages, stage, updates * every, every):
            if isinstance(action, Forward):
                used[action.microbatch], params = policy.forward(store, action.microbatch)
                assert params[0] == store.version
            elif isinstance(action, Backward):
                version = used.pop(action.microbatch)
                assert policy.backward(store, version)[0] == version
            else:
                store.advance(at(store.version + 1))
            most = max(most, store.versions)
        assert most <= -(-(stages - 1 - stage) // every) + 1
        assert store.versions == 1


def test_latest_keeps_one_version():
    store, policy = WeightStore(at(0)), Latest()
    version, _ = policy.forward(store, 0)
    store.advance(at(1))
    assert policy.backward(store, version)[0] == 1
    assert store.versions == 1


def test_prediction_of_steady_motion_is_exact():
    """With updates of one size the running mean is that size, so the weights t steps ahead are known."""
    store = WeightStore(at(0), smoothing=0.0)
    store.advance(at(2))
    assert torch.equal(store.predicted(3), at(8))
    assert torch.equal(store.predicted(-1), at(0))
    assert torch.equal(Predicted(3).forward(store, 0)[1], at(8))


def test_running_mean_of_the_updates():
    store = WeightStore(at(0), smoothing=0.5)
    store.advance(at(1))
    store.advance(at(4))
    # 0.5 * (0.5 * 1) + 0.5 * 3 = 1.75
    assert torch.equal(store.predicted(1), at(5.75))


def test_prediction_needs_smoothing():
    with pytest.raises(ValueError, match="without smoothing"):
        WeightStore(at(0)).predicted(1)
