"""URLs of databases: what is one, and what anybody gets to read of it."""

import pytest

from index.errors import DatabaseUnusable
from index.postgres.address import parse_address


def test_an_address_is_shown_without_its_password() -> None:
    address = parse_address("postgresql://me:s3cret@db.example:5433/docs?schema=team_a&sslmode=require")
    assert address.schema == "team_a"
    assert address.url == "postgresql://me:s3cret@db.example:5433/docs?sslmode=require"
    for shown in (str(address), repr(address)):
        assert "postgresql://me@db.example:5433/docs" in shown
        assert "s3cret" not in shown


def test_of_several_hosts_the_one_is_meant_that_takes_writes() -> None:
    address = parse_address("postgresql://me:s3cret@one:5433,two,[::1]:5434/docs")
    assert address.url == (
        "postgresql://me:s3cret@one:5433,two,[::1]:5434/docs?target_session_attrs=read-write"
    )
    assert str(address) == "postgresql://me@one:5433,two,[::1]:5434/docs"
    chosen = parse_address("postgresql://one,two/docs?target_session_attrs=any")
    assert chosen.url == "postgresql://one,two/docs?target_session_attrs=any"


def test_without_more_the_schema_is_embedd() -> None:
    assert parse_address("postgresql://[::1]/docs").schema == "embedd"
    assert str(parse_address("postgresql://[::1]/docs")) == "postgresql://[::1]/docs"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite",
        "mysql://me:s3cret@host/db",
        "postgresql://me:s3cret@host",
        "postgresql:///s3cret",
        "postgresql://me:s3cret@one,,two/db",
        "postgresql://me:s3cret@one,two:port/db",
        "postgresql://me:s3cret@host:port/db",
        "postgresql://me:s3cret@host:99999/db",
        "postgresql://me:s3cret@[::1/db",
        "postgresql://me:s3cret@host/db?schema=Docs",
        "postgresql://me:s3cret@host/db?schema=pg_catalog",
        "postgresql://me:s3cret@host/db?schema=",
        'postgresql://me:s3cret@host/db?schema=a"b',
        "postgresql://me:s3cret@host/db?shema=docs",
        "postgresql://me:s3cret@host/db?schema",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseUnusable) as caught:
        parse_address(url)
    assert "postgresql://user:password@host:port/database" in str(caught.value)
    assert "s3cret" not in str(caught.value)
