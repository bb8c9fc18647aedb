from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from simnet.scenario import ScenarioError, choose, load_plugin, validated

PATH = ("algorithms", 0, "name")


def error_of(spec: str, base: Path | None) -> tuple[str, str]:
    with pytest.raises(ScenarioError) as caught:
        load_plugin(spec, base, PATH)
    [problem] = caught.value.problems
    assert problem.path == PATH
    assert problem.given == spec
    return problem.message, problem.suggestion


def test_a_file_beside_the_scenario_comes_first_and_runs_once(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("class Mine: pass\n")
    found = load_plugin("json:Mine", tmp_path, PATH)
    assert isinstance(found, type)
    assert found.__name__ == "Mine"
    assert load_plugin("json:Mine", tmp_path, PATH) is found
    import json

    assert not hasattr(json, "Mine")  # the installed one is what it was
    (tmp_path / "json.py").write_text("class Mine: edited = True\n")
    assert load_plugin("json:Mine", tmp_path, PATH).edited  # type: ignore[attr-defined]


def test_an_installed_module_and_a_module_in_a_folder(tmp_path: Path) -> None:
    assert load_plugin("pathlib:Path", None, PATH) is Path
    assert load_plugin("pathlib:Path", tmp_path, PATH) is Path
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "methods.py").write_text("answer = 42\n")
    assert load_plugin("mine.methods:answer", tmp_path, PATH) == 42


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("class Method: pass\n")
    (tmp_path / "broken.py").write_text("x = 1\nraise RuntimeError('no')\n")
    (tmp_path / "syntax.py").write_text("x = 1\n\nx = = 2\n")
    (tmp_path / "needs.py").write_text("import no_such_library\n")
    assert error_of("good:Metod", tmp_path) == (f"{tmp_path / 'good.py'} has no `Metod`", "good:Method")
    for _ in range(2):  # a module that failed is not kept
        assert error_of("broken:X", tmp_path)[0] == (
            f"importing {tmp_path / 'broken.py'} failed (line 2): RuntimeError: no"
        )
    assert "failed (line 3): SyntaxError" in error_of("syntax:X", tmp_path)[0]
    assert "No module named 'no_such_library'" in error_of("needs:X", tmp_path)[0]
    assert "there is neither" in error_of("absent:X", tmp_path)[0]
    assert error_of("absent:X", None)[0] == "there is no installed module `absent`"
    assert error_of("no_colon", None)[0] == "not module:attribute"
    assert error_of("a/b:C", None)[0] == "not module:attribute"


def test_choose() -> None:
    registry = {"gpt": 1, "mlp": 2}
    assert choose("gpt", registry, PATH, "model") == 1
    with pytest.raises(ScenarioError) as caught:
        choose("gtp", registry, PATH, "model")
    [problem] = caught.value.problems
    assert (problem.message, problem.given) == ("unknown model", "gtp")
    assert (problem.expected, problem.suggestion) == ("one of gpt, mlp", "gpt")


class Sgd(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lr: float = Field(gt=0, description="Learning rate.")
    betas: tuple[float, float] = (0.9, 0.99)


class Decayed(Sgd):
    name: ClassVar[str] = "decayed"
    decay: float = 0


def by_name(value: object) -> object:
    """As a registry's type does: the name chooses the model."""
    if isinstance(value, dict) and value.get("name") == "decayed":
        return Decayed.model_validate({key: value[key] for key in value if key != "name"})
    return value


class Method(BaseModel):
    model_config = ConfigDict(extra="forbid")
    local_steps: int = Field(20, gt=0)
    outer: Sgd = Sgd(lr=0.7)
    several: dict[str, list[Sgd]] = {}
    late: object = None
    inner: Annotated[Sgd, BeforeValidator(by_name)] = Sgd(lr=0.1)

    @field_validator("late", mode="before")
    @classmethod
    def _late(cls, value: object) -> object:
        """As a registry's type does: it validates another model inside a validator."""
        if isinstance(value, dict):
            return Sgd.model_validate(value)
        if value == "path":
            raise ScenarioError.at(("deep",), "wrong", given=3)
        return value


@pytest.mark.parametrize(
    ("options", "path", "message", "expected", "suggestion"),
    [
        (
            {"local_step": 3},
            ("local_step",),
            "unknown key",
            "one of local_steps, outer, several, late, inner",
            "local_steps",
        ),
        ({"outer": {"lr": 1, "beta": 2}}, ("outer", "beta"), "unknown key", "one of lr, betas", "betas"),
        ({"outer": {}}, ("outer", "lr"), "missing key", "Learning rate", ""),
        ({"outer": {"lr": 1, "betas": [1, "x"]}}, ("outer", "betas", 1), "wrong value", "a number", ""),
        ({"outer": {"lr": 0}}, ("outer", "lr"), "wrong value", "greater than 0", ""),
        ({"outer": 3}, ("outer",), "not a mapping", "keys and values (lr, betas)", ""),
        (
            {"several": {"a": [{"lr": 1}, {"lrr": 1, "lr": 1}]}},
            ("several", "a", 1, "lrr"),
            "unknown key",
            "lr, betas",
            "lr",
        ),
        ({"late": {"lr": -1}}, ("late", "lr"), "wrong value", "greater than 0", ""),
        (
            {"inner": {"name": "decayed", "lr": 1, "decya": 1}},
            ("inner", "decya"),
            "unknown key",
            "decay",
            "decay",
        ),
        ({"outer": {"lr": 1, "betas": [1]}}, ("outer", "betas", 1), "missing entry", "", ""),
        ({"late": "path"}, ("late", "deep"), "wrong", "", ""),
    ],
)
def test_options_of_any_room_are_checked_alike(
    options: dict[str, object], path: tuple[str | int, ...], message: str, expected: str, suggestion: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        validated(Method, options, ("algorithms", 2))
    [problem] = caught.value.problems
    assert problem.path == ("algorithms", 2, *path)
    assert problem.message == message
    assert expected in problem.expected
    assert problem.suggestion == suggestion
    with pytest.raises((ValidationError, ScenarioError)):  # pydantic alone agrees that it is wrong
        Method.model_validate(options)


def test_valid_options_give_the_model() -> None:
    assert validated(Method, {"outer": {"lr": 1}}, ()).outer.lr == 1
