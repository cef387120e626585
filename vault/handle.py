"""A flush that may still be on its way to the disk: what `write(wait=False)` gives."""

from dataclasses import dataclass

from .worker import Job


@dataclass(frozen=True)
class Handle:
    """A flush that may still be on its way to the disk.

    Attributes:
      steps: steps a stream that it brings.
    """

    steps: int
    _job: Job[None] | None = None

    def done(self) -> bool:
        """Says whether it is durable, or failed."""
        return self._job is None or self._job.done()

    def result(self, timeout: float | None = None) -> int:
        """Waits until it is durable and gives the steps a stream.

        Raises:
          StorageError: if the disk refused.
          TimeoutError: after `timeout` seconds.
        """
        if self._job is not None:
            self._job.result(timeout)
        return self.steps
