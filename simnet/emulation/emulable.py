"""What of a scenario can be done for real, and what not: found out before anything starts."""

from simnet.emulation.node import Pace
from simnet.faults.attacks import Dissensus, Equivocation, InformedAttack
from simnet.plan import Plan
from simnet.scenario import Problem, ScenarioError


def check_emulable(plan: Plan, pace: Pace, driver: str = "fabric") -> None:
    """Raise `ScenarioError` for each part of a scenario that an emulation cannot do, and say why.

    `driver` is what carries packets: fabric, mininet or loopback.
    """
    scenario, faults = plan.scenario, plan.scenario.faults
    problems: list[Problem] = []

    def refuse(path: tuple[str | int, ...], why: str, instead: str) -> None:
        problems.append(Problem(path, f"cannot be emulated: {why}", expected=instead))

    if scenario.stop.loss is not None:
        refuse(("stop", "loss"), "models are evaluated after the run", "stop.time or stop.steps")
    if scenario.network.model == "receiver-serialised":
        refuse(("network", "model"), "real receivers read all connections at once", "tcp, ideal, or options")
    if faults.checkpoint is not None:
        refuse(("faults", "checkpoint"), "there is no storage to write to", "no faults.checkpoint")
    if faults.partitions and faults.churn:
        refuse(
            ("faults", "partitions"),
            "a host that comes back while there is one could not connect to those beyond it",
            "partitions without churn, or churn without partitions",
        )
    elif faults.partitions and driver != "fabric":
        refuse(("faults", "partitions"), f"{driver} cannot hold packets between hosts", "--driver fabric")
    churn = plan.world.faults.churn
    if churn is not None and churn.on_disk:
        refuse(("faults", "churn"), "a killed process keeps nothing on a disk", "memory: lost")
    if churn is not None and churn.by_step:
        refuse(("faults", "churn"), "nobody knows another process's steps in time", "times in place of steps")
    for name, lying in plan.world.faults.byzantine.items():
        if lying.knowledge != "own" or isinstance(lying.attack, InformedAttack | Equivocation | Dissensus):
            refuse(
                ("faults", "byzantine"),
                f"{name} would have to look into the processes of others for {lying.attack.name}",
                "attacks of a node that knows itself alone, such as sign-flip",
            )
            break
    if faults.stragglers and pace == "real":
        refuse(("faults", "stragglers"), "real computations take what they take", "--pace paced")
    if problems:
        raise ScenarioError(problems, scenario.source)
