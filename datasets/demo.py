"""The demo: a training run that is killed half way loses nothing that it had flushed.

A process records while a policy is searched for, and is killed with SIGKILL between two flushes.
What survived is counted, a second process goes on where the vault ends, and what is there at the
end is verified, plotted, loaded, and sampled under jit.
"""

import shutil
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import console
from .facts import episode_rows, episode_summary
from .local import is_vault, size_on_disk
from .players import make_environment
from .plot import plot_episodes
from .recorder import Run, run
from .recording import Plan

if TYPE_CHECKING:
    from ..vault import Vault

BATCH, WINDOW = 256, 32  # windows a sample, steps a window
SAMPLES = 100  # timed samples, after the first
FLUSHES = 4  # at least, so that some come before the kill and some after
ROWS = 5  # of the episode table that are shown


def run_demo(directory: Path, plan: Plan) -> dict[str, Any]:
    """Runs the demo and tells its story on standard output.

    Args:
      directory: for the vault and the picture; an older vault of the demo there is replaced.
      plan: what to record.

    Returns:
      The figures of the story.

    Raises:
      MissingExtraError: if Gymnasium, its simulator, or matplotlib is not installed.
      StrongbaxError: if steps that were flushed did not survive, or the vault is not whole.
      ValueError: if something else lies where the vault goes, or the plan is too short to be killed.
    """
    begin = time.perf_counter()
    if plan.steps < FLUSHES * plan.flush_every:
        raise ValueError(
            f"`steps` must be at least {FLUSHES} times `flush_every`, so that there is a half way: got "
            f"{plan.steps} and {plan.flush_every}. Record more steps, or flush more often."
        )
    make_environment(plan.environment)  # tells at once what is wrong with it, if something is
    path = directory / f"{plan.environment.replace('/', '-')}.vault"
    _clear(path)
    first = _say_kill(path, plan)
    survived, resumed_at = _say_survivors(path, first)
    second = _say_resume(path, plan)
    facts = _say_vault(path, directory / "episodes.png", resumed_at)
    facts |= _say_sampling(path)
    flush = statistics.median(first.seconds + second.seconds)
    facts |= {
        "flushed_before_kill": first.flushed[-1],
        "survived": survived,
        "flushes": len(first.seconds) + len(second.seconds),
        "flush_median_ms": 1e3 * flush,
        "seconds": time.perf_counter() - begin,
    }
    console.print_facts(facts, "In figures")
    return facts


def _say_kill(path: Path, plan: Plan) -> Run:
    total = plan.steps * plan.streams
    console.print_line(
        f"1. Recording {plan.streams} x {plan.environment} while a linear policy is searched for: "
        f"{total:,} steps, flushed every {plan.flush_every * plan.streams:,}."
    )
    with console.progress("   Recording") as progress:
        killed = run(path, plan, lambda played: 2 * played > total, progress)
    in_memory = killed.played - killed.flushed[-1]
    console.print_line(
        f"   Killed with SIGKILL: {killed.flushed[-1]:,} steps were flushed, "
        f"{in_memory:,} more were in memory only."
    )
    return killed


def _say_survivors(path: Path, killed: Run) -> tuple[int, int]:
    """Tells what the kill left; returns the steps, and the episodes that had ended."""
    from ..vault import CorruptionError, Vault

    with Vault.open(path) as vault:
        steps, episodes, running = vault.num_steps, vault.num_episodes, len(vault.open_episodes)
    if steps < killed.flushed[-1]:
        raise CorruptionError(
            f"{killed.flushed[-1]:,} steps were flushed to {str(path)!r} and {steps:,} are there."
        )
    console.print_line(
        f"2. Opened again: {steps:,} steps survived, all that were flushed; "
        f"{episodes:,} whole episodes, {running} that the kill cut."
    )
    return steps, episodes


def _say_resume(path: Path, plan: Plan) -> Run:
    with console.progress("   Recording") as progress:
        resumed = run(path, plan, progress=progress)
    console.print_line(f"3. Resumed in a new process, appending up to {resumed.flushed[-1]:,} steps.")
    return resumed


def _say_vault(path: Path, picture: Path, resumed_at: int) -> dict[str, Any]:
    from ..vault import Vault

    with Vault.open(path) as vault:
        report, table = _verify(vault), vault.episodes
        facts = {
            "vault": str(path),
            "picture": str(picture),
            "streams": vault.streams,
            "steps": vault.num_steps,
            "episodes": vault.num_episodes,
            "bytes_of_data": vault.length * vault.schema.step_bytes,
        }
    tenth = max(1, len(table) // 10)
    returns = table["return"]
    early, late = float(returns[:tenth].mean()), float(returns[-tenth:].mean())
    console.print_line(
        f"4. Mean return of the first tenth of the episodes {early:.1f}, of the last {late:.1f}."
    )
    best = table.sort("return", descending=True)
    console.print_rows(episode_rows(best, ROWS), "   The best episodes")
    console.print_line()
    plot_episodes(table, picture, title=path.name, marks={"killed and resumed": resumed_at})
    console.print_line(f"   Plotted in {picture}.")
    console.print_line(f"5. Verified: {console.show(dict(report.checked))}.")
    summary = episode_summary(table)
    return facts | {
        "bytes_on_disk": size_on_disk(path)[0],
        "cut_episodes": summary["cut"],
        "mean_return_first_tenth": early,
        "mean_return_last_tenth": late,
    }


def _verify(vault: "Vault") -> Any:
    from ..vault import CorruptionError

    with console.progress("Verifying") as progress:
        report = vault.verify(progress=progress)
    if not report.ok:
        raise CorruptionError(f"The vault is not whole: {' '.join(report.problems)}")
    return report


def _say_sampling(path: Path) -> dict[str, Any]:
    import jax

    from ..buffer import make_trajectory_buffer
    from ..vault import Vault

    with Vault.open(path) as vault:
        window = min(WINDOW, vault.length)
        buffer = make_trajectory_buffer(
            add_batch_size=vault.streams,
            sample_batch_size=BATCH,
            sample_sequence_length=window,
            period=1,
            min_length_time_axis=window,
            max_length_time_axis=vault.length,
        )
        begin = time.perf_counter()
        state = jax.block_until_ready(vault.load(buffer))
        load_ms = 1e3 * (time.perf_counter() - begin)
    sample = jax.jit(buffer.sample)
    keys = jax.random.split(jax.random.key(0), SAMPLES + 1)
    batch = jax.block_until_ready(sample(state, keys[0]))
    begin = time.perf_counter()
    for key in keys[1:]:
        jax.block_until_ready(sample(state, key))
    rate = SAMPLES * BATCH / (time.perf_counter() - begin)
    shape = batch.experience["observation"].shape
    console.print_line(
        f"6. Loaded into a buffer in {load_ms:.1f} ms and sampled under jit: observations {shape}, "
        f"{rate:,.0f} windows of {window} steps a second."
    )
    return {"load_ms": load_ms, "windows_a_second": rate, "window_steps": window}


def _clear(path: Path) -> None:
    if is_vault(path):
        shutil.rmtree(path)
    elif path.exists():
        raise ValueError(
            f"`directory` has something at {str(path)!r} that is no vault. Give another directory."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
