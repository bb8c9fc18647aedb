"""A method that misbehaves when it is told to, and batches that remember what was told."""

from pathlib import Path

from simnet.batch import Batch, BatchRun, Ended, LocalEngine, Report, Standing, carry_out_batch, survey
from simnet.scenario import Document, load_file

METHOD = '''
import os, signal, time
from simnet import Algorithm, Node

class Mine(Algorithm):
    """Local steps, and what the test wants."""

    pause: float = 0.0
    then: str = ""
    log: str = ""
    begin_log: str = ""

    async def worker(self, node: Node) -> None:
        if node.rank == 0 and self.begin_log:
            with open(self.begin_log, "a") as file:
                print(os.getppid(), file=file)
        while node.running:
            await node.train(1)
            if node.rank == 0:
                time.sleep(self.pause)
        if node.rank == 0 and self.log:
            with open(self.log, "a") as file:
                print("ran", file=file)
        if self.then == "fail":
            raise RuntimeError("the method gives up")
        if self.then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
'''


class Notes:
    """Remembers what a batch told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stood: list[Standing] = []
        self.outcomes: dict[str, Ended] = {}

    def began(self, run: BatchRun) -> None:
        self.begun.append(run.title)

    def stands(self, run: BatchRun, standing: Standing) -> None:
        self.stood.append(standing)

    def ended(self, run: BatchRun, ended: Ended) -> None:
        assert run.title not in self.outcomes, "told twice"
        self.outcomes[run.title] = ended


def carried_out(
    files: Path | list[Path], results: Path, jobs: int = 2, retry: bool = False
) -> tuple[Batch, Report, Notes]:
    """A batch of these files on the local engine."""
    documents: list[Document] = [load_file(file) for file in ([files] if isinstance(files, Path) else files)]
    batch = survey(documents, results, retry)
    report, notes = Report(batch), Notes()
    carry_out_batch(batch, LocalEngine(jobs), report, notes)
    return batch, report, notes
