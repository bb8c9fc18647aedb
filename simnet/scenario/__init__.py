"""Scenarios: the YAML schema, loading with errors that name the line, sweeps, export to JSON Schema."""

from simnet.scenario.byzantine import ByzantineConfig
from simnet.scenario.checkpoint import CheckpointConfig
from simnet.scenario.collectives import AllReduceConfig, BroadcastConfig
from simnet.scenario.device_files import read_device
from simnet.scenario.errors import MISSING, Path, Problem, ScenarioError, describe, nearest, shown
from simnet.scenario.expect import Comparison, Expectation, Measurements, Outcome, parse_expectation
from simnet.scenario.faults import FaultsConfig
from simnet.scenario.fields import Bandwidth, Component, Integer, Number, Positive, PositiveInteger
from simnet.scenario.groups import groups_of_workers
from simnet.scenario.interval import Interval
from simnet.scenario.jsonschema import json_schema
from simnet.scenario.library import (
    find_network,
    find_scenario,
    library_folder,
    library_names,
    network_descriptions,
    network_names,
)
from simnet.scenario.links import LinkConfig, NetworkEvent, Varying
from simnet.scenario.load import (
    Document,
    SweepPoint,
    canonical,
    dump,
    load_file,
    load_network,
    load_text,
    stated,
)
from simnet.scenario.machines import DeviceConfig, ServerConfig, WorkerGroup
from simnet.scenario.network import NetworkConfig, TopologyConfig
from simnet.scenario.pipeline import PipelineConfig, StageCharge
from simnet.scenario.plugins import load_plugin
from simnet.scenario.prices import RunningCosts
from simnet.scenario.schema import AlgorithmEntry, EvaluateConfig, Scenario, StopConfig
from simnet.scenario.source import Source
from simnet.scenario.starter import starter_text
from simnet.scenario.sweep import expand
from simnet.scenario.task import ChargeAs, TaskConfig
from simnet.scenario.validate import choose, one_of, validated

__all__ = [
    "MISSING",
    "AlgorithmEntry",
    "AllReduceConfig",
    "Bandwidth",
    "BroadcastConfig",
    "ByzantineConfig",
    "ChargeAs",
    "CheckpointConfig",
    "Comparison",
    "Component",
    "DeviceConfig",
    "Document",
    "EvaluateConfig",
    "Expectation",
    "FaultsConfig",
    "Integer",
    "Interval",
    "LinkConfig",
    "Measurements",
    "NetworkConfig",
    "NetworkEvent",
    "Number",
    "Outcome",
    "Path",
    "PipelineConfig",
    "Positive",
    "PositiveInteger",
    "Problem",
    "RunningCosts",
    "Scenario",
    "ScenarioError",
    "ServerConfig",
    "Source",
    "StageCharge",
    "StopConfig",
    "SweepPoint",
    "TaskConfig",
    "TopologyConfig",
    "Varying",
    "WorkerGroup",
    "canonical",
    "choose",
    "describe",
    "dump",
    "expand",
    "find_network",
    "find_scenario",
    "groups_of_workers",
    "json_schema",
    "library_folder",
    "library_names",
    "load_file",
    "load_network",
    "load_plugin",
    "load_text",
    "nearest",
    "network_descriptions",
    "network_names",
    "one_of",
    "parse_expectation",
    "read_device",
    "shown",
    "starter_text",
    "stated",
    "validated",
]
