"""All steps of the wizard; a new step or channel joins by one line here."""

from setup.base import Step
from setup.steps.credentials import CredentialsStep
from setup.steps.docker import DockerStep
from setup.steps.environment import EnvironmentStep
from setup.steps.first_agent import FirstAgentStep
from setup.steps.mounts import MountsStep
from setup.steps.timezone import TimezoneStep

STEPS: tuple[Step, ...] = (
    EnvironmentStep(),
    DockerStep(),
    CredentialsStep(),
    TimezoneStep(),
    MountsStep(),
    FirstAgentStep(),
)
