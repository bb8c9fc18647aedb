"""Pages say everything that they must, and lead nowhere that is not there."""

import re
import sys
from pathlib import Path

import pytest
from markdown_pages import PAGES, ROOT, anchors, blocks, prose

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import reference

DOCS = ROOT / "docs"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def generated(page: Path) -> str:
    """A page with the text of its generated tables."""
    texts = [page.read_text(encoding="utf-8")]
    fences = re.findall(r"^```\{(\w+)\} ?([^\n]*)\n```$", texts[0], re.M)
    texts += [reference.GENERATORS[name](*arguments.split()) for name, arguments in fences]
    return "\n".join(texts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = prose(page) + (generated(page) if page.name == "scenario.md" else "")
    for target in _LINK.findall(text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.is_file(), f"{page.name}: {target} is not there"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {there.name} has no heading {anchor}"


def test_scenario_page_has_every_key() -> None:
    from simnet.scenario import Scenario

    text = generated(DOCS / "scenario.md")
    schema = Scenario.model_json_schema()
    sections = {"Scenario": schema, **schema["$defs"]}
    for name, section in sections.items():
        if name != "Component":  # `name` and options, which every component's own table has
            assert f"{{keys}} {name}\n" in text, f"scenario.md has no table of {name}"
        for key in section.get("properties", {}):
            assert f"| `{key}` |" in text or f"`{key}`" in text, f"scenario.md does not mention {name}.{key}"


def test_scenario_page_has_every_component_and_option() -> None:
    from simnet.cli.components import components

    text = generated(DOCS / "scenario.md")
    for kind, entries in components().items():
        for name, options in entries.items():
            assert f"`{name}`" in text, f"scenario.md does not mention the {kind} {name}"
            for key in options.model_fields if options else ():
                assert f"| `{key}` |" in text, f"scenario.md does not mention {key} of {name}"


def test_every_method_has_a_section() -> None:
    from simnet.algorithms import SHIPPED

    assert set(SHIPPED) <= anchors(DOCS / "methods.md")


def test_every_command_has_a_section() -> None:
    assert {f"simnet-{name}" for name in reference.command_names()} <= anchors(DOCS / "cli.md")


def test_everything_of_a_node_is_in_the_table() -> None:
    from simnet.runtime.node import Node

    text = (DOCS / "own-algorithm.md").read_text(encoding="utf-8")
    public = {name for name in (*vars(Node), *Node.__annotations__) if not name.startswith("_")}
    missing = {name for name in public if not re.search(rf"`(await )?(node\.)?{name}\b", text)}
    assert not missing


def test_metrics_of_a_run_are_explained(tmp_path: Path) -> None:
    import simnet

    scenario = tmp_path / "small.yaml"
    scenario.write_text(
        "name: small\nthreads: 1\nnetwork: {topology: star, link: {bandwidth: 1 Gbps, latency: 1 ms}}\n"
        "workers: {count: 2, device: cpu}\n"
        "task: {name: classification, batch_size: 8, optimizer: {name: sgd, lr: 0.1}}\n"
        "algorithms: [allreduce, {name: fedavg, local_steps: 2}, {name: fedbuff, local_steps: 2}]\n"
        "stop: {steps: 4}\n",
        encoding="utf-8",
    )
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    for run in simnet.run(scenario, tmp_path / "results"):
        for name in run.metrics["name"].unique():
            assert f"`{name}`" in text, f"results.md does not explain the metric {name}"
        for kind in run.spans["kind"].unique():
            assert f"`{kind}`" in text, f"results.md does not explain the span {kind}"


def test_readme_example_is_short() -> None:
    scenarios = [block for block in blocks(ROOT / "README.md") if block.language == "yaml"]
    assert [block.value for block in scenarios] == ["four-homes.yaml"]
    assert len(scenarios[0].text.splitlines()) <= 20


def test_figure_of_the_readme_is_a_figure() -> None:
    image = (DOCS / "images" / "quickstart.png").read_bytes()
    assert image.startswith(b"\x89PNG\r\n")
    assert len(image) < 400_000
