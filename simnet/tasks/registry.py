"""All that a scenario's task may name, by kind: for building, for `simnet list` and for the JSON Schema."""

from simnet.tasks.classification import ClassificationOptions, build_classification
from simnet.tasks.components import datasets, models
from simnet.tasks.entry import Entry
from simnet.tasks.language_model import LanguageModelOptions, build_language_model
from simnet.tasks.partitions import partitions
from simnet.tasks.quadratic import QuadraticOptions, build_quadratic
from simnet.tasks.synthetic import SyntheticOptions, build_synthetic
from simnet.tasks.task import Task

__all__ = ["datasets", "models", "partitions", "tasks"]

tasks: dict[str, Entry[Task]] = {
    "classification": Entry(
        ClassificationOptions, build_classification, "labelled samples; by default digits"
    ),
    "language-model": Entry(LanguageModelOptions, build_language_model, "next bytes; by default python-docs"),
    "quadratic": Entry(QuadraticOptions, build_quadratic, "heterogeneous quadratics with a known optimum"),
    "synthetic": Entry(
        SyntheticOptions, build_synthetic, "timing only: sizes and seconds, nothing is learned"
    ),
}
