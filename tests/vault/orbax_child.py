"""A run that checkpoints with Orbax after each turn and goes on from the newest: FOLDER TURNS ID COUNT PORT.

It says which turn it begins to save, and fails where what it restores is not what the run was at that turn.
"""

import sys
from pathlib import Path

import jax

KIND = "prioritised"


def main(folder, turns, who, count, port):
    jax.config.update("jax_platforms", "cpu")
    if count > 1:  # before anything makes an array
        jax.distributed.initialize(f"127.0.0.1:{port}", count, who)
    import numpy as np
    import orbax.checkpoint as ocp
    from orbax.checkpoint.args import Composite, StandardRestore, StandardSave
    from resume_run import BUFFERS, STEP, Run, bits
    from strongbax.vault import Vault
    from strongbax.vault.orbax import VaultRestore, VaultSave

    assert jax.process_count() == count
    path = folder / f"my-{who}.vault"
    vault = (
        Vault.open(path, mode="a") if path.exists() else Vault.create(path, steps=STEP, streams=2, block=4)
    )
    options = ocp.CheckpointManagerOptions(max_to_keep=2)
    with vault, ocp.CheckpointManager(folder / "checkpoints", options=options) as manager:
        run, last = Run.begin(KIND), manager.latest_step() or 0
        if last:
            params = StandardRestore({"w": np.zeros(3)})
            replay = VaultRestore(BUFFERS[KIND], vault)
            restored = manager.restore(last, args=Composite(params=params, replay=replay))
            (state, extra), wanted = restored.replay, run
            for _ in range(last):
                wanted = wanted.play(3, who)
            assert bits((state, extra["key"])) == bits((wanted.state, wanted.key)), f"turn {last} differs"
            assert restored.params["w"].tolist() == [last] * 3
            run = Run(KIND, state, extra["key"], wanted.turns)
        print("from", last, flush=True)
        for turn in range(last + 1, turns + 1):
            run = run.play(3, who)
            print("saves", turn, flush=True)
            params = StandardSave({"w": np.full(3, float(turn))})
            replay = VaultSave(vault, run.state, key=run.key)
            manager.save(turn, args=Composite(params=params, replay=replay))
        manager.wait_until_finished()
        assert vault.read_numpy()["id"][0].tolist() == run.ids
        assert vault.gaps == ()
        assert vault.verify().ok


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
