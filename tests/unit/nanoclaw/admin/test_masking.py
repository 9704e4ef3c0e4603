from nanoclaw.admin.masking import command_line, masked


def test_values_under_names_of_secrets_are_hidden() -> None:
    shown = masked({"api_token": "abcdef", "password": "hunter2", "id": "ag-1", "all": True})

    assert shown["id"] == "ag-1"
    assert shown["all"] is True
    assert "abcdef" not in str(shown)
    assert "hunter2" not in str(shown)


def test_environment_keeps_its_names_and_loses_its_values() -> None:
    shown = str(masked({"env": '{"PATH": "/evil", "KEY": "s3cret"}'})["env"])

    assert "PATH" in shown
    assert "KEY" in shown
    assert "/evil" not in shown
    assert "s3cret" not in shown


def test_environment_that_cannot_be_read_is_hidden_whole() -> None:
    assert "s3cret" not in str(masked({"env": '{"KEY": "s3cret"'})["env"])


def test_secret_among_the_arguments_of_a_program_is_hidden() -> None:
    shown = str(masked({"args": '["--token", "abcdefgh123", "--safe"]'})["args"])

    assert "abcdefgh123" not in shown
    assert "--safe" in shown


def test_command_line_reads_as_it_would_be_typed() -> None:
    line = command_line("groups restart", {"id": "ag-1", "rebuild": True})

    assert line == "ncl groups restart --id ag-1 --rebuild"
