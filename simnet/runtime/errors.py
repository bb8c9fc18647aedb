"""What is raised in an algorithm's code, most of it at an `await`."""


class Timeout(Exception):
    """What was awaited did not happen within the seconds allowed for it."""


class GroupChanged(Exception):
    """The members of a collective are to agree on a new view first; see :meth:`Node.regroup`.

    Raised by every collective that this node is in, or begins, once somebody asked for a new view: a member
    that lost another one, or a node that is back and wants to take part.
    """


class Aborted(Exception):
    """The method gives up: raised by its own code, it ends the run, which is recorded as aborted.

    What was done until then is kept. The message says who and why.
    """


class PeerLost(GroupChanged):
    """The node that was waited for went down; raised once the detection timeout has passed since.

    Raised by `send` to it, by `recv` from it (not by a `recv` from anybody, which any other node may still
    answer) and by every collective in whose group it is. What had left it before still arrives.
    """

    def __init__(self, peer: str) -> None:
        super().__init__(peer)  # SimPy copies errors by their arguments
        self.peer = peer

    def __str__(self) -> str:
        return f"{self.peer} went down"


class Cancelled(BaseException):
    """Raised inside a task at its `await` when :meth:`Task.cancel` was called on it."""


class NodeDown(Cancelled):
    """Raised at every `await` of a node's own code when that node goes down.

    Whatever the code does then, it does nothing more: its tasks end. Should the node come up again, the
    coroutine of its role starts anew, with :attr:`Node.incarnation` one higher.
    """


class NoValuesError(Exception):
    """A value was asked for in a timing-only run, whose vectors have shapes and no values."""
