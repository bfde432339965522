"""Put the catalog, the models folder and the machine together: one entry for each model, with what it would do here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmserver.library import fits, shelf
from llmserver.library.catalog import CHAT
from llmserver.library.fits import Fit

if TYPE_CHECKING:
    from llmserver.library.catalog import Catalog, Model
    from llmserver.library.machine import Room
    from llmserver.library.shelf import Held


@dataclass(frozen=True)
class Entry:
    """A model of the catalog, of the folder or of both; fit is None for what is no model by itself."""

    model: Model | None
    held: Held | None
    fit: Fit | None

    @property
    def name(self) -> str:
        """The catalog's name, else the file's."""
        return self.model.name if self.model else self.held.name if self.held else ""

    @property
    def kind(self) -> str:
        """What the catalog says that it is for."""
        return self.model.kind if self.model else CHAT

    @property
    def size_bytes(self) -> int:
        """Of what is here, else of what the catalog knows."""
        return self.held.n_bytes if self.held else self.model.size_bytes if self.model else 0

    @property
    def n_ctx_train(self) -> int:
        """The longest context, 0 if nobody says."""
        if self.held and self.held.shape:
            return self.held.shape.n_ctx_train
        return self.model.n_ctx_train if self.model else 0

    @property
    def license(self) -> str:
        """As the catalog or the file says, empty if neither does."""
        return self.model.license if self.model else self.held.license if self.held else ""

    @property
    def state(self) -> str:
        """Whether it is here, and what is wrong with it."""
        if self.held is None:
            return ""
        is_here = "default" if self.held.is_default else "yes"
        if not self.held.fault:
            return is_here
        return f"default, {self.held.fault}" if self.held.is_default else self.held.fault

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "name": self.name,
            "kind": self.kind,
            "title": self.model.title if self.model else None,
            "file": self.held.path.name if self.held else self.model.file if self.model else None,
            "size_bytes": self.size_bytes,
            "n_ctx_train": self.n_ctx_train,
            "license": self.license,
            "in_catalog": self.model is not None,
            "here": self.held is not None,
            "default": bool(self.held and self.held.is_default),
            "fault": self.held.fault if self.held and self.held.fault else None,
            "fit": fit_as_json(self.fit) if self.fit else None,
        }


def entries(folder: Path, known: Catalog, room: Room) -> list[Entry]:
    """Return the catalog in its order, then what else is in the folder."""
    held = {one.path.name: one for one in shelf.look(folder)}
    found = [_entry(model, held.pop(model.file, None), room) for model in known.models]
    return found + [_entry(None, one, room) for one in held.values()]


def _entry(model: Model | None, held: Held | None, room: Room) -> Entry:
    if held and held.shape:
        return Entry(model, held, fits.fit(held.shape, room.machine, shared_bytes=room.shared_bytes))
    if model is None:
        return Entry(None, held, None)
    estimate = fits.estimated(model)
    return Entry(model, held, fits.fit(estimate, room.machine, shared_bytes=room.shared_bytes, is_estimate=True))


def fit_as_json(fit: Fit) -> dict[str, Any]:
    """Figures of a fit: bytes and tokens a second."""
    return {
        "where": fit.where,
        "fits": fit.where != fits.NOWHERE,
        "card_bytes": fit.card_bytes,
        "ram_bytes": fit.ram_bytes,
        "lacks": {"card": fit.card_lacks, "ram": fit.ram_lacks},
        "tokens_per_s": round(fit.tokens_per_s, 2),
        "n_ctx": fit.n_ctx,
        "is_estimate": fit.is_estimate,
    }
