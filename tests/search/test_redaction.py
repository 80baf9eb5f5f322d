import pytest

from search.redaction import explain, redact

SECRETS = ["hunter2", "with@zebra", "with:zebra", "with/zebra", "perc%40zebra"]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_a_password_is_left_in_an_address(secret: str) -> None:
    shown = redact(f"postgresql://anna:{secret}@server:5432/studies?sslmode=require")
    assert shown == "postgresql://anna:***@server:5432/studies?sslmode=require"
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna@server/studies",
        "postgresql://sbldm@/postgres?host=/tmp/pg",
        "sqlite:////home/mlruns/optuna.db",
        "http://localhost:5000/path",
        "no address at all",
        "",
    ],
)
def test_an_address_without_password_is_left_as_it_is(url: str) -> None:
    assert redact(url) == url


def test_a_password_among_the_options_is_hidden_too() -> None:
    assert redact("postgresql://anna@s/db?password=hunter2&port=1") == "postgresql://anna@s/db?password=***&port=1"
    assert redact("host=s user=anna PASSWORD=hunter2") == "host=s user=anna PASSWORD=***"


@pytest.mark.parametrize("secret", SECRETS)
def test_a_servers_own_words_do_not_repeat_a_password(secret: str) -> None:
    words = f'could not resolve host "{secret.split("@")[-1]}@server", password was {secret}\nsecond line'
    told = explain("the database", OSError(words), f"postgresql://anna:{secret}@server/studies")
    assert secret not in told
    assert secret.split("@")[-1] not in told
    assert "could not resolve host" in told
    assert "anna" in told
    assert len(told.splitlines()) == 1


def test_a_password_is_hidden_as_it_is_meant_and_as_it_is_written() -> None:
    told = explain("it", OSError("raw p%40ss, plain p@ss"), "postgresql://anna:p%40ss@server/studies")
    assert "p@ss" not in told
    assert "p%40ss" not in told


def test_an_error_without_words_is_named() -> None:
    assert "(TimeoutError)" in explain("it", TimeoutError(), "postgresql://server/db")
