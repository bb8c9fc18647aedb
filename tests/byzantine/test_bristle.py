"""Bristle: what it weighs, what it sends, what it pays."""

import math

import pytest
import torch

from simnet.algorithms.bristle import Bristle, column_weights, f1_scores

SETTING = {
    "task.partition": {"name": "by-class", "classes_per_worker": 6},
    "workers": [{"device": {"flops": "1 GFLOP/s", "achieved": 0.1}}],
    "stop.steps": 20,
}


def test_f1_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    generator = torch.Generator().manual_seed(0)
    predicted = torch.randint(0, 4, (3, 50), generator=generator)
    targets = torch.randint(0, 4, (50,), generator=generator)
    ours = f1_scores(predicted, targets, (0, 1, 2, 3))
    for row in range(3):
        theirs = f1_score(targets, predicted[row], average=None, labels=[0, 1, 2, 3])
        assert ours[row].tolist() == pytest.approx(theirs.tolist())


def test_weights_by_hand():
    """An equal peer has the weight 1 times its certainty; a much worse one has none; a stranger has none."""
    scores = torch.tensor([[0.8, 0.8], [0.8, 0.8], [0.1, 0.1], [0.9, 0.7]], dtype=torch.float64)
    vouched = [(0, 1, 5), (0, 1, 5), (7,)]
    weights = column_weights(scores, (0, 1), vouched, classes=8)
    assert weights[0].tolist() == [1.0] * 8
    assert weights[1].tolist() == pytest.approx([0.8, 0.8, 0, 0, 0, 0.8, 0, 0])
    assert 10 / (1 + math.e) < 4  # what a score of -100 comes to
    assert not weights[2].any()
    assert not weights[3].any()


def test_a_better_peer_counts_more():
    scores = torch.tensor([[0.5], [0.9]], dtype=torch.float64)
    weight = column_weights(scores, (2,), [(2,)], classes=3)[1, 2]
    expected = (10 / (1 + math.exp(-(4.0**3.5) / 100)) - 4) * 0.9
    assert float(weight) == pytest.approx(expected)


def test_columns_of_a_layer_come_back():
    method = Bristle(classes=3)
    layer = torch.arange(15.0)
    columns = method.columns(layer)
    assert columns.shape == (3, 5)
    assert columns[1].tolist() == [4, 5, 6, 7, 13]
    assert torch.equal(method.flat(columns), layer)


def test_only_the_output_layer_moves_and_is_sent(attacked):
    method = {"name": "bristle", "local_steps": 5, "graph": "complete"}
    finished = attacked(method, None, {**SETTING, "task.charge_as": None})
    run = finished.run
    layer, start = run.layers[-1], run.engine.initial_params
    for name in run.members["worker"]:
        model = finished.models[name]
        assert torch.equal(model[: layer.start], start[: layer.start])
        assert not torch.equal(model[layer], start[layer])
    sent = finished.recorder.tables()["transfers"].to_pandas()
    layers = sent[sent.kind == "layer"]
    numbers = (layer.stop - layer.start) * 4
    assert set(layers.raw_bytes) <= {numbers + 8 * classes for classes in range(1, 11)}
    spans = finished.recorder.tables()["spans"].to_pandas()
    assert (spans.name == "predict").sum() == 4 * 4


def test_those_who_learn_flipped_labels_are_left_out(attacked):
    method = {"name": "bristle", "local_steps": 10, "graph": "complete"}
    changes = {**SETTING, "network.topology.nodes": 8, "stop.steps": 100}
    finished = attacked(method, {"attack": "label-flip", "count": 2}, changes)
    honest = [
        value
        for name in finished.run.members["worker"]
        if name not in finished.byzantine
        for value in finished.column("detection_recall", name)[3:]
    ]
    assert sum(honest) / len(honest) > 0.8
