"""With --distributed alone, JAX reads the job from the cluster's environment."""

import pytest

from pneumojax import runtime
from pneumojax.errors import UserError


@pytest.fixture(autouse=True)
def unused_backend(monkeypatch):
    """JAX joins a job only before it computes, which other tests in this process have done."""
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: False)


@pytest.fixture
def asked_to_join(monkeypatch):
    """`(variables, *flags) -> (coordinator, processes, process, devices)` that JAX would use."""
    from jax._src import clusters, distributed  # JAX has no public name for the detection

    def ask(variables, *flags):
        found = []
        detect = clusters.ClusterEnv.auto_detect_unset_distributed_params

        def stop(cls, *arguments):
            found.append(detect(*arguments))
            raise RuntimeError("as far as this goes")

        with monkeypatch.context() as patch:
            for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE"):
                patch.delenv(name, raising=False)
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(
                clusters.ClusterEnv, "auto_detect_unset_distributed_params", classmethod(stop)
            )
            assert distributed.global_state.client is None
            with pytest.raises(UserError, match="as far as this goes"):
                runtime.join(*(flags or (None, None, None)))
        return found[0]

    return ask


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("node[007-010]", "node007"),
        ("gpu[3,5-6],big1", "gpu3"),
        ("a1,a2", "a1"),
    ],
)
def test_slurm_names_the_first_machine_and_a_port_of_the_job(
    asked_to_join, cluster_variables, nodes, first
):
    variables = cluster_variables("SLURM", 70_123)(32, 9) | {"SLURM_STEP_NODELIST": nodes}
    variables["SLURM_LOCALID"] = "1"
    port = 61_440 + 70_123 % 4_096
    # Each process has one device; the second process of a machine has its second device.
    assert asked_to_join(variables) == (f"{first}:{port}", 32, 9, [1])


def test_open_mpi_names_its_launcher(asked_to_join, cluster_variables):
    found = asked_to_join(cluster_variables("Open MPI", 17)(4, 2))
    assert found == ("127.0.0.1:61457", 4, 2, [2])


def test_flags_stand_before_what_a_cluster_says(asked_to_join, cluster_variables):
    variables = cluster_variables("SLURM", 70_123)(32, 9)
    assert asked_to_join(variables, "host:9876", 2, 1)[:3] == ("host:9876", 2, 1)


def test_without_a_cluster_the_error_names_the_flags(monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="--coordinator=<host:port of process 0>, --processes="):
        runtime.join(None, None, None)
