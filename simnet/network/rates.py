"""What a scenario says about bandwidths and latencies, as profiles: quantities, files, waves, luck."""

from collections.abc import Mapping
from pathlib import Path

from simnet.network.profiles import Constant, OnOff, Profile, wave
from simnet.network.traces import Parse, TraceError, read_csv, read_mahimahi
from simnet.scenario import Scenario, ScenarioError, Varying
from simnet.scenario.links import (
    BandwidthOnOff,
    BandwidthWave,
    LatencyOnOff,
    LatencyWave,
    Mahimahi,
    Trace,
)
from simnet.scenario.walk import everything_below
from simnet.streams import Streams
from simnet.units import bytes_per_second, seconds

Place = tuple[str | int, ...]
"""The path of a key of the scenario."""


class Rates:
    """The bandwidths and latencies of one scenario's links. Each file is read once."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._streams = Streams(scenario.seed)
        self._shared: dict[tuple[Varying, float, Parse], Profile] = {}

    def bandwidth(self, value: float | Varying, efficiency: float, link: str, path: Place = ()) -> Profile:
        """Bytes of payload per second over time.

        Args:
            value: What the scenario says.
            efficiency: The part of it that carries payload.
            link: The link's name: its own stream of luck.
            path: Where the scenario says it; looked for if not given.

        Raises:
            ScenarioError: Its file cannot be used, or nothing can ever pass.
        """
        if isinstance(value, BandwidthOnOff):
            return self._on_off(value, efficiency, ("link", link))
        if isinstance(value, float | int):
            return Constant(value * efficiency)
        profile = self._profile(value, efficiency, bytes_per_second, path)
        if profile.mean == 0:
            raise ScenarioError.at(
                self._place(value, path), f"{link}: nothing can ever pass: all values are 0"
            )
        return profile

    def latency(self, value: float | Varying, link: str, path: Place = ()) -> Profile:
        """Seconds over time; arguments and errors as for :meth:`bandwidth`."""
        if isinstance(value, LatencyOnOff):
            return self._on_off(value, 1.0, ("link", link, "latency"))
        return Constant(value) if isinstance(value, float | int) else self._profile(value, 1.0, seconds, path)

    def _on_off(self, value: BandwidthOnOff | LatencyOnOff, factor: float, key: tuple[str, ...]) -> OnOff:
        luck = self._streams.generator(*key)
        on, off = value.on * factor, value.off * factor
        return OnOff(on, off, value.mean_up, value.mean_down, luck, value.start)

    def _profile(self, value: Varying, factor: float, parse: Parse, path: Place) -> Profile:
        """Links that say the same share one profile."""
        found = self._shared.get((value, factor, parse))
        if found is None:
            place = self._place(value, path)
            found = self._shared[value, factor, parse] = self._made(value, factor, parse, place)
        return found

    def _made(self, value: Varying, factor: float, parse: Parse, path: Place) -> Profile:
        match value:
            case BandwidthWave() | LatencyWave():
                return wave(value.mean * factor, value.amplitude, value.period, value.phase, value.step)
            case Mahimahi():
                name, key = value.mahimahi, (*path, "mahimahi")
            case Trace():
                name, key = value.trace, (*path, "trace")
            case _:
                raise TypeError(f"no profile for {value!r}")
        file = (self._scenario.folder_of(key) or Path()) / name
        try:
            if isinstance(value, Mahimahi):
                return read_mahimahi(file, value.window, loop=value.loop, factor=factor)
            return read_csv(
                file,
                parse,
                unit=value.unit,
                time_unit=value.time_unit,
                loop=value.loop,
                period=value.period,
                factor=factor,
            )
        except TraceError as error:
            raise ScenarioError.at(key, str(error), given=name) from None

    def _place(self, value: Varying, path: Place) -> Place:
        """Where the scenario says so, for errors: `path`, or the first place with such a value."""
        network = everything_below(self._scenario.network, ("network",))
        found = (at for at, other in network if _says(other, value))
        return path or next(found, ("network", "topology"))


def _says(written: object, value: Varying) -> bool:
    """Whether what is written at a place is `value`; a topology's options have not been validated yet."""
    if isinstance(written, Mapping):
        return value.form in written and written[value.form] == getattr(value, value.form)
    return written == value
