"""What a run leaves behind: its record, its boundaries, and enough to go on exactly where it stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scbtheory import files
from scbtheory.errors import InvalidArgument
from scbtheory.model import Model, Parameters

COLUMNS = ("samples", "step", "stage", "alpha", "beta", "off_plane", "distance_A", "distance_V", "loss")
FORMAT = 2


class NoSupport(UserWarning):
    """A stage that looks for supports ended without one; what follows goes on from where it was left."""


@dataclass(frozen=True)
class StageEnd:
    """Where a stage ended and why: the rule's own words.

    Parameters
    ----------
    stage : its name.
    samples, step : samples used and steps made until then, since the run began.
    reason : the rule's words.
    """

    stage: str
    samples: int
    step: int
    reason: str


@dataclass(frozen=True)
class Divergence:
    """A run whose parameters left every bound; ``size`` is the last ‖A‖²_μ + ‖V‖²_μ (infinite: not a number).

    Parameters
    ----------
    stage : the name of the stage that diverged.
    samples, step : samples used and steps made until then, since the run began.
    size : above 10⁴, or infinite.
    """

    stage: str
    samples: int
    step: int
    size: float


@dataclass(eq=False)  # whoever compares two runs says what of them: rows, boundaries, theta
class History:
    r"""The record of a run; each column is a NumPy array with one entry a recorded moment.

    ``samples``, ``step``, ``stage`` (index into ``stages``), ``alpha``, ``beta`` and ``off_plane`` (the nearest point
    of R1's plane and the distance to it), ``distance_A`` :math:`=\|A-Q\|_\mu^2`, ``distance_V`` :math:`=\|V-P\|_\mu^2`,
    ``loss`` (of the population). All but the first three are the experimenter's: no stage reads them.

    Parameters
    ----------
    stages : the names of the run's stages.
    rows : a tuple a recorded moment, of the columns above in their order.
    boundaries : one :class:`StageEnd` for each stage that has ended.
    divergence : a :class:`Divergence`, or ``None``.
    status : ``"finished"``, ``"diverged"``, or ``"paused"`` (out of samples before the last stage ended).
    theta : attention and value at the end, or the last finite ones of a run that diverged.
    model : the same in the trained model's own parameters; ``None`` in a history loaded from a file.
    state : what resuming needs besides ``theta``, by name.
    description : what a run must share with one that it resumes, by name.
    """

    stages: tuple[str, ...]
    rows: list[tuple] = field(default_factory=list)
    boundaries: list[StageEnd] = field(default_factory=list)
    divergence: Divergence | None = None
    status: str = "paused"
    theta: Parameters = None  # type: ignore[assignment]  # until the run has one
    model: Model | None = None
    state: dict[str, Any] = field(default_factory=dict)  # what resuming needs besides theta
    description: dict[str, Any] = field(default_factory=dict)  # what a run must share with one that it resumes

    def __getattr__(self, name):
        if name in COLUMNS:
            return np.array([row[COLUMNS.index(name)] for row in self.rows])
        raise AttributeError(f"History has no attribute {name!r}; recorded columns are {', '.join(COLUMNS)}")

    def __len__(self) -> int:
        return len(self.rows)

    def samples_to(self, column: str, level: float) -> float:
        """The samples used when a column was first at most ``level``; infinity if it never was."""
        below = np.flatnonzero(getattr(self, column) <= level)
        return float(self.samples[below[0]]) if len(below) else np.inf

    def save(self, path) -> None:
        """Write everything to one ``.npz`` file, its metadata as JSON; an interrupted save leaves the old file whole.

        Arrays are stored bit for bit, in host memory.
        """
        if self.theta is None:
            raise InvalidArgument("this history has no parameters to save; train() makes one that has")
        path = Path(path)
        if not path.parent.is_dir():
            raise InvalidArgument(f"cannot save to {path}: the folder {path.parent} does not exist")
        meta = {
            "format": FORMAT, "stages": self.stages, "status": self.status, "description": self.description,
            "boundaries": [asdict(b) for b in self.boundaries],
            "divergence": asdict(self.divergence) if self.divergence else None,
            "numbers": {k: v for k, v in self.state.items() if not hasattr(v, "shape")},
        }  # fmt: skip
        arrays = {f"state/{k}": _host(v) for k, v in self.state.items() if hasattr(v, "shape")}
        rows = np.array(self.rows, dtype=float).reshape(-1, len(COLUMNS))
        parameters = {"A": _host(self.theta.A), "V": _host(self.theta.V)}
        # A size that left every float is infinite: Python's JSON knows it.
        content: dict[str, Any] = {"meta": json.dumps(meta), "rows": rows, **arrays, **parameters}
        files.write_with(path, lambda file: np.savez(file, **content))

    @classmethod
    def load(cls, path) -> History:
        """Read a saved history; its arrays are NumPy's.

        Raises
        ------
        InvalidArgument : no such file, or not a history that this version wrote.
        """
        try:
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                meta = json.loads(str(file["meta"]))
                if meta["format"] != FORMAT:
                    raise ValueError(f"its format is {meta['format']}, expected {FORMAT}")
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InvalidArgument(f"{path} is not a saved history: {error}") from error
        except Exception as error:  # zipfile raises its own kinds for damaged archives
            raise InvalidArgument(f"{path} is not a saved history: {type(error).__name__}: {error}") from error
        rows = [(int(r[0]), int(r[1]), int(r[2]), *(float(x) for x in r[3:])) for r in arrays["rows"]]
        state = meta["numbers"] | {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
        return cls(
            stages=tuple(meta["stages"]),
            rows=rows,
            boundaries=[StageEnd(**b) for b in meta["boundaries"]],
            divergence=Divergence(**meta["divergence"]) if meta["divergence"] else None,
            status=meta["status"],
            theta=Parameters(arrays["A"], arrays["V"]),
            state=state,
            description=meta["description"],
        )


def _host(array) -> np.ndarray:
    if hasattr(array, "get"):  # CuPy
        return array.get()
    return np.asarray(array) if isinstance(array, np.ndarray | np.generic) else np.from_dlpack(array)
