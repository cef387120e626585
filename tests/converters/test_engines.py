"""Beam and Ray: their workers make the vault that a plain conversion makes. `make engines` runs them."""

from pathlib import Path

import pytest
from resume_files import files, spoil, write
from strongbax.converters import convert, convert_on_beam, convert_on_ray
from strongbax.converters.share import write_share
from strongbax.vault import block
from strongbax.vault.errors import FormatError

SHARE = 8 << 10


@pytest.fixture(autouse=True)
def small_vault_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "BLOCK_BYTES", 4096)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file whose 1400th next observation changes how all is to be read."""
    (tmp_path / "from").mkdir()
    return write(tmp_path / "from/file.hdf5", odd=1400)


def half_done(source: Path, target: Path) -> None:
    """Leaves a conversion of which two shares are whole."""

    def engine(job, numbers):
        for number in numbers[:2]:
            write_share(job, number)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, target, share_bytes=SHARE, engine=engine, keep_next_observation=True)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options", [[], ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]]
)
def test_beams_direct_runner(source: Path, tmp_path: Path, options: list[str]):
    """A pipeline makes the same vault, in one process and in two, from the start and from half way."""
    beam = pytest.importorskip("apache_beam", reason="needs Apache Beam: `make engines`")
    given = beam.options.pipeline_options.PipelineOptions(["--runner=DirectRunner", *options])
    convert(source, tmp_path / "alone", share_bytes=SHARE)
    report = convert_on_beam(source, tmp_path / "v", pipeline_options=given, share_bytes=SHARE)
    assert len(report.notes) == 1
    assert files(tmp_path / "v") == files(tmp_path / "alone")
    convert(source, tmp_path / "kept", share_bytes=SHARE, keep_next_observation=True)
    half_done(source, tmp_path / "w")
    convert_on_beam(
        source, tmp_path / "w", pipeline_options=given, share_bytes=SHARE, keep_next_observation=True
    )
    assert files(tmp_path / "w") == files(tmp_path / "kept")


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_rays_cluster_of_two_nodes(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Tasks on two nodes make the same vault; what a task finds wrong is told as ever."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray", reason="needs Ray: `make engines`")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        ray.init(address=cluster.address, log_to_driver=False)
        convert(source, tmp_path / "alone", share_bytes=SHARE)
        report = convert_on_ray(
            source, tmp_path / "v", share_bytes=SHARE, task_options={"scheduling_strategy": "SPREAD"}
        )
        assert len(report.notes) == 1
        assert files(tmp_path / "v") == files(tmp_path / "alone")
        bad = spoil(write(tmp_path / "bad.hdf5"), "rewards", 1300)
        with pytest.raises(FormatError, match="`rewards`"):
            convert_on_ray(bad, tmp_path / "w", share_bytes=SHARE)
        assert not (tmp_path / ".w.converting").exists()
    finally:
        ray.shutdown()
        cluster.shutdown()
