"""Points of sweeps that tests give to other processes, in a module that these load fast."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from scbtheory import sweeps


@dataclass(frozen=True)
class Logged(sweeps.Point):
    """A number squared, with a line in a file each time that it is computed."""

    number: int
    log: str
    wrong: bool = False

    def __call__(self):
        with open(self.log, "a") as file:
            file.write(f"{self.number}\n")
        if self.wrong:
            raise ZeroDivisionError(f"of {self.number}")
        return self.number**2


@dataclass(frozen=True)
class Beside(Logged):
    """The same, once another point has begun beside it; one that is not wrong ends after one that is."""

    def __call__(self):
        with open(self.log, "a") as file:
            file.write(f"{self.number}\n")
        end = time.monotonic() + 60
        while len(Path(self.log).read_text().split()) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        if self.wrong:
            raise ZeroDivisionError(f"of {self.number}")
        time.sleep(0.5)
        return self.number**2


@dataclass(frozen=True)
class Fatal(sweeps.Point):
    def __call__(self):
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Where(sweeps.Point):
    """The process that it is computed in, the one that started that, and an environment variable."""

    number: int

    def __call__(self):
        return os.getpid(), os.getppid(), os.environ.get("SCB_PROFILE")
