"""Takes away the agents' containers of one home when its service goes for good (S-140).

Called by ``actions``, imported late because it brings the engine's SDK. Only what carries this
home's label is touched; an engine that does not answer is a remark, not a failure.
"""

from nanoclaw.config import HostConfig, Runtime
from nanoclaw.containers.docker_runtime import DockerRuntime
from nanoclaw.errors import ContainerError

GRACE_SECONDS = 10


def reap_containers(config: HostConfig) -> list[str]:
    """What people should know about it."""
    if config.runtime is not Runtime.DOCKER:
        return []
    count = 0
    try:
        engine = DockerRuntime.connect(config.docker_host, config.paths.slug)
        try:
            for found in engine.list_containers():
                engine.stop(found.container_id, GRACE_SECONDS)
                engine.remove(found.container_id)
                count += 1
        finally:
            engine.close()
    except ContainerError as error:
        return [f"containers of this home may be left, because the engine did not answer: {error}"]
    return [f"removed {count} container(s) of this home"] if count else []
