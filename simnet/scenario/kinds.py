"""Values that say by `kind` which of several forms they have."""

from collections.abc import Mapping

from pydantic import BaseModel, BeforeValidator

from simnet.scenario.errors import ScenarioError, nearest


def known_kind(kinds: Mapping[str, type[BaseModel]], what: str, expected: str) -> BeforeValidator:
    """Refuses a value of no known kind, in better words than a discriminator alone has.

    Args:
        kinds: The model of each kind.
        what: What they are kinds of, for the message.
        expected: What would be right, for the message.
    """

    def check(value: object) -> object:
        if isinstance(value, BaseModel):
            return value
        kind = value.get("kind") if isinstance(value, Mapping) else value
        if isinstance(value, Mapping) and kind in kinds:
            return value
        raise ScenarioError.at(
            ("kind",) if isinstance(value, Mapping) and "kind" in value else (),
            f"{what} of no kind" if kind is None else f"not a kind of {what}",
            given=value if kind is None else kind,
            expected=expected,
            suggestion=nearest(str(kind), kinds),
        )

    return BeforeValidator(check)


def one_or_more(value: object) -> object:
    """One entry may stand instead of a list of them."""
    return [value] if isinstance(value, Mapping | BaseModel | str) else value
