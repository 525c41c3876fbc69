"""The jobs that the workers of a start do, each with what takes its messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gru_bench.errors import RunError
from gru_bench.sweep.sharing.trials import MOST_ATTEMPTS
from gru_bench.sweep.workers.messages import End, Failed, Finished, Job, Message, Workers
from gru_bench.sweep.workers.tasks import Task


class Jobs:
    """The jobs under way. A worker refuses data that were changed since this process has read them."""

    def __init__(self, pool: Workers, fingerprint: str, code: Sequence[str]) -> None:
        """Begin with none.

        Args:
            pool: The workers. The caller closes them.
            fingerprint: Fingerprint of the data.
            code: Files of classes of the user's own, which the workers keep.
        """
        self.pool, self._data = pool, (fingerprint, tuple(code))
        self._receivers: dict[str, Callable[[Job, Message], None]] = {}
        """Key of a job -> what takes its messages."""

    def __bool__(self) -> bool:
        """Return whether any job is under way."""
        return bool(self._receivers)

    def submit(self, key: str, task: Task, receive: Callable[[Job, Message], None]) -> None:
        """Submit a job; `receive` takes all that its worker says."""
        self._receivers[key] = receive
        self.pool.submit(Job(key, task, *self._data))

    def submit_task(
        self, key: str, task: Task, receive: Callable[[Finished | Failed], None], attempts: int = MOST_ATTEMPTS
    ) -> None:
        """Submit a task that trains no run of the study, again if its worker dies; `receive` takes its end."""
        def ended(job: Job, message: Message) -> None:
            match message:
                case Failed("machine", reason):
                    raise RunError(reason)
                case Failed("worker", _) if attempts > 1:
                    self.submit_task(key, task, receive, attempts - 1)
                case Finished() | Failed():
                    receive(message)

        self.submit(key, task, ended)

    def receive(self, timeout: float) -> None:
        """Take the messages that arrive within `timeout` seconds."""
        for job, message in self.pool.messages(timeout):
            receive = self._receivers[job.key]
            if isinstance(message, End):
                del self._receivers[job.key]
            receive(job, message)
