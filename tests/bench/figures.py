"""How a benchmark says what it measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure against its goal; less is better. `unit` is empty for a ratio."""

    name: str
    value: float
    goal: float
    unit: str = ""

    def __str__(self) -> str:
        if not self.unit:
            return f"{self.name} ratio {self.value:.2f} (goal {self.goal:.2f})"
        return f"{self.name} {self.value:g} {self.unit} (goal {self.goal:g})"
