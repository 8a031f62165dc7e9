"""How state machines of the law of the cut are run: so many examples, from a fixed seed, and nothing remembered."""

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def examples(machine: type[RuleBasedStateMachine], count: int, steps: int, number: int) -> None:
    """Run a number of examples from a fixed seed."""
    checks = settings(
        max_examples=count,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(seed(number)(machine), settings=checks)
