"""What an operator switches in a running process. It ends with the process."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Switches:
    """Read whenever it matters, so that a change holds at once, for turns under way too. Targets go by their names."""

    targets_off: set[str] = field(default_factory=set)
    """Never asked. What they answer now they may answer to its end."""
    preferred: str = ""
    """The target that is asked first, by those who know it."""
    may_hedge: bool = True
    """Whether slow first attempts may get a second one beside them."""
    tools_off: set[str] = field(default_factory=set)
    """Tools and actions of agents: their model is told that they are switched off."""
