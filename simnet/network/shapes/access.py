"""Access links that differ from host to host and between the two directions."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simnet.network.shapes.shape import TOPOLOGY_PATH, Cable, Setting, changed
from simnet.scenario import LinkConfig, ScenarioError, Varying
from simnet.scenario.fields import Bandwidth
from simnet.streams import Streams
from simnet.units import Seconds

_PATH = (*TOPOLOGY_PATH, "access")


def _one_or_two(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value, value)


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ScenarioError.at((), "the first is more than the second", expected="[least, most]")
    return span


_Wrapped = BeforeValidator(_one_or_two, json_schema_input_type=str | tuple[str, str])
BandwidthSpan = Annotated[tuple[Bandwidth, Bandwidth], AfterValidator(_ordered), _Wrapped]
SecondsSpan = Annotated[
    tuple[Annotated[Seconds, Field(ge=0)], Annotated[Seconds, Field(ge=0)]],
    AfterValidator(_ordered),
    _Wrapped,
]


class AccessConfig(BaseModel):
    """What the hosts' access links are like: one value for all, or [least, most] to spread over the hosts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up: BandwidthSpan | None = Field(None, description="From host to hub; network.link's if not given.")
    down: BandwidthSpan | None = Field(None, description="From hub to host; network.link's if not given.")
    latency: SecondsSpan | None = Field(None, description="Either way; network.link's if not given.")
    spread: Literal["log", "linear", "uniform", "log-uniform"] = Field(
        "log",
        description="log and linear: evenly from the first host to the last; uniform and log-uniform: drawn "
        "from the scenario's seed.",
    )
    slowest: Bandwidth | None = Field(
        None, description="The bandwidth of the first host both ways; the others are spread as given."
    )

    @model_validator(mode="after")
    def _log_of_zero(self) -> Self:
        if self.spread.startswith("log") and self.latency and self.latency[0] == 0 < self.latency[1]:
            raise ScenarioError.at(
                ("latency",),
                "zero has no logarithm",
                expected="a least latency above zero, or spread: linear",
            )
        return self

    def cables(self, hosts: tuple[str, ...], hub: str, setting: Setting) -> tuple[Cable, ...]:
        """One cable from each host to `hub`.

        Raises `ScenarioError` where neither this nor `network.link` says what it is like, and for half
        duplex.
        """
        if setting.link is not None and setting.link.duplex != "full":
            raise ScenarioError.at(
                _PATH,
                "access links with an up- and a downlink are full duplex",
                expected="network.link.duplex: full, or no access",
            )
        others = hosts if self.slowest is None else hosts[1:]
        up, down = self._spread("up", others, setting), self._spread("down", others, setting)
        latency = self._spread("latency", hosts, setting)
        if self.slowest is not None:
            up, down = [self.slowest, *up], [self.slowest, *down]
        template = setting.link or LinkConfig.model_construct(bandwidth=0.0, latency=0.0)
        return tuple(
            Cable(
                host,
                hub,
                changed(template, bandwidth=up[i], latency=latency[i]),
                changed(template, bandwidth=down[i], latency=latency[i]),
            )
            for i, host in enumerate(hosts)
        )

    def _spread(self, key: str, hosts: tuple[str, ...], setting: Setting) -> list[float | Varying]:
        span = getattr(self, key)
        if span is None:
            if setting.link is None:
                raise ScenarioError.at((*_PATH, key), "missing key", expected=f"{key} here or network.link")
            common: float | Varying = setting.link.latency if key == "latency" else setting.link.bandwidth
            return [common] * len(hosts)
        least, most = span
        if least == most:
            return [least] * len(hosts)
        if self.spread in ("log", "linear"):
            where = np.linspace(0.0, 1.0, len(hosts)) if len(hosts) > 1 else np.zeros(len(hosts))
        else:
            # One stream per host: a host's draw does not depend on how many there are.
            streams = Streams(setting.seed)
            where = np.array([streams.generator("access", key, host).random() for host in hosts])
        if self.spread in ("log", "log-uniform"):
            values = least * (most / least) ** where
        else:
            values = least + (most - least) * where
        return list(np.clip(values, least, most).tolist())  # rounding may step over an end in the last place
