"""The SDK that the runner uses, with nothing but the relay's two variables."""

import asyncio
from collections.abc import Iterator

import anthropic
import pytest
from helpers.messages_api.answers import answer
from helpers.messages_api.server import KEY, MessagesApi
from helpers.vault_client import DoorClient
from helpers.vault_process import VaultProcess

from contract.config import DoorConfig
from runner.door import Relay


@pytest.fixture
def api() -> Iterator[MessagesApi]:
    with MessagesApi() as made:
        yield made


def client_of(relay: Relay) -> anthropic.AsyncAnthropic:
    environment = relay.environment()
    return anthropic.AsyncAnthropic(
        base_url=environment["ANTHROPIC_BASE_URL"],
        auth_token=environment["ANTHROPIC_AUTH_TOKEN"],
        max_retries=0,
    )


def test_sdk_streams_counts_and_looks_up_through_the_door(
    vault: VaultProcess, api: MessagesApi
) -> None:
    vault.settings(anthropic_base_url=api.url)
    vault.key(KEY)
    vault.start()
    door = vault.new_door()
    api.script(answer("Hello through the door."))

    async def work() -> str:
        relay = Relay(_config(door))
        await relay.start()
        try:
            async with client_of(relay) as client:
                models = await client.models.list()
                assert models.data
                async with client.messages.stream(
                    model=models.data[0].id,
                    max_tokens=100,
                    messages=[{"role": "user", "content": "hello"}],
                ) as stream:
                    message = await stream.get_final_message()
            return "".join(block.text for block in message.content if block.type == "text")
        finally:
            await relay.close()

    assert asyncio.run(work()) == "Hello through the door."
    (row,) = vault.wait_for_settlement()
    assert row.state == "settled"
    assert row.tokens > 0


def test_sdk_understands_the_vaults_own_refusals(vault: VaultProcess, api: MessagesApi) -> None:
    vault.settings(anthropic_base_url=api.url)
    vault.budget(1)
    vault.start()
    door = vault.new_door()

    async def work() -> None:
        relay = Relay(_config(door))
        await relay.start()
        try:
            async with client_of(relay) as client:
                with pytest.raises(anthropic.APIStatusError) as refused:
                    await client.messages.create(
                        model="claude-opus-5",
                        max_tokens=10,
                        messages=[{"role": "user", "content": "x" * 500_000}],
                    )
                assert refused.value.status_code == 402
                assert "budget of this installation" in refused.value.message
                (vault.paths.secrets / "anthropic-api-key").unlink()
                with pytest.raises(anthropic.AuthenticationError):
                    await client.messages.count_tokens(
                        model="claude-opus-5", messages=[{"role": "user", "content": "x" * 500_000}]
                    )
                with pytest.raises(anthropic.PermissionDeniedError):
                    await client.beta.files.list()
        finally:
            await relay.close()

    asyncio.run(work())
    assert api.requests == []


def _config(door: DoorClient) -> DoorConfig:
    return DoorConfig(token=door.token, folder=str(door.socket.parent))
