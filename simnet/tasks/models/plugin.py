"""Models of the user's own, named by `module:attribute`."""

from pydantic import ConfigDict
from torch import nn

from simnet.scenario import ScenarioError, load_plugin
from simnet.tasks.entry import Options, Origin


class PluginModelOptions(Options):
    """Whatever the scenario gives besides the name: keyword arguments for the user's class or function."""

    model_config = ConfigDict(extra="allow", frozen=True)


def build_plugin_model(name: str, options: PluginModelOptions, origin: Origin) -> nn.Module:
    """Call the class or function that `name` means with the options as keyword arguments.

    Raises `ScenarioError` where that fails or gives something else than an `nn.Module`.
    """
    factory = load_plugin(name, origin.folder, origin.path)
    if not callable(factory) or isinstance(factory, nn.Module):
        raise ScenarioError.at(
            origin.path, f"{name} is a {type(factory).__name__}", expected="an nn.Module class or a function"
        )
    arguments = options.model_extra or {}
    try:
        model = factory(**arguments)
    except Exception as error:  # the user's code may raise anything
        call = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ScenarioError.at(
            origin.path, f"{name}({call}) failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise ScenarioError.at(
            origin.path, f"{name} gives a {type(model).__name__}", expected="a torch.nn.Module"
        )
    return model
